#include "controllers/statefulset/plan.h"

#include <algorithm>

#include "api/metadata.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/numbers.h"
#include "controllers/statefulset/planner.h"

namespace berth::controllers::statefulset {

using api::resources::kControllerRevisions;
using api::resources::kPods;
using api::resources::kStatefulSets;

namespace {

constexpr std::size_t kReplicasAhead = 10'000;  // beyond the existing pods, in one plan
constexpr int kPauseOrdered = 1;                // Plan::pause_factor
constexpr int kPauseParallel = 10;

}  // namespace

// --- Adoption

// Adopts and releases pods and revisions. True if the plan must consist of these writes only: the view then lacks pods.
bool SetPlanner::adopt_and_release_members() {
  const auto parsed = api::LabelSelector::of_object(set_["spec"]["selector"]);
  if (!parsed.ok() || spec_.terminating) return false;
  const api::LabelSelector& selector = parsed.value();
  auto member = [&](const Value& pod) {
    return parse_member_name(api::name_of(pod)).parent == spec_.name && selector.matches(api::labels_of(pod));
  };
  for (const Value& pod : view_.pods) {
    if (member(pod)) continue;
    Value release = Value::object({{"$patch", "delete"}, {"uid", api::uid_of(set_)}});
    plan_.add(
        patch(kPods, pod, api::PatchType::kStrategic, api::in_metadata("ownerReferences", Value::array({release}))));
  }
  const Value ours = api::controller_reference(set_, "apps/v1", "StatefulSet");
  auto adopt = [&](const api::Resource& resource, const Value& object) {
    Value change = api::in_metadata("ownerReferences", Value::array({ours}));
    // A live read first: a set that is being deleted with --cascade=orphan must not adopt its pods again because of a
    // stale view.
    plan_.add_chain(
        {confirm(kStatefulSets, set_), patch(resource, object, api::PatchType::kStrategic, std::move(change), true)});
  };
  for (const Value& pod : view_.orphans) {
    if (member(pod) && !api::is_terminating(pod)) adopt(kPods, pod);
  }
  for (const Value& revision : view_.orphan_revisions) {
    if (selector.matches(api::labels_of(revision)) && !api::is_terminating(revision))
      adopt(kControllerRevisions, revision);
  }
  return !plan_.chains.empty();
}

void SetPlanner::collect_replicas() {
  // Bounds the work however large spec.replicas is: replicas beyond the existing pods and kReplicasAhead come in later
  // plans.
  const std::size_t most = view_.pods.size() + kReplicasAhead;
  const std::vector<int> ordinals = spec_.ordinals(most);
  replicas_.reserve(ordinals.size());
  for (int ordinal : ordinals) replicas_.push_back(Replica{ordinal});
  for (const Value& pod : view_.pods) {
    const MemberName member = parse_member_name(api::name_of(pod));
    if (member.parent != spec_.name || member.ordinal < 0) continue;
    Replica replica{member.ordinal, pod, state_of(pod, spec_.min_ready_seconds, now_)};
    replica.outdated = is_outdated(replica);
    if (replica.state.ready && !replica.state.available) plan_.requeue_after(replica.state.available_in);
    count(replica);
    if (spec_.in_range(member.ordinal)) {
      const std::size_t at = spec_.index_of(member.ordinal);
      if (at < replicas_.size()) replicas_[at] = std::move(replica);
    } else {
      surplus_.push_back(std::move(replica));
    }
  }
  std::sort(surplus_.begin(), surplus_.end(), [](const Replica& a, const Replica& b) { return a.ordinal > b.ordinal; });
  for (const Replica& replica : replicas_) {
    if (!first_unhealthy_ && !replica.state.healthy()) first_unhealthy_ = &replica;
  }
  for (auto replica = surplus_.rbegin(); replica != surplus_.rend(); ++replica) {
    if (!first_unhealthy_ && !replica->state.healthy()) first_unhealthy_ = &*replica;
  }
  initialised_ = initialised();
  outage_ = is_outage();
  expected_ = observed_;
}

// True if no pod of the set is healthy, so that no order can be waited for. Not on a first start, and not during a
// rollout: there the order counts.
bool SetPlanner::is_outage() const {
  if (spec_.parallel || replicas_.size() < 2 || current_name_ != update_name_ || initialised_.empty()) return false;
  return std::none_of(replicas_.begin(), replicas_.end(),
                      [](const Replica& replica) { return replica.state.healthy(); });
}

void SetPlanner::order_revisions() {
  revisions_ = choose_revisions(set_, view_.revisions, view_.revision);
  current_name_ = api::name_of(revisions_.current);
  update_name_ = api::name_of(revisions_.update);
  current_template_ = template_of(revisions_.current);
  update_template_ = template_of(revisions_.update);
  if (spec_.options.claim_template_updates) current_claims_ = claim_templates_of(revisions_.current);
  if (revisions_.write == Revisions::Write::kCreate)
    plan_.first.push_back(create(kControllerRevisions, revisions_.update));
  if (revisions_.write == Revisions::Write::kUpdate)
    plan_.first.push_back(update(kControllerRevisions, revisions_.update));
}

// --- Replicas in range

const Value& SetPlanner::template_for(int ordinal, std::string_view& revision) const {
  // Must match exactly the replicas that roll_out() and replace_broken() skip: a pod created at a revision that they
  // replace would be replaced and created again for ever.
  const bool keeps_current = ordinal < spec_.first_updated();
  revision = keeps_current ? current_name_ : update_name_;
  return keeps_current ? current_template_ : update_template_;
}

// Returns true if the surplus replicas have to wait.
bool SetPlanner::reconcile_replicas() {
  bool stopped = false;
  for (Replica& replica : replicas_) {
    if (stopped && !spec_.parallel) {
      if (!outage_) break;
      if (!std::binary_search(initialised_.begin(), initialised_.end(), replica.ordinal)) break;
    }
    stopped = reconcile_replica(replica) || (stopped && outage_);
  }
  return stopped;
}

// Returns true if an ordered set has to stop at this replica.
bool SetPlanner::reconcile_replica(Replica& replica) {
  if (replica.pod.is_null()) {
    if (!is_held_back(replica) && claims_usable(replica)) create_pod(replica);
    return true;
  }
  if (replica.state.ended) return reconcile_ended(replica);
  if (replica.state.pending && !replica.state.terminating) {
    std::vector<Action> chain;
    add_missing_claims(replica, claim_templates_for(replica.state.revision), chain);
    plan_.add_chain(std::move(chain));
  }
  if (replica.state.terminating || !replica.state.available) {
    wait_for(replica);
    if (!spec_.parallel) return true;
  }
  fix_identity(replica);
  return false;
}

// Delays the successor of a pod that controllers delete soon after its creation (its node is gone, or has a taint that
// the pod does not tolerate): it would otherwise be created and deleted as fast as both can write.
bool SetPlanner::is_held_back(const Replica& replica) {
  const StatefulSetView::Failures failures =
      view_.failures ? view_.failures(replica.ordinal) : StatefulSetView::Failures{};
  if (!failures.disrupted) return false;
  std::string_view revision;
  (void)template_for(replica.ordinal, revision);
  const Time until = failures.last + back_off(failures.count);
  if (until <= now_ || revision != failures.revision) return false;
  plan_.requeue_after(until - now_);
  wait("BackOff",
       pod_name(spec_, replica.ordinal) + " was taken away " + std::to_string(failures.count) +
           " times of late, soon after it was made, and is made again at " + format_time(until + 999ms) +
           "; see kubectl get events",
       true);
  return true;
}

// Deletes the ended pod; its successor is created when this one has left the API, because both have the same name.
bool SetPlanner::reconcile_ended(Replica& replica) {
  wait_for(replica);
  if (replica.state.terminating) return true;
  const StatefulSetView::Failures failures =
      view_.failures ? view_.failures(replica.ordinal) : StatefulSetView::Failures{};
  const Time until = failures.last + back_off(failures.count);
  if (until > now_ && !replica.outdated) {
    plan_.requeue_after(until - now_);
    return true;
  }
  delete_pod(replica);
  return true;
}

void SetPlanner::create_pod(Replica& replica) {
  std::string_view revision;
  const Value& pod_template = template_for(replica.ordinal, revision);
  const Value& claim_templates = claim_templates_for(revision);
  const std::string name = pod_name(spec_, replica.ordinal);
  std::vector<Action> chain;
  add_missing_claims(replica, claim_templates, chain);
  // Owners first: their patch has the resourceVersion that this view contains as its precondition, and the annotation
  // patch changes it.
  fix_claim_owners(replica, chain);
  const std::vector<std::string> reused = adopt_claims(replica, claim_templates, chain);
  chain.push_back(create(kPods, make_pod(set_, spec_, pod_template, claim_templates, revision, replica.ordinal)));
  chain.back()
      .succeeded(set_, kNormal, "SuccessfulCreate", event_text("create", name) + " successful")
      .failed(set_, kWarning, "FailedCreate", event_text("create", name) + " failed error: ");
  for (const std::string& message : reused) chain.back().succeeded(Value(), kNormal, "ReusedClaim", message);
  plan_.add_chain(std::move(chain));
  count_created(revision);
  wait("Starting", "waiting for " + name + " (revision " + std::string(revision) + ") to become ready");
}

void SetPlanner::delete_pod(Replica& replica, std::vector<Action> chain) {
  const std::string_view name = api::name_of(replica.pod);
  Action action = remove(kPods, replica.pod);
  action.succeeded(set_, kNormal, "SuccessfulDelete", event_text("delete", name) + " successful")
      .failed(set_, kWarning, "FailedDelete", event_text("delete", name) + " failed error: ");
  chain.push_back(std::move(action));
  plan_.add_chain(std::move(chain));
  uncount_deleted(replica);
  replica.state.terminating = true;
}

void SetPlanner::fix_identity(const Replica& replica) {
  if (identity_matches(spec_, replica.pod, replica.ordinal)) return;
  const std::string_view name = api::name_of(replica.pod);
  Value labels = Value::object({{kPodNameLabel, name}, {kPodIndexLabel, std::to_string(replica.ordinal)}});
  Action action = patch(kPods, replica.pod, api::PatchType::kMerge, api::in_metadata("labels", std::move(labels)));
  action.succeeded(set_, kNormal, "SuccessfulUpdate", event_text("update", name) + " successful")
      .failed(set_, kWarning, "FailedUpdate", event_text("update", name) + " failed error: ");
  plan_.add(std::move(action));
}

// True if the PodDisruptionBudgets that count everything allow to disrupt this pod now. A pod that is not ready costs
// nothing.
bool SetPlanner::may_disrupt(const Replica& replica) {
  if (!replica.state.ready || replica.state.terminating) return true;
  std::vector<std::string> draws_on;
  for (const Value& budget : view_.budgets) {
    const auto selector = api::LabelSelector::of_object(budget["spec"]["selector"]);
    if (!selector.ok() || !selector->matches(api::labels_of(replica.pod))) continue;
    const std::string name(api::name_of(budget));
    const auto allowed = budget["status"]["disruptionsAllowed"].as_int();
    if (disruptions_used_[name] >= allowed) {
      wait("Budget", "waiting for PodDisruptionBudget " + quoted(name) + " to let " + describe(replica) +
                         " go: it allows " + std::to_string(allowed) + " disruptions now, " +
                         std::to_string(budget["status"]["currentHealthy"].as_int()) + " of the " +
                         std::to_string(budget["status"]["desiredHealthy"].as_int()) + " pods it wants are healthy");
      return false;
    }
    draws_on.push_back(name);
  }
  for (const std::string& name : draws_on) ++disruptions_used_[name];
  return true;
}

// --- Surplus replicas

// Returns true if an ordered set has to stop at this replica. The owners of its claims are patched before the pod is
// deleted: they decide whether the claims are deleted with the pod.
bool SetPlanner::reconcile_surplus(Replica& replica, bool blocked) {
  std::vector<Action> owners;
  fix_claim_owners(replica, owners);
  // An ended pod never becomes healthy here, and none of its containers run: waiting for it would last for ever.
  const bool may_go = spec_.parallel || replica.state.available || replica.state.ended || &replica == first_unhealthy_;
  if (!blocked && !replica.state.terminating && may_go && may_disrupt(replica)) {
    wait_for_end(replica);
    delete_pod(replica, std::move(owners));
  } else {
    if (replica.state.terminating) {
      wait_for(replica);
    } else if (!blocked && !may_go && first_unhealthy_) {
      wait("ScalingDown",
           describe(replica) + " is to be removed, after " + describe(*first_unhealthy_) + " has become ready or gone",
           true);
    }
    plan_.add_chain(std::move(owners));
  }
  return true;
}

// --- Deletion of the set

// Adds or removes the finalizer of ordered teardown, which keeps the set in the API until its pods are gone. In
// `first`: no pod is created before the finalizer is stored.
void SetPlanner::sync_teardown_finalizer() {
  const bool present = api::has_finalizer(set_, kTeardownFinalizer);
  if (present == spec_.options.ordered_teardown) return;
  Value finalizers = api::finalizers_without(set_, kTeardownFinalizer);
  if (!present) finalizers.push(kTeardownFinalizer);
  plan_.first.push_back(patch(kStatefulSets, set_, api::PatchType::kMerge,
                              api::in_metadata("finalizers", finalizers.empty() ? Value() : finalizers), true));
}

void SetPlanner::tear_down() {
  const bool orphaning = api::has_finalizer(set_, "orphan");
  Replica* last = nullptr;
  for (std::vector<Replica>* list : {&surplus_, &replicas_}) {
    for (Replica& replica : *list) {
      if (!replica.pod.is_null() && (!last || replica.ordinal > last->ordinal)) last = &replica;
    }
  }
  if (!last || orphaning || !spec_.options.ordered_teardown) {
    spec_.options.ordered_teardown = false;
    return sync_teardown_finalizer();
  }
  // The retention policy may change during the teardown; the set exists while its pods do, so apply it now.
  retain_claims_without_pods();
  if (last->state.terminating) return wait_for(*last);
  if (!may_disrupt(*last)) return;
  wait_for_end(*last);
  delete_pod(*last);
}

Plan SetPlanner::run() {
  // An ordered set waits for each pod before the next, so it pauses briefly. The pods of a parallel set become ready
  // together, and one plan counts many changes at the cost of one, so it pauses longer.
  plan_.pause_factor = spec_.parallel ? kPauseParallel : kPauseOrdered;
  if (adopt_and_release_members()) return std::move(plan_);
  order_revisions();
  collect_replicas();
  plan_.members = replicas_.size() + surplus_.size();
  if (spec_.terminating) {
    plan_.first.clear();
    if (api::has_finalizer(set_, kTeardownFinalizer)) tear_down();
    if (plan_.first.empty() && revisions_.write == Revisions::Write::kNone) finish();
    return std::move(plan_);
  }
  sync_teardown_finalizer();
  // For every replica in range, also those that wait for their turn or terminate: an owner reference to the pod, set by
  // a scale-down, must be removed before the pod is gone, or the claim is deleted with it.
  const bool has_claims = !set_["spec"]["volumeClaimTemplates"].empty();
  for (std::size_t i = 0; has_claims && i < replicas_.size(); ++i) {
    // Also for a released pod of that name: its claim must not be deleted with it.
    Replica replica = replicas_[i];
    if (replica.pod.is_null()) replica.pod = view_.pod(pod_name(spec_, replica.ordinal));
    std::vector<Action> owners;
    if (!replica.pod.is_null()) fix_claim_owners(replica, owners);
    plan_.add_chain(std::move(owners));
  }
  const bool ordered = !spec_.parallel;
  // Recreate: the pods to remove before new ones may start do not depend on the order of creation.
  if (spec_.options.recreate) roll_out();
  bool stopped = reconcile_replicas();
  if (!(stopped && ordered)) {
    stopped = false;
    for (Replica& replica : surplus_) stopped = reconcile_surplus(replica, stopped && ordered);
  }
  replace_broken();
  if (!(stopped && ordered) && !spec_.options.recreate) roll_out();
  update_claims();
  retain_claims_without_pods();
  for (const std::vector<Replica>* list : {&replicas_, &surplus_}) {
    for (const Replica& replica : *list) retain_claims_of_removed_templates(replica);
  }
  finish();
  return std::move(plan_);
}

Plan plan_set(const StatefulSetView& view, Time now) {
  if (view.set.is_null()) return {};
  if (const std::string why = why_unusable(view.set); !why.empty() && !api::is_terminating(view.set)) {
    Plan plan;
    plan.event(view.set, kWarning, "Unusable", why);
    return plan;
  }
  return SetPlanner(view, now).run();
}

}  // namespace berth::controllers::statefulset

#include "controllers/statefulset/plan.h"

#include <algorithm>

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/numbers.h"
#include "controllers/statefulset/planner.h"

namespace berth::controllers::statefulset {

using api::resources::kControllerRevisions;
using api::resources::kPods;
using api::resources::kStatefulSets;

namespace {

constexpr std::size_t kPlacesAhead = 10'000;
constexpr int kRestOfOrdered = 1;
constexpr int kRestOfParallel = 10;

bool has_finalizer(const Value& object, std::string_view finalizer) {
  const Value& all = object["metadata"]["finalizers"];
  return std::any_of(all.begin(), all.end(), [&](const Value& one) { return one.as_string() == finalizer; });
}

Value in_metadata(std::string_view field, Value value) {
  return Value::object({{"metadata", Value::object({{field, std::move(value)}})}});
}

}  // namespace

// --- Who belongs to the set

// Adopts and releases pods and revisions. True where something has to happen before anything else can be decided.
bool SetPlanner::claim_members() {
  const auto parsed = api::LabelSelector::of_object(set_["spec"]["selector"]);
  if (!parsed.ok() || shape_.terminating) return false;
  const api::LabelSelector& selector = parsed.value();
  auto member = [&](const Value& pod) {
    return parse_member(api::name_of(pod)).parent == shape_.name && selector.matches(api::labels_of(pod));
  };
  for (const Value& pod : view_.pods) {
    if (member(pod)) continue;
    Value release = Value::object({{"$patch", "delete"}, {"uid", api::uid_of(set_)}});
    plan_.add(patch(kPods, pod, api::PatchType::kStrategic, in_metadata("ownerReferences", Value::array({release}))));
  }
  const Value ours = api::controller_reference(set_, "apps/v1", "StatefulSet");
  auto adopt = [&](const api::Resource& resource, const Value& object) {
    Value change = in_metadata("ownerReferences", Value::array({ours}));
    // A set that is being deleted with --cascade=orphan must not take its pods back, however old this view is.
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

void SetPlanner::take_places() {
  // However many are asked for: no more are looked at than there are, and a good piece ahead.
  const std::size_t most = view_.pods.size() + kPlacesAhead;
  const std::vector<int> ordinals = shape_.ordinals(most);
  replicas_.reserve(ordinals.size());
  for (int ordinal : ordinals) replicas_.push_back(Place{ordinal});
  for (const Value& pod : view_.pods) {
    const Member member = parse_member(api::name_of(pod));
    if (member.parent != shape_.name || member.ordinal < 0) continue;
    Place place{member.ordinal, pod, state_of(pod, shape_.min_ready_seconds, now_)};
    place.outdated = is_outdated(place);
    if (place.state.ready && !place.state.available) plan_.look_again(place.state.available_in);
    count(place);
    if (shape_.in_range(member.ordinal)) {
      const std::size_t at = shape_.index_of(member.ordinal);
      if (at < replicas_.size()) replicas_[at] = std::move(place);
    } else {
      condemned_.push_back(std::move(place));
    }
  }
  std::sort(condemned_.begin(), condemned_.end(), [](const Place& a, const Place& b) { return a.ordinal > b.ordinal; });
  for (const Place& place : replicas_) {
    if (!first_unhealthy_ && !place.state.healthy()) first_unhealthy_ = &place;
  }
  for (auto place = condemned_.rbegin(); place != condemned_.rend(); ++place) {
    if (!first_unhealthy_ && !place->state.healthy()) first_unhealthy_ = &*place;
  }
  initialised_ = initialised();
  outage_ = is_outage();
  expected_ = seen_;
}

// No member is left that could be waited for. Not on a first start, and not where a rollout is under way: then order counts.
bool SetPlanner::is_outage() const {
  if (shape_.parallel || replicas_.size() < 2 || current_name_ != update_name_ || initialised_.empty()) return false;
  return std::none_of(replicas_.begin(), replicas_.end(), [](const Place& place) { return place.state.healthy(); });
}

void SetPlanner::order_revisions() {
  revisions_ = choose_revisions(set_, view_.revisions, view_.revision);
  current_name_ = api::name_of(revisions_.current);
  update_name_ = api::name_of(revisions_.update);
  current_template_ = template_of(revisions_.current);
  update_template_ = template_of(revisions_.update);
  if (shape_.options.claim_template_updates) current_claims_ = claim_templates_of(revisions_.current);
  if (revisions_.write == Revisions::Write::kCreate)
    plan_.first.push_back(create(kControllerRevisions, revisions_.update));
  if (revisions_.write == Revisions::Write::kUpdate)
    plan_.first.push_back(update(kControllerRevisions, revisions_.update));
}

// --- Places that should be filled

const Value& SetPlanner::template_for(int ordinal, std::string_view& revision) const {
  // Exactly the members that roll() and replace_broken() leave alone: one that is made of a revision they replace would be
  // replaced, and made again, for ever.
  const bool keeps_current = ordinal < shape_.first_updated();
  revision = keeps_current ? current_name_ : update_name_;
  return keeps_current ? current_template_ : update_template_;
}

// Answers whether what comes after them has to wait.
bool SetPlanner::settle_replicas() {
  bool stopped = false;
  for (Place& place : replicas_) {
    if (stopped && !shape_.parallel) {
      if (!outage_) break;
      if (!std::binary_search(initialised_.begin(), initialised_.end(), place.ordinal)) break;
    }
    stopped = settle_replica(place) || (stopped && outage_);
  }
  return stopped;
}

// Answers whether an ordered set has to stop here.
bool SetPlanner::settle_replica(Place& place) {
  if (place.pod.is_null()) {
    if (!is_held_back(place) && claims_usable(place)) create_pod(place);
    return true;
  }
  if (place.state.ended) return settle_ended(place);
  if (place.state.pending && !place.state.terminating) {
    std::vector<Action> chain;
    add_missing_claims(place, claim_templates_for(place.state.revision), chain);
    plan_.add_chain(std::move(chain));
  }
  if (place.state.terminating || !place.state.available) {
    wait_for(place);
    if (!shape_.parallel) return true;
  }
  fix_identity(place);
  return false;
}

// A member that is made and taken away again (its node is gone, or has a taint that it does not tolerate) would otherwise be
// made again as fast as it goes.
bool SetPlanner::is_held_back(const Place& place) {
  const View::Failures failures = view_.failures ? view_.failures(place.ordinal) : View::Failures{};
  if (!failures.taken) return false;
  std::string_view revision;
  (void)template_for(place.ordinal, revision);
  const Time until = failures.last + back_off(failures.count);
  if (until <= now_ || revision != failures.revision) return false;
  plan_.look_again(until - now_);
  wait("BackOff", pod_name(shape_, place.ordinal) + " was taken away " + std::to_string(failures.count) +
                      " times of late, soon after it was made, and is made again at " + format_time(until + 999ms) + "; see kubectl get events", true);
  return true;
}

// Its successor is made when it has left the API: two of one name cannot be.
bool SetPlanner::settle_ended(Place& place) {
  wait_for(place);
  if (place.state.terminating) return true;
  const View::Failures failures = view_.failures ? view_.failures(place.ordinal) : View::Failures{};
  const Time until = failures.last + back_off(failures.count);
  if (until > now_ && !place.outdated) {
    plan_.look_again(until - now_);
    return true;
  }
  delete_pod(place);
  return true;
}

void SetPlanner::create_pod(Place& place) {
  std::string_view revision;
  const Value& pod_template = template_for(place.ordinal, revision);
  const Value& claim_templates = claim_templates_for(revision);
  const std::string name = pod_name(shape_, place.ordinal);
  std::vector<Action> chain;
  add_missing_claims(place, claim_templates, chain);
  // Owners first: they are written over exactly the version that this view knows.
  fix_claim_owners(place, chain);
  const std::vector<std::string> reused = take_over_claims(place, claim_templates, chain);
  chain.push_back(create(kPods, make_pod(set_, shape_, pod_template, claim_templates, revision, place.ordinal)));
  chain.back()
      .succeeded(set_, kNormal, "SuccessfulCreate", words("create", name) + " successful")
      .failed(set_, kWarning, "FailedCreate", words("create", name) + " failed error: ");
  for (const std::string& one : reused) chain.back().succeeded(Value(), kNormal, "ReusedClaim", one);
  plan_.add_chain(std::move(chain));
  count_created(revision);
  wait("Starting", "waiting for " + name + " (revision " + std::string(revision) + ") to become ready");
}

void SetPlanner::delete_pod(Place& place, std::vector<Action> chain) {
  const std::string_view name = api::name_of(place.pod);
  Action action = remove(kPods, place.pod);
  action.succeeded(set_, kNormal, "SuccessfulDelete", words("delete", name) + " successful")
      .failed(set_, kWarning, "FailedDelete", words("delete", name) + " failed error: ");
  chain.push_back(std::move(action));
  plan_.add_chain(std::move(chain));
  uncount_deleted(place);
  place.state.terminating = true;
}

void SetPlanner::fix_identity(const Place& place) {
  if (identity_matches(shape_, place.pod, place.ordinal)) return;
  const std::string_view name = api::name_of(place.pod);
  Value labels = Value::object({{kPodNameLabel, name}, {kPodIndexLabel, std::to_string(place.ordinal)}});
  Action action = patch(kPods, place.pod, api::PatchType::kMerge, in_metadata("labels", std::move(labels)));
  action.succeeded(set_, kNormal, "SuccessfulUpdate", words("update", name) + " successful")
      .failed(set_, kWarning, "FailedUpdate", words("update", name) + " failed error: ");
  plan_.add(std::move(action));
}

// Whether the budgets that count everything let this member go now. One that is not ready costs nothing.
bool SetPlanner::may_disrupt(const Place& place) {
  if (!place.state.ready || place.state.terminating) return true;
  std::vector<std::string> draws_on;
  for (const Value& budget : view_.budgets) {
    const auto selector = api::LabelSelector::of_object(budget["spec"]["selector"]);
    if (!selector.ok() || !selector->matches(api::labels_of(place.pod))) continue;
    const std::string name(api::name_of(budget));
    const auto allowed = budget["status"]["disruptionsAllowed"].as_int();
    if (drawn_[name] >= allowed) {
      wait("Budget", "waiting for PodDisruptionBudget " + quoted(name) + " to let " + call(place) + " go: it allows " +
                         std::to_string(allowed) + " disruptions now, " +
                         std::to_string(budget["status"]["currentHealthy"].as_int()) + " of the " +
                         std::to_string(budget["status"]["desiredHealthy"].as_int()) + " pods it wants are healthy");
      return false;
    }
    draws_on.push_back(name);
  }
  for (const std::string& name : draws_on) ++drawn_[name];
  return true;
}

// --- Places that should be empty

// Answers whether an ordered set has to stop here. Before a pod goes its claims are told (by their owners) whether they
// go with it.
bool SetPlanner::settle_condemned(Place& place, bool blocked) {
  std::vector<Action> owners;
  fix_claim_owners(place, owners);
  // One that has ended will never become healthy here, and nothing of it runs: waiting for it would be for ever.
  const bool may_go = shape_.parallel || place.state.available || place.state.ended || &place == first_unhealthy_;
  if (!blocked && !place.state.terminating && may_go && may_disrupt(place)) {
    wait_for_end(place);
    delete_pod(place, std::move(owners));
  } else {
    if (place.state.terminating) {
      wait_for(place);
    } else if (!blocked && !may_go && first_unhealthy_) {
      wait("ScalingDown", call(place) + " is to be removed, after " + call(*first_unhealthy_) + " has become ready or gone", true);
    }
    plan_.add_chain(std::move(owners));
  }
  return true;
}

// --- The end of the set

// A set whose pods are to go in order keeps itself in the API until they are gone; no pod exists before it does.
void SetPlanner::hold_teardown() {
  const bool held = has_finalizer(set_, kTeardownFinalizer);
  if (held == shape_.options.ordered_teardown) return;
  Value finalizers = Value::array();
  for (const Value& one : set_["metadata"]["finalizers"]) {
    if (one.as_string() != kTeardownFinalizer) finalizers.push(one);
  }
  if (!held) finalizers.push(kTeardownFinalizer);
  plan_.first.push_back(patch(kStatefulSets, set_, api::PatchType::kMerge,
                              in_metadata("finalizers", finalizers.empty() ? Value() : finalizers), true));
}

void SetPlanner::tear_down() {
  const bool orphaning = has_finalizer(set_, "orphan");
  Place* last = nullptr;
  for (std::vector<Place>* places : {&condemned_, &replicas_}) {
    for (Place& place : *places) {
      if (!place.pod.is_null() && (!last || place.ordinal > last->ordinal)) last = &place;
    }
  }
  if (!last || orphaning || !shape_.options.ordered_teardown) {
    shape_.options.ordered_teardown = false;
    return hold_teardown();
  }
  // What is asked for meanwhile still counts, and in time: while there are pods, there is the set.
  keep_claims_of_empty_places();
  if (last->state.terminating) return wait_for(*last);
  if (!may_disrupt(*last)) return;
  wait_for_end(*last);
  delete_pod(*last);
}

Plan SetPlanner::run() {
  // Members of an ordered set are waited for one by one; those of the other kind become ready side by side, and many at a
  // time are counted as cheaply as one.
  plan_.rest = shape_.parallel ? kRestOfParallel : kRestOfOrdered;
  if (claim_members()) return std::move(plan_);
  order_revisions();
  take_places();
  plan_.members = replicas_.size() + condemned_.size();
  if (shape_.terminating) {
    plan_.first.clear();
    if (has_finalizer(set_, kTeardownFinalizer)) tear_down();
    if (plan_.first.empty() && revisions_.write == Revisions::Write::kNone) finish();
    return std::move(plan_);
  }
  hold_teardown();
  // Also of members that wait for their turn or are on their way out: a claim that a scale-down had given to its pod
  // must be taken back before that pod is gone.
  const bool has_claims = !set_["spec"]["volumeClaimTemplates"].empty();
  for (std::size_t i = 0; has_claims && i < replicas_.size(); ++i) {
    // A pod of that name that is no longer a member counts too: its claim must not go with it.
    Place there = replicas_[i];
    if (there.pod.is_null()) there.pod = view_.pod(pod_name(shape_, there.ordinal));
    std::vector<Action> owners;
    if (!there.pod.is_null()) fix_claim_owners(there, owners);
    plan_.add_chain(std::move(owners));
  }
  const bool ordered = !shape_.parallel;
  // What has to go before anything new may come waits for nobody.
  if (shape_.options.recreate) roll();
  bool stopped = settle_replicas();
  if (!(stopped && ordered)) {
    stopped = false;
    for (Place& place : condemned_) stopped = settle_condemned(place, stopped && ordered);
  }
  replace_broken();
  if (!(stopped && ordered) && !shape_.options.recreate) roll();
  update_claims();
  keep_claims_of_empty_places();
  for (const std::vector<Place>* places : {&replicas_, &condemned_}) {
    for (const Place& place : *places) keep_claims_of_removed_templates(place);
  }
  finish();
  return std::move(plan_);
}

Plan plan_set(const View& view, Time now) {
  if (view.set.is_null()) return {};
  if (const std::string why = why_unusable(view.set); !why.empty() && !api::is_terminating(view.set)) {
    Plan plan;
    plan.event(view.set, kWarning, "Unusable", why);
    return plan;
  }
  return SetPlanner(view, now).run();
}

}  // namespace berth::controllers::statefulset

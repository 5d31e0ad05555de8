#include "controllers/statefulset/plan.h"

#include <algorithm>
#include <set>

#include "api/selector.h"
#include "controllers/statefulset/identity.h"

namespace berth::controllers::statefulset {
namespace {

using api::resources::kControllerRevisions;
using api::resources::kPersistentVolumeClaims;
using api::resources::kPods;
using api::resources::kStatefulSets;

// One place: what is there, or null.
struct Place {
  int ordinal = 0;
  Value pod;
  PodState state;
};

struct Counts {
  int replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
};

class Planner {
 public:
  Planner(const View& view, Time now) : view_(view), set_(view.set), now_(now), shape_(shape_of(view.set)) {}

  Plan run();

 private:
  bool claim_members();
  void take_places();
  void order_revisions();
  bool settle_replica(Place& place);
  bool settle_condemned(Place& place, bool blocked);
  void create_pod(Place& place);
  void delete_pod(Place& place, std::vector<Action> before = {});
  bool claims_usable(const Place& place);
  void add_missing_claims(const Place& place, std::vector<Action>& chain);
  void fix_claim_owners(const Place& place, std::vector<Action>& chain);
  void keep_claims_of_empty_places();
  void fix_identity(const Place& place);
  void roll();
  void finish();

  const Value& template_for(int ordinal, std::string_view& revision) const;
  void count(const Place& place);
  void count_created(std::string_view revision);
  void uncount_deleted(std::string_view revision);
  Value status_of(const Counts& counts, bool complete) const;

  std::string words(std::string_view verb, std::string_view pod) const {
    return std::string(verb) + " Pod " + std::string(pod) + " in StatefulSet " + shape_.name;
  }

  const View& view_;
  const Value& set_;
  Time now_;
  Shape shape_;
  Plan plan_;
  Revisions revisions_;
  std::string current_name_, update_name_;
  Value current_template_, update_template_;
  std::vector<Place> replicas_;
  std::vector<Place> condemned_;  // from the last ordinal down
  const Place* first_unhealthy_ = nullptr;
  Counts seen_, expected_;
  std::set<std::string> fixed_claims_;  // whose owners this plan changes
};

// --- Who belongs to the set

// Adopts and releases pods and revisions. True where something has to happen before anything else can be decided.
bool Planner::claim_members() {
  const auto parsed = api::LabelSelector::of_object(set_["spec"]["selector"]);
  if (!parsed.ok() || shape_.terminating) return false;
  const api::LabelSelector& selector = parsed.value();
  auto member = [&](const Value& pod) {
    return parse_member(api::name_of(pod)).parent == shape_.name && selector.matches(api::labels_of(pod));
  };
  for (const Value& pod : view_.pods) {
    if (member(pod)) continue;
    Value release = Value::object({{"$patch", "delete"}, {"uid", api::uid_of(set_)}});
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", Value::array({release})}})}});
    plan_.add(patch(kPods, pod, api::PatchType::kStrategic, std::move(change)));
  }
  const Value ours = api::controller_reference(set_, "apps/v1", "StatefulSet");
  auto adopt = [&](const api::Resource& resource, const Value& object) {
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", Value::array({ours})}})}});
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

void Planner::take_places() {
  replicas_.resize(static_cast<std::size_t>(shape_.replicas));
  for (int i = 0; i < shape_.replicas; ++i) replicas_[static_cast<std::size_t>(i)].ordinal = shape_.start + i;
  for (const Value& pod : view_.pods) {
    const Member member = parse_member(api::name_of(pod));
    if (member.parent != shape_.name || member.ordinal < 0) continue;
    Place place{member.ordinal, pod, state_of(pod, shape_.min_ready_seconds, now_)};
    if (place.state.ready && !place.state.available) plan_.look_again(place.state.available_in);
    count(place);
    if (shape_.in_range(member.ordinal)) {
      replicas_[static_cast<std::size_t>(member.ordinal - shape_.start)] = std::move(place);
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
  expected_ = seen_;
}

void Planner::order_revisions() {
  revisions_ = choose_revisions(set_, view_.revisions, view_.revision);
  current_name_ = api::name_of(revisions_.current);
  update_name_ = api::name_of(revisions_.update);
  current_template_ = template_of(revisions_.current);
  update_template_ = template_of(revisions_.update);
  if (revisions_.write == Revisions::Write::kCreate)
    plan_.first.push_back(create(kControllerRevisions, revisions_.update));
  if (revisions_.write == Revisions::Write::kRenumber)
    plan_.first.push_back(update(kControllerRevisions, revisions_.update));
}

// --- Places that should be filled

const Value& Planner::template_for(int ordinal, std::string_view& revision) const {
  const int old =
      shape_.has_rolling_update ? shape_.partition : static_cast<int>(set_["status"]["currentReplicas"].as_int(0));
  const bool keeps_current = (shape_.has_rolling_update || !shape_.on_delete) && ordinal < shape_.start + old;
  revision = keeps_current ? current_name_ : update_name_;
  return keeps_current ? current_template_ : update_template_;
}

// Answers whether an ordered set has to stop here.
bool Planner::settle_replica(Place& place) {
  if (place.pod.is_null()) {
    if (!claims_usable(place)) return true;
    create_pod(place);
    return true;
  }
  if (place.state.ended) {
    // Its successor is made when it has left the API: two of one name cannot be.
    if (!place.state.terminating) delete_pod(place);
    return true;
  }
  if (place.state.pending && !place.state.terminating) {
    std::vector<Action> chain;
    add_missing_claims(place, chain);
    plan_.add_chain(std::move(chain));
  }
  if (!shape_.parallel && (place.state.terminating || !place.state.available)) return true;
  fix_identity(place);
  return false;
}

bool Planner::claims_usable(const Place& place) {
  const std::string name = pod_name(shape_, place.ordinal);
  if (!view_.pod(name).is_null()) {
    plan_.event(set_, kWarning, "FailedCreate",
                words("create", name) + " failed error: pods \"" + name + "\" already exists");
    return false;  // somebody else's pod has the name: wait until it is gone
  }
  for (const Value& one : set_["spec"]["volumeClaimTemplates"]) {
    const std::string claim_called = claim_name(shape_, api::name_of(one), place.ordinal);
    const Value& claim = view_.claim(claim_called);
    if (claim.is_null()) continue;
    if (api::is_terminating(claim)) {
      plan_.event(set_, kWarning, "FailedCreate",
                  words("create", name) + " failed error: pvc " + claim_called + " is being deleted");
      return false;
    }
    if (claim_is_stale(claim, shape_, place.pod, place.ordinal)) return false;
  }
  return true;
}

void Planner::add_missing_claims(const Place& place, std::vector<Action>& chain) {
  const std::string pod = pod_name(shape_, place.ordinal);
  for (const Value& one : set_["spec"]["volumeClaimTemplates"]) {
    const std::string name = claim_name(shape_, api::name_of(one), place.ordinal);
    if (!view_.claim(name).is_null()) continue;
    chain.push_back(create(kPersistentVolumeClaims, make_claim(set_, shape_, one, place.ordinal)));
    chain.back()
        .succeeded(set_, kNormal, "SuccessfulCreate",
                   "create Claim " + name + " Pod " + pod + " in StatefulSet " + shape_.name + " success")
        .failed(set_, kWarning, "FailedCreate",
                "create Claim " + name + " for Pod " + pod + " in StatefulSet " + shape_.name + " failed error: ")
        .failed(set_, kWarning, "FailedCreate",
                words("create", pod) + " failed error: failed to create PVC " + name + ": ");
  }
}

void Planner::create_pod(Place& place) {
  std::string_view revision;
  const Value& pod_template = template_for(place.ordinal, revision);
  const std::string name = pod_name(shape_, place.ordinal);
  std::vector<Action> chain;
  add_missing_claims(place, chain);
  fix_claim_owners(place, chain);
  chain.push_back(create(kPods, make_pod(set_, shape_, pod_template, revision, place.ordinal)));
  chain.back()
      .succeeded(set_, kNormal, "SuccessfulCreate", words("create", name) + " successful")
      .failed(set_, kWarning, "FailedCreate", words("create", name) + " failed error: ");
  plan_.add_chain(std::move(chain));
  count_created(revision);
}

void Planner::delete_pod(Place& place, std::vector<Action> chain) {
  const std::string_view name = api::name_of(place.pod);
  Action action = remove(kPods, place.pod);
  action.succeeded(set_, kNormal, "SuccessfulDelete", words("delete", name) + " successful")
      .failed(set_, kWarning, "FailedDelete", words("delete", name) + " failed error: ");
  chain.push_back(std::move(action));
  plan_.add_chain(std::move(chain));
  uncount_deleted(place.state.revision);
  place.state.terminating = true;
}

void Planner::fix_identity(const Place& place) {
  if (identity_matches(shape_, place.pod, place.ordinal)) return;
  const std::string_view name = api::name_of(place.pod);
  Value labels = Value::object({{kPodNameLabel, name}, {kPodIndexLabel, std::to_string(place.ordinal)}});
  Action action = patch(kPods, place.pod, api::PatchType::kMerge,
                        Value::object({{"metadata", Value::object({{"labels", std::move(labels)}})}}));
  action.succeeded(set_, kNormal, "SuccessfulUpdate", words("update", name) + " successful")
      .failed(set_, kWarning, "FailedUpdate", words("update", name) + " failed error: ");
  plan_.add(std::move(action));
}

void Planner::fix_claim_owners(const Place& place, std::vector<Action>& chain) {
  for (const Value& one : set_["spec"]["volumeClaimTemplates"]) {
    const Value& claim = view_.claim(claim_name(shape_, api::name_of(one), place.ordinal));
    if (claim.is_null() || api::is_terminating(claim)) continue;
    Value owners = wanted_claim_owners(claim, set_, shape_, place.pod, place.ordinal);
    if (owners.is_null()) continue;
    if (!place.pod.is_null() && !shape_.in_range(place.ordinal)) {
      // From here on the claim goes when this pod goes. That must not happen out of an old view: neither for a place
      // that is wanted again, nor with a pod that is gone already.
      chain.push_back(confirm_version(kStatefulSets, set_));
      chain.push_back(confirm_version(kPods, place.pod));
    }
    fixed_claims_.insert(std::string(api::name_of(claim)));
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", std::move(owners)}})}});
    chain.push_back(patch(kPersistentVolumeClaims, claim, api::PatchType::kMerge, std::move(change), true));
  }
}

// With whenDeleted: Retain no claim may go with the set, whether its place has a pod now or not.
void Planner::keep_claims_of_empty_places() {
  if (shape_.delete_when_deleted) return;
  for (const Value& claim : view_.claims) {
    if (api::is_terminating(claim) || fixed_claims_.count(std::string(api::name_of(claim)))) continue;
    Value others = Value::array({});
    for (const Value& reference : claim["metadata"]["ownerReferences"]) {
      if (reference["uid"].as_string() != api::uid_of(set_)) others.push(reference);
    }
    Value change = Value::object({{"metadata", Value::object({{"ownerReferences", std::move(others)}})}});
    plan_.add(patch(kPersistentVolumeClaims, claim, api::PatchType::kMerge, std::move(change), true));
  }
}

// --- Places that should be empty

// Answers whether an ordered set has to stop here. Before a pod goes its claims are told (by their owners) whether they
// go with it.
bool Planner::settle_condemned(Place& place, bool blocked) {
  std::vector<Action> owners;
  fix_claim_owners(place, owners);
  // One that has ended will never become healthy here, and nothing of it runs: waiting for it would be for ever.
  const bool may_go = shape_.parallel || place.state.available || place.state.ended || &place == first_unhealthy_;
  if (!blocked && !place.state.terminating && may_go) {
    delete_pod(place, std::move(owners));
  } else {
    plan_.add_chain(std::move(owners));
  }
  return true;
}

// --- Members of an old revision

void Planner::roll() {
  if (shape_.on_delete) return;
  auto outdated = [&](const Place& place) {
    return !place.pod.is_null() && place.state.revision != update_name_ && !place.state.terminating;
  };
  int unavailable = 0;
  for (const Place& place : replicas_) unavailable += place.state.unavailable() ? 1 : 0;
  int budget = shape_.max_unavailable - unavailable;
  const int low = std::min(shape_.partition, shape_.replicas);
  if (shape_.parallel) {
    // Members that serve nobody cost no availability.
    for (int i = shape_.replicas - 1; i >= low; --i) {
      Place& place = replicas_[static_cast<std::size_t>(i)];
      if (outdated(place) && !place.state.available) delete_pod(place);
    }
  }
  for (int i = shape_.replicas - 1; i >= low && budget > 0; --i) {
    Place& place = replicas_[static_cast<std::size_t>(i)];
    if (!outdated(place)) continue;
    delete_pod(place);
    --budget;
  }
}

// --- Status

void Planner::count(const Place& place) {
  ++seen_.replicas;
  seen_.ready += place.state.ready ? 1 : 0;
  seen_.available += place.state.available ? 1 : 0;
  if (place.state.terminating) return;
  seen_.current += place.state.revision == current_name_ ? 1 : 0;
  seen_.updated += place.state.revision == update_name_ ? 1 : 0;
}

void Planner::count_created(std::string_view revision) {
  ++expected_.replicas;
  expected_.current += revision == current_name_ ? 1 : 0;
  expected_.updated += revision == update_name_ ? 1 : 0;
}

void Planner::uncount_deleted(std::string_view revision) {
  expected_.current -= revision == current_name_ ? 1 : 0;
  expected_.updated -= revision == update_name_ ? 1 : 0;
}

Value Planner::status_of(const Counts& counts, bool complete) const {
  Value status = set_["status"].is_object() ? set_["status"] : Value::object();
  auto put = [&](std::string_view field, int value) {
    if (value != 0) {
      status.set(field, value);
    } else {
      status.erase(field);
    }
  };
  int current = counts.current;
  std::string_view current_name = current_name_;
  if (complete && !shape_.on_delete && counts.updated == shape_.replicas && counts.ready == shape_.replicas &&
      counts.replicas == shape_.replicas) {
    current = counts.updated;
    current_name = update_name_;
  }
  // A view from before somebody's newer write must not take the observed generation back.
  const auto generation = std::max(set_["metadata"]["generation"].as_int(), status["observedGeneration"].as_int());
  if (generation != 0) status.set("observedGeneration", generation);
  status.set("replicas", counts.replicas).set("availableReplicas", counts.available);
  put("readyReplicas", counts.ready);
  put("currentReplicas", current);
  put("updatedReplicas", counts.updated);
  status.set("currentRevision", current_name).set("updateRevision", update_name_);
  status.set("collisionCount", revisions_.collision_count);
  return status;
}

void Planner::finish() {
  auto write_status = [&](const Counts& counts, std::vector<Action>& actions) {
    Value status = status_of(counts, true);
    if (status == set_["status"]) return;
    Value object = set_;
    object.set("status", std::move(status));
    actions.push_back(update_status(kStatefulSets, std::move(object)));
  };
  write_status(expected_, plan_.then);
  write_status(seen_, plan_.otherwise);
  if (shape_.terminating) return;

  std::vector<std::string> live = {current_name_, update_name_, set_["status"]["currentRevision"].str(),
                                   set_["status"]["updateRevision"].str()};
  if (view_.revisions.size() <= static_cast<std::size_t>(std::max(0, shape_.history_limit))) return;
  for (const auto* places : {&replicas_, &condemned_}) {
    for (const Place& place : *places) {
      if (std::find(live.begin(), live.end(), place.state.revision) == live.end())
        live.emplace_back(place.state.revision);
    }
  }
  for (const Value& revision : surplus_revisions(view_.revisions, live, shape_.history_limit)) {
    plan_.then.push_back(remove(kControllerRevisions, revision));
  }
}

Plan Planner::run() {
  if (claim_members()) return std::move(plan_);
  order_revisions();
  take_places();
  if (shape_.terminating) {
    plan_.first.clear();
    if (revisions_.write == Revisions::Write::kNone) finish();
    return std::move(plan_);
  }
  // Also of members that wait for their turn or are on their way out: a claim that a scale-down had given to its pod
  // must be taken back before that pod is gone.
  for (const Place& place : replicas_) {
    // A pod of that name that is no longer a member counts too: its claim must not go with it.
    Place there = place;
    if (there.pod.is_null()) there.pod = view_.pod(pod_name(shape_, place.ordinal));
    std::vector<Action> owners;
    if (!there.pod.is_null()) fix_claim_owners(there, owners);
    plan_.add_chain(std::move(owners));
  }
  const bool ordered = !shape_.parallel;
  bool stopped = false;
  for (std::size_t i = 0; i < replicas_.size() && !(stopped && ordered); ++i) stopped = settle_replica(replicas_[i]);
  if (!(stopped && ordered)) {
    stopped = false;
    for (Place& place : condemned_) stopped = settle_condemned(place, stopped && ordered);
  }
  if (!(stopped && ordered)) roll();
  keep_claims_of_empty_places();
  finish();
  return std::move(plan_);
}

}  // namespace

Plan plan_set(const View& view, Time now) {
  if (view.set.is_null()) return {};
  return Planner(view, now).run();
}

}  // namespace berth::controllers::statefulset

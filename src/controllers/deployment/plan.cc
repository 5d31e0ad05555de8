#include "controllers/deployment/plan.h"

#include <algorithm>
#include <limits>

#include "base/text.h"
#include "controllers/deployment/revisions.h"
#include "controllers/deployment/status.h"
#include "controllers/shared/members.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::deployment {
namespace {

using namespace api::resources;  // NOLINT

int available_of(const Value& set) { return count_in(set["status"]["availableReplicas"]); }

class Planner {
 public:
  Planner(const View& view, Time now)
      : view_(view),
        deployment_(view.deployment),
        now_(now),
        wanted_(replicas_of(view.deployment)),
        bounds_(bounds_of(view.deployment)) {}

  Plan run();

 private:
  void find_sets();
  void note_pause();
  bool make_or_settle_new_set(bool make);
  bool create_new_set(std::int64_t revision);
  void scale_to_spec();
  void scale_in_proportion();
  int share_of(const Value& set, int allowed) const;
  bool roll_new_set();
  bool roll_old_sets();
  void recreate();
  bool old_pods_run() const;
  void scale(Value& set, int replicas);
  void clean_up();
  void report(bool scaling);
  bool is_scaling_event() const;
  int new_set_size() const;
  std::vector<Value*> all();
  std::vector<Value*> active();

  const View& view_;
  const Value& deployment_;
  Time now_;
  int wanted_;
  Bounds bounds_;
  Plan plan_;
  Value new_set_;            // as it is to be after this plan; or null
  std::vector<Value> old_;   // old first, likewise
  std::vector<Value> seen_;  // all, as cached
  Value conditions_;         // set by the steps; goes into the status
  std::optional<std::int64_t> collision_count_;
};

std::vector<Value*> Planner::all() {
  std::vector<Value*> out;
  for (Value& set : old_) out.push_back(&set);
  if (!new_set_.is_null()) out.push_back(&new_set_);
  return out;
}

std::vector<Value*> Planner::active() {
  std::vector<Value*> out = all();
  std::erase_if(out, [](const Value* set) { return replicas_of(*set) == 0; });
  return out;
}

void Planner::find_sets() {
  new_set_ = find_new_set(deployment_, seen_);
  for (const Value& set : seen_) {
    if (api::uid_of(set) != api::uid_of(new_set_)) old_.push_back(set);
  }
  order_by_age(old_);
}

Plan Planner::run() {
  const auto selector = api::LabelSelector::of_object(deployment_["spec"]["selector"]);
  if (!selector.ok()) return {};
  if (const std::string why = why_unusable(deployment_); !why.empty() && !api::is_terminating(deployment_)) {
    plan_.event(deployment_, kWarning, "Unusable", why);
    return std::move(plan_);
  }
  if (selector->matches_everything()) {
    plan_.event(deployment_, kWarning, "SelectingAll",
                "This deployment is selecting all pods. A non-empty selector is required.");
    const std::int64_t generation = deployment_["metadata"]["generation"].as_int();
    if (deployment_["status"]["observedGeneration"].as_int() < generation) {
      plan_.then.push_back(patch_status(
          kDeployments, deployment_, Value::object({{"status", Value::object({{"observedGeneration", generation}})}})));
    }
    return std::move(plan_);
  }
  const Family family{kDeployments, "apps/v1", "Deployment", kReplicaSets};
  seen_ = settle_members(family, deployment_, selector.value(), view_.sets, view_.orphans, plan_);
  if (!plan_.chains.empty()) return std::move(plan_);
  conditions_ = deployment_["status"]["conditions"];
  if (conditions_.is_null()) conditions_ = Value::array();
  find_sets();
  if (api::is_terminating(deployment_)) {
    report(true);
    return std::move(plan_);
  }
  plan_.members = static_cast<std::size_t>(wanted_);
  note_pause();
  if (deployment_["spec"]["paused"].as_bool() || is_scaling_event()) {
    if (!make_or_settle_new_set(false)) return std::move(plan_);
    scale_to_spec();
    if (deployment_["spec"]["paused"].as_bool()) clean_up();
    report(true);
    return std::move(plan_);
  }
  if (!is_rolling(deployment_)) {
    recreate();
  } else {
    if (!make_or_settle_new_set(true)) return std::move(plan_);
    if (!roll_new_set()) roll_old_sets();
  }
  clean_up();
  report(false);
  return std::move(plan_);
}

void Planner::note_pause() {
  if (!has_deadline(deployment_)) return;
  const Value& known = api::condition_of(deployment_, "Progressing");
  const std::string_view reason = known["reason"].as_string();
  if (reason == "ProgressDeadlineExceeded") return;
  const bool paused = deployment_["spec"]["paused"].as_bool();
  if (paused && reason != "DeploymentPaused") {
    set_condition(conditions_, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused", now_);
  } else if (!paused && reason == "DeploymentPaused") {
    set_condition(conditions_, "Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed", now_);
  }
}

// --- The set of today's template

// False where a write has to be seen before anything else can be decided.
bool Planner::make_or_settle_new_set(bool make) {
  std::int64_t newest = 0;
  for (const Value& set : old_) newest = std::max(newest, revision_of(set));
  const std::int64_t revision = number_after(newest);
  if (new_set_.is_null()) return !make || create_new_set(revision);

  Value annotations = new_set_annotations(deployment_, new_set_, revision);
  const int settle = count_in(deployment_["spec"]["minReadySeconds"]);
  const bool settles = count_in(new_set_["spec"]["minReadySeconds"]) == settle;
  if (annotations != new_set_["metadata"]["annotations"] || !settles) {
    Value change = Value::object({{"metadata", Value::object({{"annotations", annotations}})}});
    if (!settles) change.mut("spec").set("minReadySeconds", settle);
    plan_.first.push_back(patch(kReplicaSets, new_set_, api::PatchType::kMerge, std::move(change), true));
    return false;
  }
  const std::string_view number = api::annotation_of(new_set_, kRevision);
  if (api::annotation_of(deployment_, kRevision) != number) {
    Value change =
        Value::object({{"metadata", Value::object({{"annotations", Value::object({{kRevision, number}})}})}});
    plan_.first.push_back(patch_status(kDeployments, deployment_, std::move(change)));
  }
  bool known = false;
  for (const Value& one : conditions_) known = known || one["type"].as_string() == "Progressing";
  if (has_deadline(deployment_) && !known) {
    set_condition(conditions_, "Progressing", "True", "FoundNewReplicaSet",
                  "Found new replica set " + quoted(api::name_of(new_set_)), now_);
  }
  return true;
}

bool Planner::create_new_set(std::int64_t revision) {
  const std::int64_t collisions = deployment_["status"]["collisionCount"].as_int();
  const std::string hash = template_hash(deployment_["spec"]["template"], collisions);
  if (!view_.named.is_null()) {
    // Somebody else's set has that name, or one of ours with another template: count on to get another name.
    plan_.first.push_back(patch_status(kDeployments, deployment_,
                                       Value::object({{"status", Value::object({{"collisionCount", collisions + 1}})}}),
                                       true));
    return false;
  }
  const int size = new_set_size();
  Value set = make_set(deployment_, hash, revision, size);
  const std::string name(api::name_of(set));
  Action action = create(kReplicaSets, set);
  if (size > 0) {
    action.succeeded(deployment_, kNormal, "ScalingReplicaSet",
                     "Scaled up replica set " + name + " from 0 to " + std::to_string(size));
  }
  action.failed(deployment_, kWarning, "ReplicaSetCreateError",
                "Failed to create new replica set " + quoted(name) + ": ");
  plan_.first.push_back(std::move(action));
  Value change = Value::object(
      {{"metadata", Value::object({{"annotations", Value::object({{kRevision, std::to_string(revision)}})}})}});
  plan_.first.push_back(patch_status(kDeployments, deployment_, std::move(change)));
  if (has_deadline(deployment_)) {
    Value failed = conditions_;
    set_condition(failed, "Progressing", "False", "ReplicaSetCreateError",
                  "Failed to create new replica set " + quoted(name), now_);
    Value status = Value::object({{"conditions", failed}});
    plan_.otherwise.push_back(patch_status(kDeployments, deployment_, Value::object({{"status", status}})));
    plan_.explain = [](const std::string& why, std::vector<Action>& otherwise) {
      Value& all = otherwise[0].object.mut("status").mut("conditions");
      for (std::size_t i = 0; i < all.size(); ++i) {
        Value& one = all.mut(i);
        if (one["type"].as_string() == "Progressing") one.set("message", one["message"].str() + ": " + why);
      }
    };
    set_condition(conditions_, "Progressing", "True", "NewReplicaSetCreated", "Created new replica set " + quoted(name),
                  now_);
  }
  report(true);
  return false;
}

int Planner::new_set_size() const {
  const int mine = new_set_.is_null() ? 0 : replicas_of(new_set_);
  if (!is_rolling(deployment_)) return wanted_;
  std::int64_t current = mine;
  for (const Value& set : old_) current += replicas_of(set);
  const std::int64_t most = wanted_ + bounds_.surge;
  return current >= most ? mine : mine + static_cast<int>(std::min<std::int64_t>(most - current, wanted_ - mine));
}

// --- Scaling

bool Planner::is_scaling_event() const {
  for (const Value& set : seen_) {
    if (replicas_of(set) == 0) continue;
    const auto desired = parse_int(api::annotation_of(set, kDesired));
    if (desired.ok() && desired.value() != wanted_) return true;
  }
  return false;
}

// Writes a set's size and the annotations that tell what it was scaled for, where they differ.
void Planner::scale(Value& set, int replicas) {
  const int before = replicas_of(set);
  Value annotations = set["metadata"]["annotations"];
  set_replica_annotations(annotations, wanted_, wanted_ + bounds_.surge);
  if (before == replicas && annotations == set["metadata"]["annotations"]) return;
  Value change = Value::object(
      {{"metadata", Value::object({{"annotations", annotations}})}, {"spec", Value::object({{"replicas", replicas}})}});
  Action action = patch(kReplicaSets, set, api::PatchType::kMerge, std::move(change), true);
  if (before != replicas) {
    action.succeeded(deployment_, kNormal, "ScalingReplicaSet",
                     std::string(before < replicas ? "Scaled up" : "Scaled down") + " replica set " +
                         std::string(api::name_of(set)) + " from " + std::to_string(before) + " to " +
                         std::to_string(replicas));
  }
  plan_.add(std::move(action));
  set.mut("spec").set("replicas", replicas);
}

void Planner::scale_to_spec() {
  const std::vector<Value*> live = active();
  if (live.size() <= 1) {
    Value* one = live.empty() ? (all().empty() ? nullptr : all().back()) : live[0];
    if (one) scale(*one, wanted_);
    return;
  }
  const auto known = parse_int(api::annotation_of(new_set_, kDesired));
  const bool saturated = !new_set_.is_null() && replicas_of(new_set_) == wanted_ && available_of(new_set_) == wanted_ &&
                         known.ok() && known.value() == wanted_;
  if (saturated) {
    for (Value& set : old_) {
      if (replicas_of(set) > 0) scale(set, 0);
    }
    return;
  }
  if (is_rolling(deployment_)) scale_in_proportion();
}

// By how many pods a set should change for the whole to have `allowed`, were it to keep its part of it.
int Planner::share_of(const Value& set, int allowed) const {
  const int size = replicas_of(set);
  if (wanted_ == 0) return -size;
  const auto known = parse_int(api::annotation_of(set, kMaximum));
  const std::int64_t before =
      known.ok() && known.value() > 0 ? known.value() : deployment_["status"]["replicas"].as_int();
  if (before == 0) return 0;
  const double exact = static_cast<double>(size) * allowed / static_cast<double>(before);
  return static_cast<int>(exact + 0.5) - size;
}

// Spreads the change of size over all sets that run, the larger ones first.
void Planner::scale_in_proportion() {
  std::vector<Value*> live = active();
  std::int64_t total = 0;
  for (const Value* set : live) total += replicas_of(*set);
  const int allowed = wanted_ > 0 ? wanted_ + bounds_.surge : 0;
  const int to_add = static_cast<int>(std::clamp<std::int64_t>(allowed - total, -INT32_MAX, INT32_MAX));
  std::stable_sort(live.begin(), live.end(), [&](const Value* a, const Value* b) {
    if (replicas_of(*a) != replicas_of(*b)) return replicas_of(*a) > replicas_of(*b);
    const std::string_view x = (*a)["metadata"]["creationTimestamp"].as_string(),
                           y = (*b)["metadata"]["creationTimestamp"].as_string();
    return to_add > 0 ? x > y : x < y;  // growing favours the new, shrinking spares it
  });
  int added = 0;
  std::vector<int> sizes;
  for (const Value* set : live) {
    const int size = replicas_of(*set), left = to_add - added;
    int change = 0;
    if (left != 0)
      change = to_add > 0 ? std::min(share_of(*set, allowed), left) : std::max(share_of(*set, allowed), left);
    sizes.push_back(size + change);
    added += change;
  }
  for (std::size_t i = 0; i < live.size(); ++i) {
    int size = sizes[i];
    if (i == 0 && to_add != 0) size = std::max(0, size + to_add - added);  // what rounding left over
    scale(*live[i], size);
  }
}

// --- Rolling update

bool Planner::roll_new_set() {
  const int mine = replicas_of(new_set_);
  const int size = mine > wanted_ ? wanted_ : new_set_size();
  if (mine == size) return false;
  scale(new_set_, size);
  return true;
}

bool Planner::roll_old_sets() {
  std::int64_t old_pods = 0, all_pods = replicas_of(new_set_), available = available_of(new_set_);
  for (const Value& set : old_) {
    old_pods += replicas_of(set);
    available += available_of(set);
  }
  all_pods += old_pods;
  if (old_pods == 0) return false;
  const int least = wanted_ - bounds_.unavailable;
  const int new_missing = replicas_of(new_set_) - available_of(new_set_);
  const std::int64_t most = all_pods - least - new_missing;
  if (most <= 0) return false;

  // Pods that serve nobody go first; then as many as may be missing.
  std::vector<int> sizes;
  std::int64_t broken = 0;
  for (const Value& set : old_) {
    const int size = replicas_of(set);
    const int drop =
        static_cast<int>(std::max<std::int64_t>(0, std::min<std::int64_t>(most - broken, size - available_of(set))));
    sizes.push_back(size - drop);
    broken += drop;
  }
  std::int64_t spare = std::max<std::int64_t>(0, available - least);
  for (int& size : sizes) {
    const int drop = static_cast<int>(std::min<std::int64_t>(size, spare));
    size -= drop;
    spare -= drop;
  }
  bool any = false;
  for (std::size_t i = 0; i < old_.size(); ++i) {
    if (sizes[i] == replicas_of(old_[i])) continue;
    scale(old_[i], sizes[i]);
    any = true;
  }
  return any;
}

bool Planner::old_pods_run() const {
  for (const Value& set : old_) {
    if (set["status"]["replicas"].as_int() > 0) return true;
  }
  return std::any_of(view_.pods.begin(), view_.pods.end(), [&](const Value& pod) {
    return !api::is_pod_terminal(pod) && (new_set_.is_null() || !api::is_controlled_by(pod, api::uid_of(new_set_)));
  });
}

void Planner::recreate() {
  if (!make_or_settle_new_set(false)) return;
  bool any = false;
  for (Value& set : old_) {
    if (replicas_of(set) == 0) continue;
    scale(set, 0);
    any = true;
  }
  if (any || old_pods_run()) return;
  if (new_set_.is_null() && !make_or_settle_new_set(true)) return;
  if (replicas_of(new_set_) != wanted_) scale(new_set_, wanted_);
}

// --- History and status

void Planner::clean_up() {
  const bool over =
      is_complete(deployment_, status_of(StatusView{deployment_, seen_, find_new_set(deployment_, seen_)}, true, now_));
  if (!over && !deployment_["spec"]["paused"].as_bool()) return;
  const Value& limit = deployment_["spec"]["revisionHistoryLimit"];
  if (limit.is_null() || limit.as_int() == std::numeric_limits<std::int32_t>::max()) return;
  std::vector<Value> history;
  for (const Value& set : old_) {
    if (!api::is_terminating(set)) history.push_back(set);
  }
  std::stable_sort(history.begin(), history.end(),
                   [](const Value& a, const Value& b) { return revision_of(a) < revision_of(b); });
  for (std::int64_t i = 0; i + limit.as_int() < static_cast<std::int64_t>(history.size()); ++i) {
    const Value& set = history[static_cast<std::size_t>(i)];
    const bool settled = set["status"]["observedGeneration"].as_int() >= set["metadata"]["generation"].as_int();
    // One that has pods counts, and stays.
    if (replicas_of(set) == 0 && set["status"]["replicas"].as_int() == 0 && settled)
      plan_.add(remove(kReplicaSets, set));
  }
}

void Planner::report(bool scaling) {
  if (!plan_.then.empty()) return;
  StatusView view{deployment_, seen_, find_new_set(deployment_, seen_)};
  view.deployment.mut("status").set("conditions", conditions_);
  const Value status = status_of(view, scaling, now_);
  Value change = Value::object();
  for (const auto& [field, value] : status.entries()) {
    const Value& known = deployment_["status"][field];
    const bool shown_even_at_zero = field == "terminatingReplicas";
    if (value.is_int() && !shown_even_at_zero ? known.as_int() != value.as_int() : known != value)
      change.set(field, value);
  }
  // A Deployment without any condition has none, not an empty list.
  if (change["conditions"].is_array() && change["conditions"].empty() && deployment_["status"]["conditions"].empty())
    change.erase("conditions");
  if (!change.empty())
    plan_.then.push_back(patch_status(kDeployments, deployment_, Value::object({{"status", std::move(change)}})));
  if (const auto in = deadline_in(deployment_, status, now_); in && !scaling) plan_.requeue_after(*in);
}

}  // namespace

std::string next_set_name(const Value& deployment) {
  return std::string(api::name_of(deployment)) + "-" +
         template_hash(deployment["spec"]["template"], deployment["status"]["collisionCount"].as_int());
}

Plan plan_deployment(const View& view, Time now) {
  if (view.deployment.is_null()) return {};
  return Planner(view, now).run();
}

}  // namespace berth::controllers::deployment

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

class DeploymentPlanner {
 public:
  DeploymentPlanner(const DeploymentView& view, Time now)
      : view_(view),
        deployment_(view.deployment),
        now_(now),
        desired_(replicas_of(view.deployment)),
        bounds_(bounds_of(view.deployment)) {}

  Plan run();

 private:
  void find_sets();
  void record_pause();
  bool sync_new_set(bool make);
  bool create_new_set(std::int64_t revision);
  void scale_to_spec();
  void scale_in_proportion();
  int proportional_change(const Value& set, int allowed) const;
  bool roll_new_set();
  bool roll_old_sets();
  void recreate();
  bool old_pods_run() const;
  void scale(Value& set, int replicas);
  void clean_up();
  void write_status(bool scaling);
  bool is_scaling_event() const;
  int new_set_size() const;
  std::vector<Value*> all();
  std::vector<Value*> active();

  const DeploymentView& view_;
  const Value& deployment_;
  Time now_;
  int desired_;
  RolloutBounds bounds_;
  Plan plan_;
  Value new_set_;                   // as it will be after this plan; or null
  std::vector<Value> old_sets_;     // oldest first; as they will be after this plan
  std::vector<Value> cached_sets_;  // all, as cached
  Value conditions_;                // changed by the steps; written with the status
  std::optional<std::int64_t> collision_count_;
};

std::vector<Value*> DeploymentPlanner::all() {
  std::vector<Value*> out;
  for (Value& set : old_sets_) out.push_back(&set);
  if (!new_set_.is_null()) out.push_back(&new_set_);
  return out;
}

std::vector<Value*> DeploymentPlanner::active() {
  std::vector<Value*> out = all();
  std::erase_if(out, [](const Value* set) { return replicas_of(*set) == 0; });
  return out;
}

void DeploymentPlanner::find_sets() {
  new_set_ = find_new_set(deployment_, cached_sets_);
  for (const Value& set : cached_sets_) {
    if (api::uid_of(set) != api::uid_of(new_set_)) old_sets_.push_back(set);
  }
  order_by_age(old_sets_);
}

Plan DeploymentPlanner::run() {
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
  const Ownership ownership{kDeployments, "apps/v1", "Deployment", kReplicaSets};
  cached_sets_ = adopt_and_release(ownership, deployment_, selector.value(), view_.sets, view_.orphans, plan_);
  if (!plan_.chains.empty()) return std::move(plan_);
  conditions_ = deployment_["status"]["conditions"];
  if (conditions_.is_null()) conditions_ = Value::array();
  find_sets();
  if (api::is_terminating(deployment_)) {
    write_status(true);
    return std::move(plan_);
  }
  plan_.members = static_cast<std::size_t>(desired_);
  record_pause();
  if (deployment_["spec"]["paused"].as_bool() || is_scaling_event()) {
    if (!sync_new_set(false)) return std::move(plan_);
    scale_to_spec();
    if (deployment_["spec"]["paused"].as_bool()) clean_up();
    write_status(true);
    return std::move(plan_);
  }
  if (!is_rolling(deployment_)) {
    recreate();
  } else {
    if (!sync_new_set(true)) return std::move(plan_);
    if (!roll_new_set()) roll_old_sets();
  }
  clean_up();
  write_status(false);
  return std::move(plan_);
}

void DeploymentPlanner::record_pause() {
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

// --- The set of the present template

// Returns false if a write must be seen in the cache before the plan can continue.
bool DeploymentPlanner::sync_new_set(bool make) {
  std::int64_t newest = 0;
  for (const Value& set : old_sets_) newest = std::max(newest, revision_of(set));
  const std::int64_t revision = number_after(newest);
  if (new_set_.is_null()) return !make || create_new_set(revision);

  Value annotations = new_set_annotations(deployment_, new_set_, revision);
  const int min_ready = count_in(deployment_["spec"]["minReadySeconds"]);
  const bool min_ready_equal = count_in(new_set_["spec"]["minReadySeconds"]) == min_ready;
  if (annotations != new_set_["metadata"]["annotations"] || !min_ready_equal) {
    Value change = Value::object({{"metadata", Value::object({{"annotations", annotations}})}});
    if (!min_ready_equal) change.mut("spec").set("minReadySeconds", min_ready);
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

bool DeploymentPlanner::create_new_set(std::int64_t revision) {
  const std::int64_t collisions = deployment_["status"]["collisionCount"].as_int();
  const std::string hash = template_hash(deployment_["spec"]["template"], collisions);
  if (!view_.named.is_null()) {
    // The name is used by another owner's set, or by an own one with another template: increment collisionCount to get
    // another name.
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
    plan_.explain_refusal = [](const std::string& why, std::vector<Action>& otherwise) {
      Value& all = otherwise[0].object.mut("status").mut("conditions");
      for (std::size_t i = 0; i < all.size(); ++i) {
        Value& one = all.mut(i);
        if (one["type"].as_string() == "Progressing") one.set("message", one["message"].str() + ": " + why);
      }
    };
    set_condition(conditions_, "Progressing", "True", "NewReplicaSetCreated", "Created new replica set " + quoted(name),
                  now_);
  }
  write_status(true);
  return false;
}

int DeploymentPlanner::new_set_size() const {
  const int mine = new_set_.is_null() ? 0 : replicas_of(new_set_);
  if (!is_rolling(deployment_)) return desired_;
  std::int64_t current = mine;
  for (const Value& set : old_sets_) current += replicas_of(set);
  const std::int64_t most = desired_ + bounds_.surge;
  return current >= most ? mine : mine + static_cast<int>(std::min<std::int64_t>(most - current, desired_ - mine));
}

// --- Scaling

bool DeploymentPlanner::is_scaling_event() const {
  for (const Value& set : cached_sets_) {
    if (replicas_of(set) == 0) continue;
    const auto desired = parse_int(api::annotation_of(set, kDesired));
    if (desired.ok() && desired.value() != desired_) return true;
  }
  return false;
}

// Writes a set's size and the annotations with the sizes that it was scaled for, if they differ.
void DeploymentPlanner::scale(Value& set, int replicas) {
  const int before = replicas_of(set);
  Value annotations = set["metadata"]["annotations"];
  set_replica_annotations(annotations, desired_, desired_ + bounds_.surge);
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

void DeploymentPlanner::scale_to_spec() {
  const std::vector<Value*> live = active();
  if (live.size() <= 1) {
    Value* one = live.empty() ? (all().empty() ? nullptr : all().back()) : live[0];
    if (one) scale(*one, desired_);
    return;
  }
  const auto known = parse_int(api::annotation_of(new_set_, kDesired));
  const bool saturated = !new_set_.is_null() && replicas_of(new_set_) == desired_ &&
                         available_of(new_set_) == desired_ && known.ok() && known.value() == desired_;
  if (saturated) {
    for (Value& set : old_sets_) {
      if (replicas_of(set) > 0) scale(set, 0);
    }
    return;
  }
  if (is_rolling(deployment_)) scale_in_proportion();
}

// The change of a set's size that preserves its proportion when the total becomes `allowed`.
int DeploymentPlanner::proportional_change(const Value& set, int allowed) const {
  const int size = replicas_of(set);
  if (desired_ == 0) return -size;
  const auto known = parse_int(api::annotation_of(set, kMaximum));
  const std::int64_t before =
      known.ok() && known.value() > 0 ? known.value() : deployment_["status"]["replicas"].as_int();
  if (before == 0) return 0;
  const double exact = static_cast<double>(size) * allowed / static_cast<double>(before);
  return static_cast<int>(exact + 0.5) - size;
}

// Distributes the change of size over all sets with pods, the larger ones first.
void DeploymentPlanner::scale_in_proportion() {
  std::vector<Value*> live = active();
  std::int64_t total = 0;
  for (const Value* set : live) total += replicas_of(*set);
  const int allowed = desired_ > 0 ? desired_ + bounds_.surge : 0;
  const int to_add = static_cast<int>(std::clamp<std::int64_t>(allowed - total, -INT32_MAX, INT32_MAX));
  std::stable_sort(live.begin(), live.end(), [&](const Value* a, const Value* b) {
    if (replicas_of(*a) != replicas_of(*b)) return replicas_of(*a) > replicas_of(*b);
    const std::string_view x = (*a)["metadata"]["creationTimestamp"].as_string(),
                           y = (*b)["metadata"]["creationTimestamp"].as_string();
    return to_add > 0 ? x > y : x < y;  // when growing the newest first, when shrinking the oldest first
  });
  int added = 0;
  std::vector<int> sizes;
  for (const Value* set : live) {
    const int size = replicas_of(*set), left = to_add - added;
    int change = 0;
    if (left != 0)
      change = to_add > 0 ? std::min(proportional_change(*set, allowed), left)
                          : std::max(proportional_change(*set, allowed), left);
    sizes.push_back(size + change);
    added += change;
  }
  for (std::size_t i = 0; i < live.size(); ++i) {
    int size = sizes[i];
    if (i == 0 && to_add != 0) size = std::max(0, size + to_add - added);  // the rounding remainder
    scale(*live[i], size);
  }
}

// --- Rolling update

bool DeploymentPlanner::roll_new_set() {
  const int mine = replicas_of(new_set_);
  const int size = mine > desired_ ? desired_ : new_set_size();
  if (mine == size) return false;
  scale(new_set_, size);
  return true;
}

bool DeploymentPlanner::roll_old_sets() {
  std::int64_t old_pods = 0, all_pods = replicas_of(new_set_), available = available_of(new_set_);
  for (const Value& set : old_sets_) {
    old_pods += replicas_of(set);
    available += available_of(set);
  }
  all_pods += old_pods;
  if (old_pods == 0) return false;
  const int least = desired_ - bounds_.unavailable;
  const int new_missing = replicas_of(new_set_) - available_of(new_set_);
  const std::int64_t most = all_pods - least - new_missing;
  if (most <= 0) return false;

  // Unavailable pods first; then as many as may become unavailable.
  std::vector<int> sizes;
  std::int64_t broken = 0;
  for (const Value& set : old_sets_) {
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
  for (std::size_t i = 0; i < old_sets_.size(); ++i) {
    if (sizes[i] == replicas_of(old_sets_[i])) continue;
    scale(old_sets_[i], sizes[i]);
    any = true;
  }
  return any;
}

bool DeploymentPlanner::old_pods_run() const {
  for (const Value& set : old_sets_) {
    if (set["status"]["replicas"].as_int() > 0) return true;
  }
  return std::any_of(view_.pods.begin(), view_.pods.end(), [&](const Value& pod) {
    return !api::is_pod_terminal(pod) && (new_set_.is_null() || !api::is_controlled_by(pod, api::uid_of(new_set_)));
  });
}

void DeploymentPlanner::recreate() {
  if (!sync_new_set(false)) return;
  bool any = false;
  for (Value& set : old_sets_) {
    if (replicas_of(set) == 0) continue;
    scale(set, 0);
    any = true;
  }
  if (any || old_pods_run()) return;
  if (new_set_.is_null() && !sync_new_set(true)) return;
  if (replicas_of(new_set_) != desired_) scale(new_set_, desired_);
}

// --- History and status

void DeploymentPlanner::clean_up() {
  const bool over = is_complete(
      deployment_,
      status_of(StatusView{deployment_, cached_sets_, find_new_set(deployment_, cached_sets_)}, true, now_));
  if (!over && !deployment_["spec"]["paused"].as_bool()) return;
  const Value& limit = deployment_["spec"]["revisionHistoryLimit"];
  if (limit.is_null() || limit.as_int() == std::numeric_limits<std::int32_t>::max()) return;
  std::vector<Value> history;
  for (const Value& set : old_sets_) {
    if (!api::is_terminating(set)) history.push_back(set);
  }
  std::stable_sort(history.begin(), history.end(),
                   [](const Value& a, const Value& b) { return revision_of(a) < revision_of(b); });
  for (std::int64_t i = 0; i + limit.as_int() < static_cast<std::int64_t>(history.size()); ++i) {
    const Value& set = history[static_cast<std::size_t>(i)];
    const bool is_observed = set["status"]["observedGeneration"].as_int() >= set["metadata"]["generation"].as_int();
    // A set that has pods counts towards the limit, but is not deleted.
    if (replicas_of(set) == 0 && set["status"]["replicas"].as_int() == 0 && is_observed)
      plan_.add(remove(kReplicaSets, set));
  }
}

void DeploymentPlanner::write_status(bool scaling) {
  if (!plan_.then.empty()) return;
  StatusView view{deployment_, cached_sets_, find_new_set(deployment_, cached_sets_)};
  view.deployment.mut("status").set("conditions", conditions_);
  const Value status = status_of(view, scaling, now_);
  Value change = Value::object();
  for (const auto& [field, value] : status.entries()) {
    const Value& known = deployment_["status"][field];
    const bool shown_even_at_zero = field == "terminatingReplicas";
    if (value.is_int() && !shown_even_at_zero ? known.as_int() != value.as_int() : known != value)
      change.set(field, value);
  }
  // Write no empty list of conditions.
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

Plan plan_deployment(const DeploymentView& view, Time now) {
  if (view.deployment.is_null()) return {};
  return DeploymentPlanner(view, now).run();
}

}  // namespace berth::controllers::deployment

#include "controllers/replicaset/plan.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/deletion_order.h"
#include "controllers/shared/members.h"
#include "controllers/shared/numbers.h"
#include "controllers/shared/pod_names.h"

namespace berth::controllers::replicaset {
namespace {

using namespace api::resources;  // NOLINT

constexpr int kMostAtOnce = 500;  // pods created or deleted by one plan

class ReplicaSetPlanner {
 public:
  ReplicaSetPlanner(const ReplicaSetView& view, Time now)
      : view_(view), set_(view.set), ownership_(ownership_of(view.owner_kind)), now_(now) {}

  Plan run() {
    const auto selector = selector_of(view_.owner_kind, set_);
    if (!selector.ok() || selector->matches_everything()) return {};
    if (const std::string why = why_unusable(set_); !why.empty() && !api::is_terminating(set_)) {
      plan_.event(set_, kWarning, "Unusable", why);
      return std::move(plan_);
    }
    const Ownership& ownership = ownership_;
    members_ = adopt_and_release(ownership, set_, selector.value(), view_.pods, view_.orphans, plan_);
    if (!plan_.chains.empty()) return std::move(plan_);
    for (const Value& pod : members_) {
      if (api::is_pod_terminal(pod)) continue;
      if (api::is_terminating(pod)) {
        ++terminating_;
      } else {
        active_.push_back(pod);
      }
    }
    if (!api::is_terminating(set_)) manage_pods();
    write_status();
    return std::move(plan_);
  }

 private:
  void manage_pods();
  void delay_creation();
  void create_pods(int count);
  void delete_pods(int count);
  void write_status();

  const ReplicaSetView& view_;
  const Value& set_;
  Ownership ownership_;
  Time now_;
  Plan plan_;
  std::vector<Value> members_, active_;
  int terminating_ = 0;
  std::string_view failure_reason_;  // reason of ReplicaFailure if a write is refused
};

void ReplicaSetPlanner::manage_pods() {
  const int desired = count_in(set_["spec"]["replicas"], 1);
  plan_.members = std::max(static_cast<std::size_t>(desired), view_.pods.size());
  const int have = static_cast<int>(active_.size());
  if (have < desired && view_.held_until > now_) return delay_creation();
  if (have < desired) create_pods(std::min(desired - have, kMostAtOnce));
  if (have > desired) delete_pods(std::min(have - desired, kMostAtOnce));
}

void ReplicaSetPlanner::delay_creation() {
  plan_.requeue_after(view_.held_until - now_);
  if (!view_.report_delay) return;
  plan_.event(set_, kWarning, "BackOff",
              "Pods end or are taken away soon after they are made, " + std::to_string(view_.losses) +
                  " times of late: the next are made at " + format_time(view_.held_until + 999ms));
}

void ReplicaSetPlanner::create_pods(int count) {
  failure_reason_ = "FailedCreate";
  std::set<std::string> taken;
  std::vector<std::string> known;
  for (const Value& pod : view_.pods) {
    taken.emplace(api::name_of(pod));
    known.emplace_back(api::uid_of(pod));
  }
  std::sort(known.begin(), known.end());
  const std::string state = std::string(api::uid_of(set_)) + "/" + join(known, ",");
  for (int i = 0, attempt = 0; i < count; ++attempt) {
    const std::string name = derived_name(api::name_of(set_), state, attempt);
    if (!taken.insert(name).second) continue;
    Action action =
        create(kPods, pod_of_template(set_, ownership_.api_version, ownership_.kind, set_["spec"]["template"], name));
    action.succeeded(set_, kNormal, "SuccessfulCreate", "Created pod: " + name);
    action.failed(set_, kWarning, "FailedCreate", "Error creating: ");
    plan_.add(std::move(action));
    ++i;
  }
}

void ReplicaSetPlanner::delete_pods(int count) {
  failure_reason_ = "FailedDelete";
  std::vector<Value> order = active_;
  order_for_deletion(order, view_.related ? view_.related() : active_, now_);
  for (int i = 0; i < count; ++i) {
    const Value& pod = order[static_cast<std::size_t>(i)];
    Action action = remove(kPods, pod);
    action.succeeded(set_, kNormal, "SuccessfulDelete", "Deleted pod: " + std::string(api::name_of(pod)));
    action.failed(set_, kWarning, "FailedDelete", "Error deleting: ");
    plan_.add(std::move(action));
  }
}

void ReplicaSetPlanner::write_status() {
  const Value& old = set_["status"];
  int ready = 0, available = 0, labelled = 0;
  const auto template_labels = api::LabelSelector::of_map(set_["spec"]["template"]["metadata"]["labels"]);
  const Duration min_ready = seconds_in(set_["spec"]["minReadySeconds"]);
  for (const Value& pod : active_) {
    if (template_labels.matches(api::labels_of(pod))) ++labelled;
    const auto since = ready_since(pod);
    if (!since) continue;
    ++ready;
    if (now_ - *since >= min_ready) {
      ++available;
    } else {
      plan_.requeue_after(min_ready - (now_ - *since));
    }
  }
  Value change = Value::object();
  auto number = [&](const char* field, std::int64_t value) {
    if (old[field].as_int() != value) change.set(field, value);
  };
  number("replicas", static_cast<std::int64_t>(active_.size()));
  number("fullyLabeledReplicas", labelled);
  number("readyReplicas", ready);
  number("availableReplicas", available);
  if (view_.owner_kind == OwnerKind::kReplicaSet &&
      (!old["terminatingReplicas"].is_int() || old["terminatingReplicas"].as_int() != terminating_)) {
    change.set("terminatingReplicas", terminating_);
  }
  number("observedGeneration", std::max(set_["metadata"]["generation"].as_int(), old["observedGeneration"].as_int()));
  auto write = [&](Value changed) {
    return patch_status(ownership_.owner_resource, set_, Value::object({{"status", std::move(changed)}}), true);
  };
  if (!failure_reason_.empty()) {
    Value failed = change;
    // An existing condition retains its reason.
    if (api::condition_of(set_, "ReplicaFailure").is_null()) {
      Value conditions = old["conditions"];
      api::set_condition(conditions, "ReplicaFailure", "True", failure_reason_, "", now_);
      failed.set("conditions", conditions);
      plan_.explain_refusal = [](const std::string& why, std::vector<Action>& otherwise) {
        Value& all = otherwise[0].object.mut("status").mut("conditions");
        all.mut(all.size() - 1).set("message", why);
      };
    }
    if (!failed.empty()) plan_.otherwise.push_back(write(failed));
  }
  if (!api::condition_of(set_, "ReplicaFailure").is_null()) {
    Value left = Value::array();
    for (const Value& condition : old["conditions"]) {
      if (condition["type"].as_string() != "ReplicaFailure") left.push(condition);
    }
    change.set("conditions", left.empty() ? Value() : left);
  }
  if (!change.empty()) plan_.then.push_back(write(std::move(change)));
}

}  // namespace

Plan plan_set(const ReplicaSetView& view, Time now) {
  if (view.set.is_null()) return {};
  return ReplicaSetPlanner(view, now).run();
}

Ownership ownership_of(OwnerKind owner_kind) {
  if (owner_kind == OwnerKind::kReplicationController)
    return Ownership{kReplicationControllers, "v1", "ReplicationController", kPods};
  return Ownership{kReplicaSets, "apps/v1", "ReplicaSet", kPods};
}

Result<api::LabelSelector> selector_of(OwnerKind owner_kind, const Value& set) {
  const Value& selector = set["spec"]["selector"];
  if (owner_kind == OwnerKind::kReplicationController) return api::LabelSelector::of_map(selector);
  return api::LabelSelector::of_object(selector);
}

}  // namespace berth::controllers::replicaset

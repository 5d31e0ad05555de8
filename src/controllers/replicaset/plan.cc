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

class Planner {
 public:
  Planner(const View& view, Time now) : view_(view), set_(view.set), family_(family_of(view.form)), now_(now) {}

  Plan run() {
    const auto selector = selector_of(view_.form, set_);
    if (!selector.ok() || selector->matches_everything()) return {};
    if (const std::string why = why_unusable(set_); !why.empty() && !api::is_terminating(set_)) {
      plan_.event(set_, kWarning, "Unusable", why);
      return std::move(plan_);
    }
    const Family& family = family_;
    members_ = settle_members(family, set_, selector.value(), view_.pods, view_.orphans, plan_);
    if (!plan_.chains.empty()) return std::move(plan_);
    for (const Value& pod : members_) {
      if (api::is_pod_terminal(pod)) continue;
      if (api::is_terminating(pod)) {
        ++terminating_;
      } else {
        active_.push_back(pod);
      }
    }
    if (!api::is_terminating(set_)) manage();
    report();
    return std::move(plan_);
  }

 private:
  void manage();
  void hold_back();
  void create_pods(int count);
  void delete_pods(int count);
  void report();

  const View& view_;
  const Value& set_;
  Family family_;
  Time now_;
  Plan plan_;
  std::vector<Value> members_, active_;
  int terminating_ = 0;
  std::string_view failure_reason_;  // reason of ReplicaFailure, should a write be refused
};

void Planner::manage() {
  const int wanted = count_in(set_["spec"]["replicas"], 1);
  plan_.members = std::max(static_cast<std::size_t>(wanted), view_.pods.size());
  const int have = static_cast<int>(active_.size());
  if (have < wanted && view_.held_until > now_) return hold_back();
  if (have < wanted) create_pods(std::min(wanted - have, kMostAtOnce));
  if (have > wanted) delete_pods(std::min(have - wanted, kMostAtOnce));
}

void Planner::hold_back() {
  plan_.requeue_after(view_.held_until - now_);
  if (!view_.tell_hold) return;
  plan_.event(set_, kWarning, "BackOff",
              "Pods end or are taken away soon after they are made, " + std::to_string(view_.losses) +
                  " times of late: the next are made at " + format_time(view_.held_until + 999ms));
}

void Planner::create_pods(int count) {
  failure_reason_ = "FailedCreate";
  std::set<std::string> taken;
  std::vector<std::string> known;
  for (const Value& pod : view_.pods) {
    taken.emplace(api::name_of(pod));
    known.emplace_back(api::uid_of(pod));
  }
  std::sort(known.begin(), known.end());
  const std::string state = std::string(api::uid_of(set_)) + "/" + join(known, ",");
  for (int i = 0, draw = 0; i < count; ++draw) {
    const std::string name = drawn_name(api::name_of(set_), state, draw);
    if (!taken.insert(name).second) continue;
    Action action =
        create(kPods, pod_of_template(set_, family_.api_version, family_.kind, set_["spec"]["template"], name));
    action.succeeded(set_, kNormal, "SuccessfulCreate", "Created pod: " + name);
    action.failed(set_, kWarning, "FailedCreate", "Error creating: ");
    plan_.add(std::move(action));
    ++i;
  }
}

void Planner::delete_pods(int count) {
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

void Planner::report() {
  const Value& old = set_["status"];
  int ready = 0, available = 0, labelled = 0;
  const auto template_labels = api::LabelSelector::of_map(set_["spec"]["template"]["metadata"]["labels"]);
  const Duration settle = seconds_in(set_["spec"]["minReadySeconds"]);
  for (const Value& pod : active_) {
    if (template_labels.matches(api::labels_of(pod))) ++labelled;
    const auto since = ready_since(pod);
    if (!since) continue;
    ++ready;
    if (now_ - *since >= settle) {
      ++available;
    } else {
      plan_.requeue_after(settle - (now_ - *since));
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
  if (view_.form == Form::kReplicaSet &&
      (!old["terminatingReplicas"].is_int() || old["terminatingReplicas"].as_int() != terminating_)) {
    change.set("terminatingReplicas", terminating_);
  }
  number("observedGeneration", std::max(set_["metadata"]["generation"].as_int(), old["observedGeneration"].as_int()));
  auto write = [&](Value changed) {
    return patch_status(family_.owner_resource, set_, Value::object({{"status", std::move(changed)}}), true);
  };
  if (!failure_reason_.empty()) {
    Value failed = change;
    // One that is there already keeps the reason it came for.
    if (api::condition_of(set_, "ReplicaFailure").is_null()) {
      Value conditions = old["conditions"];
      api::set_condition(conditions, "ReplicaFailure", "True", failure_reason_, "", now_);
      failed.set("conditions", conditions);
      plan_.explain = [](const std::string& why, std::vector<Action>& otherwise) {
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

Plan plan_set(const View& view, Time now) {
  if (view.set.is_null()) return {};
  return Planner(view, now).run();
}

Family family_of(Form form) {
  if (form == Form::kReplicationController)
    return Family{kReplicationControllers, "v1", "ReplicationController", kPods};
  return Family{kReplicaSets, "apps/v1", "ReplicaSet", kPods};
}

Result<api::LabelSelector> selector_of(Form form, const Value& set) {
  const Value& selector = set["spec"]["selector"];
  if (form == Form::kReplicationController) return api::LabelSelector::of_map(selector);
  return api::LabelSelector::of_object(selector);
}

}  // namespace berth::controllers::replicaset

#include "controllers/replicaset/plan.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "base/text.h"
#include "base/time.h"
#include "controllers/replicaset/members.h"
#include "controllers/replicaset/pod_names.h"

namespace berth::controllers::replicaset {
namespace {

using namespace api::resources;  // NOLINT

constexpr int kMostAtOnce = 500;  // pods created or deleted by one plan

// Since when the pod is ready; not set where it is not.
std::optional<Time> ready_since(const Value& pod) {
  const Value& ready = api::condition_of(pod, "Ready");
  if (ready["status"].as_string() != "True") return std::nullopt;
  const auto parsed = parse_time(ready["lastTransitionTime"].as_string());
  return parsed.ok() ? parsed.value() : Time();
}

class Planner {
 public:
  Planner(const View& view, Time now) : view_(view), set_(view.set), now_(now) {}

  Plan run() {
    const auto selector = api::LabelSelector::of_object(set_["spec"]["selector"]);
    if (!selector.ok() || selector->matches_everything()) return {};
    const Family family{kReplicaSets, "apps/v1", "ReplicaSet", kPods};
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
  void create_pods(int count);
  void delete_pods(int count);
  void report();

  const View& view_;
  const Value& set_;
  Time now_;
  Plan plan_;
  std::vector<Value> members_, active_;
  int terminating_ = 0;
  std::string_view trouble_;  // reason of ReplicaFailure, should a write be refused
};

void Planner::manage() {
  const int wanted = static_cast<int>(set_["spec"]["replicas"].as_int(1));
  const int have = static_cast<int>(active_.size());
  if (have < wanted) create_pods(std::min(wanted - have, kMostAtOnce));
  if (have > wanted) delete_pods(std::min(have - wanted, kMostAtOnce));
}

void Planner::create_pods(int count) {
  trouble_ = "FailedCreate";
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
    Action action = create(kPods, pod_of_template(set_, "apps/v1", "ReplicaSet", set_["spec"]["template"], name));
    action.succeeded(set_, kNormal, "SuccessfulCreate", "Created pod: " + name);
    action.failed(set_, kWarning, "FailedCreate", "Error creating: ");
    plan_.add(std::move(action));
    ++i;
  }
}

void Planner::delete_pods(int count) {
  trouble_ = "FailedDelete";
  std::vector<Value> order = active_;
  order_for_deletion(order, now_);
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
  const Duration settle = std::chrono::seconds(set_["spec"]["minReadySeconds"].as_int());
  for (const Value& pod : active_) {
    if (template_labels.matches(api::labels_of(pod))) ++labelled;
    const auto since = ready_since(pod);
    if (!since) continue;
    ++ready;
    if (now_ - *since >= settle) {
      ++available;
    } else {
      plan_.look_again(settle - (now_ - *since));
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
  number("terminatingReplicas", terminating_);
  number("observedGeneration", set_["metadata"]["generation"].as_int());
  auto write = [&](Value changed) { return patch_status(kReplicaSets, set_, Value::object({{"status", std::move(changed)}}), true); };
  if (!trouble_.empty()) {
    Value conditions = old["conditions"];
    Value failed = change;
    const char* text = trouble_ == "FailedCreate" ? "pods cannot be created: see the events" : "pods cannot be deleted: see the events";
    if (api::set_condition(conditions, "ReplicaFailure", "True", trouble_, text, now_)) failed.set("conditions", conditions);
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

void order_for_deletion(std::vector<Value>& pods, Time now) {
  std::map<std::string, int, std::less<>> crowd;
  for (const Value& pod : pods) {
    const std::string_view node = pod["spec"]["nodeName"].as_string();
    if (!node.empty()) ++crowd[std::string(node)];
  }
  struct Rank {
    bool placed;
    int phase;
    bool ready;
    std::int64_t cost;
    int apart;                  // fewer neighbours stay
    Duration ready_age;         // the longest ready stays
    std::int64_t fewer_restarts;
    std::string created;        // the oldest stays
    std::string name;
  };
  std::vector<std::pair<Rank, Value>> ranked;
  for (const Value& pod : pods) {
    Rank rank{};
    const std::string_view node = pod["spec"]["nodeName"].as_string();
    rank.placed = !node.empty();
    const std::string_view phase = pod["status"]["phase"].as_string();
    rank.phase = phase == "Running" ? 2 : phase == "Unknown" ? 1 : 0;
    const auto since = ready_since(pod);
    rank.ready = since.has_value();
    const auto cost = parse_int(api::annotation_of(pod, "controller.kubernetes.io/pod-deletion-cost"));
    rank.cost = cost.ok() ? cost.value() : 0;
    rank.apart = rank.placed ? -crowd[std::string(node)] : 0;
    rank.ready_age = since ? now - *since : Duration::zero();
    for (const Value& container : pod["status"]["containerStatuses"]) {
      rank.fewer_restarts = std::min(rank.fewer_restarts, -container["restartCount"].as_int());
    }
    rank.created = pod["metadata"]["creationTimestamp"].str();
    rank.name = api::name_of(pod);
    ranked.emplace_back(std::move(rank), pod);
  }
  std::sort(ranked.begin(), ranked.end(), [](const auto& a, const auto& b) {
    const Rank &x = a.first, &y = b.first;
    const auto left = std::tie(x.placed, x.phase, x.ready, x.cost, x.apart, x.ready_age, x.fewer_restarts);
    const auto right = std::tie(y.placed, y.phase, y.ready, y.cost, y.apart, y.ready_age, y.fewer_restarts);
    if (left != right) return left < right;
    return x.created != y.created ? x.created > y.created : x.name < y.name;
  });
  pods.clear();
  for (auto& [rank, pod] : ranked) pods.push_back(std::move(pod));
}

}  // namespace berth::controllers::replicaset

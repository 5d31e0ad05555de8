#include "controllers/replicaset/plan.h"

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/numbers.h"
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
  std::string_view trouble_;  // reason of ReplicaFailure, should a write be refused
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
  plan_.look_again(view_.held_until - now_);
  if (!view_.tell_hold) return;
  plan_.event(set_, kWarning, "BackOff", "Pods end or are taken away soon after they are made, " + std::to_string(view_.losses) +
                                             " times of late: the next are made at " + format_time(view_.held_until + 999ms));
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
    Action action = create(kPods, pod_of_template(set_, family_.api_version, family_.kind, set_["spec"]["template"], name));
    action.succeeded(set_, kNormal, "SuccessfulCreate", "Created pod: " + name);
    action.failed(set_, kWarning, "FailedCreate", "Error creating: ");
    plan_.add(std::move(action));
    ++i;
  }
}

void Planner::delete_pods(int count) {
  trouble_ = "FailedDelete";
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
  if (view_.form == Form::kReplicaSet && (!old["terminatingReplicas"].is_int() || old["terminatingReplicas"].as_int() != terminating_)) {
    change.set("terminatingReplicas", terminating_);
  }
  number("observedGeneration", std::max(set_["metadata"]["generation"].as_int(), old["observedGeneration"].as_int()));
  auto write = [&](Value changed) { return patch_status(family_.owner_resource, set_, Value::object({{"status", std::move(changed)}}), true); };
  if (!trouble_.empty()) {
    Value failed = change;
    // One that is there already keeps the reason it came for.
    if (api::condition_of(set_, "ReplicaFailure").is_null()) {
      Value conditions = old["conditions"];
      api::set_condition(conditions, "ReplicaFailure", "True", trouble_, "", now_);
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
  if (form == Form::kReplicationController) return Family{kReplicationControllers, "v1", "ReplicationController", kPods};
  return Family{kReplicaSets, "apps/v1", "ReplicaSet", kPods};
}

Result<api::LabelSelector> selector_of(Form form, const Value& set) {
  const Value& selector = set["spec"]["selector"];
  if (form == Form::kReplicationController) return api::LabelSelector::of_map(selector);
  return api::LabelSelector::of_object(selector);
}

namespace {

// What decides about a pod's place in the order.
struct Rank {
  std::tuple<bool, int, bool, std::int64_t, int> standing;  // placed, phase, ready, cost, apart from others
  std::optional<Time> ready, created;
  std::pair<std::int64_t, std::int64_t> restarts;  // of containers and of sidecars: the most that one of them had
  std::string uid, name;
};

std::pair<std::int64_t, std::int64_t> restarts_of(const Value& pod) {
  std::int64_t containers = 0, sidecars = 0;
  for (const Value& one : pod["status"]["containerStatuses"]) containers = std::max(containers, one["restartCount"].as_int());
  for (const Value& one : pod["spec"]["initContainers"]) {
    if (one["restartPolicy"].as_string() != "Always") continue;
    for (const Value& status : pod["status"]["initContainerStatuses"]) {
      if (status["name"] == one["name"]) sidecars = std::max(sidecars, status["restartCount"].as_int());
    }
  }
  return {containers, sidecars};
}

Rank rank_of(const Value& pod, const std::map<std::string, int, std::less<>>& crowd) {
  Rank rank{};
  const std::string_view node = pod["spec"]["nodeName"].as_string(), phase = pod["status"]["phase"].as_string();
  rank.ready = ready_since(pod);
  const auto cost = parse_int(api::annotation_of(pod, "controller.kubernetes.io/pod-deletion-cost"));
  const auto neighbours = crowd.find(node);
  rank.standing = {!node.empty(), phase == "Running" ? 2 : phase == "Unknown" ? 1 : 0, rank.ready.has_value(), cost.ok() ? cost.value() : 0,
                   neighbours == crowd.end() ? 0 : -neighbours->second};
  if (const auto created = parse_time(pod["metadata"]["creationTimestamp"].as_string()); created.ok()) rank.created = created.value();
  rank.restarts = restarts_of(pod);
  rank.uid = api::uid_of(pod);
  rank.name = api::name_of(pod);
  return rank;
}

// How old, by powers of two.
int magnitude(Time at, Time now) {
  const auto age = now - at;
  return age > Duration::zero() ? std::bit_width(static_cast<std::uint64_t>(std::chrono::nanoseconds(age).count())) : 0;
}

// Less than zero: the first goes before the second.
int compare_ages(const Rank& a, const Rank& b, Time x, Time y, Time now) {
  const int p = magnitude(x, now), q = magnitude(y, now);
  return p != q ? p - q : a.uid.compare(b.uid);
}

bool goes_before(const Rank& a, const Rank& b, Time now) {
  if (a.standing != b.standing) return a.standing < b.standing;
  if (a.ready && b.ready && *a.ready != *b.ready) return compare_ages(a, b, *a.ready, *b.ready, now) < 0;
  if (a.restarts != b.restarts) return a.restarts > b.restarts;
  if (a.created && b.created && *a.created != *b.created) return compare_ages(a, b, *a.created, *b.created, now) < 0;
  return a.name < b.name;
}

}  // namespace

void order_for_deletion(std::vector<Value>& pods, const std::vector<Value>& related, Time now) {
  std::map<std::string, int, std::less<>> crowd;
  for (const Value& pod : related) {
    const std::string_view node = pod["spec"]["nodeName"].as_string();
    if (!node.empty() && !api::is_pod_terminal(pod) && !api::is_terminating(pod)) ++crowd[std::string(node)];
  }
  std::vector<std::pair<Rank, Value>> ranked;
  for (Value& pod : pods) ranked.emplace_back(rank_of(pod, crowd), std::move(pod));
  std::stable_sort(ranked.begin(), ranked.end(), [&](const auto& a, const auto& b) { return goes_before(a.first, b.first, now); });
  pods.clear();
  for (auto& [rank, pod] : ranked) pods.push_back(std::move(pod));
}

}  // namespace berth::controllers::replicaset

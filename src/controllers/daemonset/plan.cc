#include "controllers/daemonset/plan.h"

#include <algorithm>
#include <optional>

#include "api/selector.h"
#include "base/time/time.h"
#include "controllers/daemonset/nodes.h"
#include "controllers/shared/members.h"
#include "controllers/shared/numbers.h"
#include "controllers/shared/pod_names.h"

namespace berth::controllers::daemonset {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::size_t kMostAtOnce = 250;  // pods created, and pods deleted, by one plan

std::string_view phase_of(const Value& pod) { return pod["status"]["phase"].as_string(); }

// Pods with a node first, then the oldest.
bool comes_before(const Value& a, const Value& b) {
  const bool x = !a["spec"]["nodeName"].as_string().empty(), y = !b["spec"]["nodeName"].as_string().empty();
  if (x != y) return x;
  const std::string_view s = a["metadata"]["creationTimestamp"].as_string(),
                         t = b["metadata"]["creationTimestamp"].as_string();
  return s != t ? s < t : api::name_of(a) < api::name_of(b);
}

// One node and the set's pods for it.
struct NodePods {
  Value node;  // null: the node does not exist
  NodeEligibility eligibility;
  std::vector<Value> pods;  // without those that have ended and are being deleted
};

class DaemonSetPlanner {
 public:
  DaemonSetPlanner(const DaemonSetView& view, Time now) : view_(view), set_(view.set), now_(now) {
    out_.backoffs = view.backoffs;
  }
  PlanResult run();

 private:
  void collect_nodes();
  void manage_pods();
  void reconcile_node(const std::string& name, NodePods& node_pods);
  bool may_delete_failed(const std::string& node);
  void prune_surge(std::vector<Value>& running);
  void roll();
  void roll_by_deleting(int unavailable_allowed);
  void roll_by_surging(int surge_allowed, int desired);
  void create_on(const std::string& node);
  void mark_for_deletion(const Value& pod) { to_delete_.push_back(pod); }
  void write_pods();
  void write_status();

  bool is_rolling() const { return set_["spec"]["updateStrategy"]["type"].as_string() != "OnDelete"; }
  int bound(const char* field, int total) const {
    return is_rolling() ? part_in(set_["spec"]["updateStrategy"]["rollingUpdate"][field], total, true) : 0;
  }
  bool surges() const { return bound("maxSurge", 1) > 0; }
  bool is_updated(const Value& pod) const { return api::label_of(pod, kHashLabel) == history_.hash; }
  bool is_available(const Value& pod);

  const DaemonSetView& view_;
  const Value& set_;
  Time now_;
  PlanResult out_;
  RevisionHistory history_;
  std::vector<Value> members_;
  std::map<std::string, NodePods> nodes_;   // by name of node: all nodes, and missing nodes that pods name
  std::vector<std::string> nodes_to_fill_;  // nodes that need a pod now
  std::vector<Value> to_delete_;            // pods to delete now
};

PlanResult DaemonSetPlanner::run() {
  Plan& plan = out_.plan;
  const auto selector = api::LabelSelector::of_object(set_["spec"]["selector"]);
  if (!selector.ok() || api::is_terminating(set_)) return std::move(out_);
  if (const std::string why = why_unusable(set_); !why.empty()) {
    plan.event(set_, kWarning, "Unusable", why);
    return std::move(out_);
  }
  if (selector->matches_everything()) {
    plan.event(set_, kWarning, "SelectingAll",
               "This daemon set is selecting all pods. A non-empty selector is required.");
    return std::move(out_);
  }
  const Ownership of_pods{kDaemonSets, "apps/v1", "DaemonSet", kPods};
  const Ownership of_revisions{kDaemonSets, "apps/v1", "DaemonSet", kControllerRevisions};
  members_ = adopt_and_release(of_pods, set_, selector.value(), view_.pods, view_.orphans, plan);
  const auto revisions =
      adopt_and_release(of_revisions, set_, selector.value(), view_.revisions, view_.orphan_revisions, plan);
  if (!plan.chains.empty()) return std::move(out_);
  history_ = sync_revisions(set_, revisions, members_, view_.revision, plan);
  if (history_.hash.empty()) return std::move(out_);
  collect_nodes();
  plan.members = std::max(nodes_.size(), members_.size());
  manage_pods();
  if (nodes_to_fill_.empty() && to_delete_.empty() && is_rolling()) roll();
  write_pods();
  write_status();
  for (const Value& one : unused_revisions(set_, history_.old, members_))
    plan.then.push_back(remove(kControllerRevisions, one));
  return std::move(out_);
}

void DaemonSetPlanner::collect_nodes() {
  for (const Value& node : view_.nodes) {
    NodePods& node_pods = nodes_[std::string(api::name_of(node))];
    node_pods.node = node;
    node_pods.eligibility = eligibility_of(set_, node);
  }
  for (const Value& pod : members_) {
    const std::string node = target_of(pod);
    if (node.empty() || (api::is_terminating(pod) && api::is_pod_terminal(pod))) continue;
    nodes_[node].pods.push_back(pod);
  }
  for (auto& [name, node_pods] : nodes_) std::sort(node_pods.pods.begin(), node_pods.pods.end(), comes_before);
}

bool DaemonSetPlanner::is_available(const Value& pod) {
  const Value& ready = api::condition_of(pod, "Ready");
  if (ready["status"].as_string() != "True") return false;
  const Duration min_ready = seconds_in(set_["spec"]["minReadySeconds"]);
  if (min_ready <= Duration::zero()) return true;
  const auto since = parse_time(ready["lastTransitionTime"].as_string());
  if (!since.ok()) return false;
  const Duration left = min_ready - (now_ - since.value());
  if (left > Duration::zero()) out_.plan.requeue_after(left);
  return left <= Duration::zero();
}

// --- One pod on each node that should have one

void DaemonSetPlanner::manage_pods() {
  for (auto& [name, node_pods] : nodes_) {
    if (!node_pods.node.is_null()) {
      reconcile_node(name, node_pods);
      continue;
    }
    // These pods can never be scheduled, and no other controller deletes them.
    for (const Value& pod : node_pods.pods) {
      if (pod["spec"]["nodeName"].as_string().empty() && !api::is_terminating(pod)) mark_for_deletion(pod);
    }
  }
}

void DaemonSetPlanner::reconcile_node(const std::string& name, NodePods& node_pods) {
  if (node_pods.eligibility.run && node_pods.pods.empty()) {
    nodes_to_fill_.push_back(name);
    return;
  }
  std::vector<Value> running;
  for (const Value& pod : node_pods.pods) {
    if (api::is_terminating(pod)) continue;
    const std::string what = " daemon pod " + key_of(pod) + " on node " + name + ", will try to ";
    if (!node_pods.eligibility.stay) {
      mark_for_deletion(pod);
    } else if (phase_of(pod) == "Failed") {
      if (!may_delete_failed(name)) continue;
      out_.plan.event(set_, kWarning, "FailedDaemonPod", "Found failed" + what + "kill it");
      mark_for_deletion(pod);
    } else if (phase_of(pod) == "Succeeded") {
      out_.plan.event(set_, kNormal, "SucceededDaemonPod", "Found succeeded" + what + "delete it");
      mark_for_deletion(pod);
    } else {
      running.push_back(pod);
    }
  }
  if (!node_pods.eligibility.stay) return;
  if (!surges()) {
    for (std::size_t i = 1; i < running.size(); ++i) mark_for_deletion(running[i]);
  } else if (running.size() > 1) {
    prune_surge(running);
  } else if (running.empty() && node_pods.eligibility.run) {
    nodes_to_fill_.push_back(name);
  }
}

bool DaemonSetPlanner::may_delete_failed(const std::string& node) {
  auto [at, fresh] = out_.backoffs.try_emplace(node);
  NodeBackoff& present = at->second;
  const Duration since = now_ - present.last;
  const bool forgotten = fresh || since > 2 * kLongestBackoff;
  if (!forgotten && since < present.delay) {
    out_.plan.requeue_after(present.delay - since);
    return false;
  }
  present = NodeBackoff{forgotten ? kFirstBackoff : std::min(2 * present.delay, kLongestBackoff), now_};
  return true;
}

// Two pods may run on a node: the oldest new one while it is not available, and the oldest old one while that is ready.
void DaemonSetPlanner::prune_surge(std::vector<Value>& running) {
  Value fresh, old;
  for (const Value& pod : running) {
    Value& place = is_updated(pod) ? fresh : old;
    if (place.is_null()) {
      place = pod;
    } else {
      mark_for_deletion(pod);
    }
  }
  if (fresh.is_null() || old.is_null()) return;
  if (!api::is_pod_ready(old) || is_available(fresh)) mark_for_deletion(old);
}

// --- Updates

// A node's new and old pod that are not being deleted.
struct Pair {
  Value fresh, old;
  bool crowded = false;  // several pods of the new or the old template
};

template <class IsUpdated>
Pair pair_of(const NodePods& node_pods, const IsUpdated& is_updated) {
  Pair pair;
  for (const Value& pod : node_pods.pods) {
    if (api::is_terminating(pod)) continue;
    Value& place = is_updated(pod) ? pair.fresh : pair.old;
    if (!place.is_null()) return Pair{{}, {}, true};
    place = pod;
  }
  return pair;
}

void DaemonSetPlanner::roll() {
  int desired = 0;
  for (const auto& [name, node_pods] : nodes_) desired += node_pods.eligibility.run ? 1 : 0;
  int unavailable = bound("maxUnavailable", desired);
  const int surge = bound("maxSurge", desired);
  if (surge > 0) return roll_by_surging(surge, desired);
  roll_by_deleting(desired > 0 && unavailable == 0 ? 1 : unavailable);
}

void DaemonSetPlanner::roll_by_deleting(int allowed) {
  int unavailable = 0;
  std::vector<Value> candidates;
  for (const auto& [name, node_pods] : nodes_) {
    if (node_pods.pods.empty() && !node_pods.eligibility.run) continue;
    const Pair pair = pair_of(node_pods, [this](const Value& pod) { return is_updated(pod); });
    if (pair.crowded || pair.fresh.is_null() == pair.old.is_null()) {
      ++unavailable;
    } else if (!pair.fresh.is_null()) {
      unavailable += is_available(pair.fresh) ? 0 : 1;
    } else if (!is_available(pair.old)) {
      mark_for_deletion(pair.old);
      ++unavailable;
    } else {
      candidates.push_back(pair.old);
    }
  }
  for (int i = 0; i < std::min<int>(allowed - unavailable, static_cast<int>(candidates.size())); ++i) {
    mark_for_deletion(candidates[static_cast<std::size_t>(i)]);
  }
}

void DaemonSetPlanner::roll_by_surging(int allowed, int desired) {
  int surging = 0, available = 0;
  std::vector<std::string> candidates;
  std::vector<Value> misplaced;  // available pods on nodes that should not run one
  for (const auto& [name, node_pods] : nodes_) {
    const Pair pair = pair_of(node_pods, [this](const Value& pod) { return is_updated(pod); });
    if (pair.crowded) {
      ++surging;
      continue;
    }
    const bool old_serves = !pair.old.is_null() && is_available(pair.old);
    const bool new_serves = !pair.fresh.is_null() && is_available(pair.fresh);
    available += (pair.old.is_null() ? new_serves : old_serves) ? 1 : 0;
    if (pair.old.is_null()) continue;
    if (!pair.fresh.is_null()) {
      if (new_serves) {
        mark_for_deletion(pair.old);
      } else {
        ++surging;
      }
    } else if (!node_pods.eligibility.run) {
      if (old_serves) {
        misplaced.push_back(pair.old);
      } else {
        mark_for_deletion(pair.old);
      }
    } else if (old_serves) {
      candidates.push_back(name);
    } else {
      nodes_to_fill_.push_back(name);
    }
  }
  // With maxSurge no node may be without an available pod: pods on wrong nodes stay until as many are available on the
  // right ones.
  for (int i = 0; i < std::min<int>(available - desired, static_cast<int>(misplaced.size())); ++i) {
    mark_for_deletion(misplaced[static_cast<std::size_t>(i)]);
  }
  for (int i = 0; i < std::min<int>(allowed - surging, static_cast<int>(candidates.size())); ++i) {
    nodes_to_fill_.push_back(candidates[static_cast<std::size_t>(i)]);
  }
}

// --- Writes

void DaemonSetPlanner::create_on(const std::string& node) {
  std::string state =
      std::string(api::uid_of(set_)) + "/" + node + "/" + history_.hash + "/" + std::to_string(view_.deleted_pods);
  for (const Value& pod : nodes_[node].pods) state += "," + std::string(api::uid_of(pod));
  auto is_used = [&](const std::string& name) {
    return std::any_of(view_.pods.begin(), view_.pods.end(),
                       [&](const Value& pod) { return api::name_of(pod) == name; });
  };
  int attempt = 0;
  std::string name = derived_name(api::name_of(set_), state, attempt);
  while (is_used(name)) name = derived_name(api::name_of(set_), state, ++attempt);
  Action action = create(kPods, make_pod(set_, node, history_.hash, name));
  action.succeeded(set_, kNormal, "SuccessfulCreate", "Created pod: " + name);
  action.failed(set_, kWarning, "FailedCreate", "Error creating: ");
  out_.plan.add(std::move(action));
}

void DaemonSetPlanner::write_pods() {
  for (std::size_t i = 0; i < nodes_to_fill_.size() && i < kMostAtOnce; ++i) create_on(nodes_to_fill_[i]);
  for (std::size_t i = 0; i < to_delete_.size() && i < kMostAtOnce; ++i) {
    const Value& pod = to_delete_[i];
    Action action = remove(kPods, pod);
    action.succeeded(set_, kNormal, "SuccessfulDelete", "Deleted pod: " + std::string(api::name_of(pod)));
    action.failed(set_, kWarning, "FailedDelete", "Error deleting: ");
    out_.plan.add(std::move(action));
  }
}

void DaemonSetPlanner::write_status() {
  int desired = 0, current = 0, misplaced = 0, ready = 0, updated = 0, available = 0;
  for (const auto& [name, node_pods] : nodes_) {
    if (node_pods.node.is_null()) continue;
    if (!node_pods.eligibility.run) {
      misplaced += node_pods.pods.empty() ? 0 : 1;
      continue;
    }
    ++desired;
    if (node_pods.pods.empty()) continue;
    ++current;
    const Value& first = node_pods.pods.front();
    ready += api::is_pod_ready(first) ? 1 : 0;
    available += is_available(first) ? 1 : 0;
    updated += is_updated(first) ? 1 : 0;
  }
  const Value& old = set_["status"];
  Value change = Value::object();
  auto number = [&](const char* field, std::int64_t value) {
    if (old[field].as_int() != value) change.set(field, value);
  };
  number("desiredNumberScheduled", desired);
  number("currentNumberScheduled", current);
  number("numberMisscheduled", misplaced);
  number("numberReady", ready);
  number("updatedNumberScheduled", updated);
  number("numberAvailable", available);
  number("numberUnavailable", desired - available);
  number("observedGeneration", std::max(set_["metadata"]["generation"].as_int(), old["observedGeneration"].as_int()));
  if (change.empty()) return;
  const Action write = patch_status(kDaemonSets, set_, Value::object({{"status", std::move(change)}}), true);
  out_.plan.then.push_back(write);
  out_.plan.otherwise.push_back(write);
}

}  // namespace

PlanResult plan_set(const DaemonSetView& view, Time now) {
  if (view.set.is_null()) return {};
  return DaemonSetPlanner(view, now).run();
}

}  // namespace berth::controllers::daemonset

#include "scheduler/preempt.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "api/object.h"
#include "api/selector.h"
#include "base/time/time.h"

namespace berth::scheduler {
namespace {

// Bounds the nodes to examine: more candidates are hardly better.
constexpr std::size_t kPercentOfNodes = 10;
constexpr std::size_t kNodesAtLeast = 100;

const Value& latest(const PodInfo& pod, const ClusterView& view) {
  const Value& found = view.pod(pod.ns, std::string(api::name_of(pod.pod)));
  return api::uid_of(found) == pod.uid ? found : pod.pod;
}

Time start_time(const PodInfo& pod, const ClusterView& view) {
  const auto time = parse_time(latest(pod, view)["status"]["startTime"].as_string());
  return time.ok() ? time.value() : view.now();
}

// Of two pods with equal priority the one that has run longer is more important.
struct RankedPod {
  PodPtr pod;
  Time since;
};
bool is_more_important(const RankedPod& a, const RankedPod& b) {
  return std::tuple(-a.pod->priority, a.since, std::string_view(a.pod->key)) <
         std::tuple(-b.pod->priority, b.since, std::string_view(b.pod->key));
}

// For each pod: true if no budget allows to disrupt it.
std::vector<bool> protected_by_budget(const std::vector<RankedPod>& pods, const std::vector<Value>& budgets) {
  std::vector<std::int64_t> allowed;
  for (const Value& budget : budgets) allowed.push_back(budget["status"]["disruptionsAllowed"].as_int());
  std::vector<bool> out(pods.size(), false);
  for (std::size_t i = 0; i < pods.size(); ++i) {
    const PodInfo& pod = *pods[i].pod;
    if (pod.labels.empty()) continue;
    for (std::size_t b = 0; b < budgets.size(); ++b) {
      if (api::namespace_of(budgets[b]) != pod.ns) continue;
      const auto selector = api::LabelSelector::of_object(budgets[b]["spec"]["selector"]);
      if (!selector.ok() || selector->requirements().empty() || !selector->matches(pod.labels)) continue;
      if (budgets[b]["status"]["disruptedPods"].contains(api::name_of(pod.pod))) continue;  // counted already
      if (--allowed[b] < 0) out[i] = true;
    }
  }
  return out;
}

// True for a victim of an earlier preemption that is still terminating.
bool is_preemption_victim(const PodInfo& pod, const ClusterView& view) {
  const Value& object = latest(pod, view);
  const Value& condition = api::condition_of(object, "DisruptionTarget");
  return api::is_terminating(object) && condition["status"].as_string() == "True" &&
         condition["reason"].as_string() == "PreemptionByScheduler";
}

// Why the pod may not preempt (again), or "".
std::string not_eligible(const FilterInput& input, const Snapshot& snapshot,
                         const std::vector<const NodeInfo*>& resolvable) {
  if (input.pod.never_preempts) return "not eligible due to preemptionPolicy=Never.";
  const NodeInfo* nominated = snapshot.node(snapshot.nomination_of(input.pod.uid));
  if (!nominated || std::find(resolvable.begin(), resolvable.end(), nominated) == resolvable.end()) return {};
  for (const PodPtr& other : nominated->pods) {
    if (other->priority < input.pod.priority && is_preemption_victim(*other, input.view)) {
      return "not eligible due to a terminating pod on the nominated node.";
    }
  }
  return {};
}

std::int64_t sum_of_priorities(const VictimSet& one) {
  // Shifted above zero, so that fewer pods of negative priority are better than more.
  std::int64_t sum = 0;
  for (const PodPtr& pod : one.victims) sum += pod->priority + std::numeric_limits<std::int32_t>::max() + 1;
  return sum;
}

// The earliest start among the most important victims.
Time earliest_of_first(const VictimSet& one, const ClusterView& view) {
  Time earliest = start_time(*one.victims.front(), view);
  for (const PodPtr& pod : one.victims) {
    if (pod->priority == one.victims.front()->priority) earliest = std::min(earliest, start_time(*pod, view));
  }
  return earliest;
}

}  // namespace

VictimSet choose_victims(const FilterInput& input, Snapshot& snapshot, const NodeInfo& node,
                         const std::vector<Value>& budgets, Reasons& reasons) {
  std::vector<RankedPod> possible;
  for (const PodPtr& other : node.pods) {
    if (other->priority < input.pod.priority) possible.push_back({other, start_time(*other, input.view)});
  }
  VictimSet out;
  if (possible.empty()) {
    reasons.add("No preemption victims found for incoming pod");
    return out;
  }
  std::sort(possible.begin(), possible.end(), is_more_important);
  const std::string name = node.name;
  for (const RankedPod& one : possible) snapshot.remove(one.pod->uid);
  const FilterResult without = filter_with_nominated(input, node, snapshot);
  if (!without.fits()) {
    without.each_reason([&](std::string_view reason) { reasons.add(reason); });
  } else {
    out.node = &node;
    const std::vector<bool> guarded = protected_by_budget(possible, budgets);
    // Put pods back that need not be deleted: those that budgets protect first, then by importance.
    for (const bool next_node : {true, false}) {
      for (std::size_t i = 0; i < possible.size(); ++i) {
        if (guarded[i] != next_node) continue;
        snapshot.place(possible[i].pod, name);
        if (filter_with_nominated(input, node, snapshot).fits()) continue;
        snapshot.remove(possible[i].pod->uid);
        out.victims.push_back(possible[i].pod);
        out.violations += next_node ? 1 : 0;
      }
    }
    // `possible` is sorted by importance.
    std::vector<PodPtr> ordered;
    for (const RankedPod& one : possible) {
      if (std::find(out.victims.begin(), out.victims.end(), one.pod) != out.victims.end()) ordered.push_back(one.pod);
    }
    out.victims = std::move(ordered);
  }
  for (const RankedPod& one : possible) snapshot.place(one.pod, name);
  return out;
}

const VictimSet& best_victim_set(const std::vector<VictimSet>& list, const ClusterView& view) {
  auto better = [&](const VictimSet& a, const VictimSet& b) {
    if (a.violations != b.violations) return a.violations < b.violations;
    if (a.victims.front()->priority != b.victims.front()->priority)
      return a.victims.front()->priority < b.victims.front()->priority;
    const std::int64_t sum_a = sum_of_priorities(a), sum_b = sum_of_priorities(b);
    if (sum_a != sum_b) return sum_a < sum_b;
    if (a.victims.size() != b.victims.size()) return a.victims.size() < b.victims.size();
    return earliest_of_first(a, view) > earliest_of_first(b, view);
  };
  return *std::min_element(list.begin(), list.end(), better);
}

std::string no_preemption_message(const PodInfo& pod, std::size_t nodes, int unresolvable, Reasons reasons) {
  if (pod.never_preempts) return "not eligible due to preemptionPolicy=Never.";
  if (unresolvable > 0) reasons.add("Preemption is not helpful for scheduling", unresolvable);
  return "0/" + std::to_string(nodes) + " nodes are available: " + reasons.text() + ".";
}

Preemption preempt(const FilterInput& input, Snapshot& snapshot, const std::vector<const NodeInfo*>& resolvable,
                   int unresolvable, std::size_t next_node) {
  Preemption out;
  out.message = not_eligible(input, snapshot, resolvable);
  if (!out.message.empty()) return out;
  const std::size_t enough =
      std::min(resolvable.size(), std::max(kNodesAtLeast, resolvable.size() * kPercentOfNodes / 100));
  const std::vector<Value> budgets = resolvable.empty() ? std::vector<Value>() : input.view.budgets();
  std::vector<VictimSet> found;
  bool any_clean = false;
  Reasons reasons;
  for (std::size_t i = 0; i < resolvable.size(); ++i) {
    VictimSet one = choose_victims(input, snapshot, *resolvable[(next_node + i) % resolvable.size()], budgets, reasons);
    if (!one.node || one.victims.empty()) continue;
    any_clean = any_clean || one.violations == 0;
    found.push_back(std::move(one));
    if (any_clean && found.size() >= enough) break;
  }
  if (found.empty()) {
    out.message = no_preemption_message(input.pod, snapshot.nodes().size(), unresolvable, std::move(reasons));
    out.withdraw = true;
    return out;
  }
  const VictimSet& best = best_victim_set(found, input.view);
  out.node = best.node->name;
  out.victims = best.victims;
  return out;
}

}  // namespace berth::scheduler

#include "scheduler/preempt.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "api/object.h"
#include "api/selector.h"
#include "base/time/time.h"

namespace berth::scheduler {
namespace {

// As many nodes are tried as are worth it; beyond, more candidates hardly are better ones.
constexpr std::size_t kPercentOfNodes = 10;
constexpr std::size_t kNodesAtLeast = 100;

const Value& latest(const PodInfo& pod, const View& view) {
  const Value& found = view.pod(pod.ns, std::string(api::name_of(pod.pod)));
  return api::uid_of(found) == pod.uid ? found : pod.pod;
}

Time started(const PodInfo& pod, const View& view) {
  const auto time = parse_time(latest(pod, view)["status"]["startTime"].as_string());
  return time.ok() ? time.value() : view.now();
}

// Of two pods of one priority the one that runs longer is worth more.
struct Ranked {
  PodPtr pod;
  Time since;
};
bool matters_more(const Ranked& a, const Ranked& b) {
  return std::tuple(-a.pod->priority, a.since, std::string_view(a.pod->key)) <
         std::tuple(-b.pod->priority, b.since, std::string_view(b.pod->key));
}

// Splits off the pods that no budget has anything left for.
std::vector<bool> protected_by_budget(const std::vector<Ranked>& pods, const std::vector<Value>& budgets) {
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

// A victim of an earlier preemption that is still on its way out.
bool is_leaving_for_somebody(const PodInfo& pod, const View& view) {
  const Value& object = latest(pod, view);
  const Value& condition = api::condition_of(object, "DisruptionTarget");
  return api::is_terminating(object) && condition["status"].as_string() == "True" &&
         condition["reason"].as_string() == "PreemptionByScheduler";
}

// Why the pod may not preempt (again), or "".
std::string not_eligible(const Question& question, const Snapshot& snapshot,
                         const std::vector<const NodeInfo*>& curable) {
  if (question.pod.never_preempts) return "not eligible due to preemptionPolicy=Never.";
  const NodeInfo* nominated = snapshot.node(snapshot.nomination_of(question.pod.uid));
  if (!nominated || std::find(curable.begin(), curable.end(), nominated) == curable.end()) return {};
  for (const PodPtr& other : nominated->pods) {
    if (other->priority < question.pod.priority && is_leaving_for_somebody(*other, question.view)) {
      return "not eligible due to a terminating pod on the nominated node.";
    }
  }
  return {};
}

std::int64_t sum_of_priorities(const Sacrifice& one) {
  // Shifted above zero, so that fewer pods of negative priority are better than more.
  std::int64_t sum = 0;
  for (const PodPtr& pod : one.victims) sum += pod->priority + std::numeric_limits<std::int32_t>::max() + 1;
  return sum;
}

// When the longest running of the most important victims started.
Time earliest_of_first(const Sacrifice& one, const View& view) {
  Time earliest = started(*one.victims.front(), view);
  for (const PodPtr& pod : one.victims) {
    if (pod->priority == one.victims.front()->priority) earliest = std::min(earliest, started(*pod, view));
  }
  return earliest;
}

}  // namespace

Sacrifice victims_on(const Question& question, Snapshot& snapshot, const NodeInfo& node,
                     const std::vector<Value>& budgets, Reasons& reasons) {
  std::vector<Ranked> possible;
  for (const PodPtr& other : node.pods) {
    if (other->priority < question.pod.priority) possible.push_back({other, started(*other, question.view)});
  }
  Sacrifice out;
  if (possible.empty()) {
    reasons.add("No preemption victims found for incoming pod");
    return out;
  }
  std::sort(possible.begin(), possible.end(), matters_more);
  const std::string name = node.name;
  for (const Ranked& one : possible) snapshot.remove(one.pod->uid);
  const Verdict without = filter_with_nominated(question, node, snapshot);
  if (!without.fits()) {
    without.each_reason([&](std::string_view reason) { reasons.add(reason); });
  } else {
    out.node = &node;
    const std::vector<bool> guarded = protected_by_budget(possible, budgets);
    // Those that budgets protect are spared first, then the more important ones.
    for (const bool turn : {true, false}) {
      for (std::size_t i = 0; i < possible.size(); ++i) {
        if (guarded[i] != turn) continue;
        snapshot.place(possible[i].pod, name);
        if (filter_with_nominated(question, node, snapshot).fits()) continue;
        snapshot.remove(possible[i].pod->uid);
        out.victims.push_back(possible[i].pod);
        out.violations += turn ? 1 : 0;
      }
    }
    // `possible` is in order of importance.
    std::vector<PodPtr> ordered;
    for (const Ranked& one : possible) {
      if (std::find(out.victims.begin(), out.victims.end(), one.pod) != out.victims.end()) ordered.push_back(one.pod);
    }
    out.victims = std::move(ordered);
  }
  for (const Ranked& one : possible) snapshot.place(one.pod, name);
  return out;
}

const Sacrifice& best_sacrifice(const std::vector<Sacrifice>& list, const View& view) {
  auto better = [&](const Sacrifice& a, const Sacrifice& b) {
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

std::string nothing_to_preempt(const PodInfo& pod, std::size_t nodes, int hopeless, Reasons reasons) {
  if (pod.never_preempts) return "not eligible due to preemptionPolicy=Never.";
  if (hopeless > 0) reasons.add("Preemption is not helpful for scheduling", hopeless);
  return "0/" + std::to_string(nodes) + " nodes are available: " + reasons.text() + ".";
}

Preemption preempt(const Question& question, Snapshot& snapshot, const std::vector<const NodeInfo*>& curable,
                   int hopeless, std::size_t turn) {
  Preemption out;
  out.message = not_eligible(question, snapshot, curable);
  if (!out.message.empty()) return out;
  const std::size_t enough = std::min(curable.size(), std::max(kNodesAtLeast, curable.size() * kPercentOfNodes / 100));
  const std::vector<Value> budgets = curable.empty() ? std::vector<Value>() : question.view.budgets();
  std::vector<Sacrifice> found;
  bool any_clean = false;
  Reasons reasons;
  for (std::size_t i = 0; i < curable.size(); ++i) {
    Sacrifice one = victims_on(question, snapshot, *curable[(turn + i) % curable.size()], budgets, reasons);
    if (!one.node || one.victims.empty()) continue;
    any_clean = any_clean || one.violations == 0;
    found.push_back(std::move(one));
    if (any_clean && found.size() >= enough) break;
  }
  if (found.empty()) {
    out.message = nothing_to_preempt(question.pod, snapshot.nodes().size(), hopeless, std::move(reasons));
    out.withdraw = true;
    return out;
  }
  const Sacrifice& best = best_sacrifice(found, question.view);
  out.node = best.node->name;
  out.victims = best.victims;
  return out;
}

}  // namespace berth::scheduler

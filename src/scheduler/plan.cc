#include "scheduler/plan.h"

#include <algorithm>
#include <map>
#include <vector>

#include "base/text.h"
#include "scheduler/score/score.h"

namespace berth::scheduler {
namespace {

constexpr std::size_t kAlwaysAll = 100;

// "1 Insufficient cpu, 2 node(s) were unschedulable"
std::string histogram(const std::map<std::string, int>& reasons) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : reasons) parts.push_back(std::to_string(count) + " " + reason);
  std::sort(parts.begin(), parts.end());
  return join(parts, ", ");
}

std::string none_of(std::size_t nodes) { return "0/" + std::to_string(nodes) + " nodes are available: "; }

std::string preemption(const PodInfo& pod, std::size_t nodes, int curable, int hopeless) {
  if (pod.pod["spec"]["preemptionPolicy"].as_string() == "Never") {
    return "preemption: not eligible due to preemptionPolicy=Never.";
  }
  std::map<std::string, int> reasons;
  if (curable > 0) reasons["No preemption victims found for incoming pod"] = curable;
  if (hopeless > 0) reasons["Preemption is not helpful for scheduling"] = hopeless;
  return "preemption: " + none_of(nodes) + histogram(reasons) + ".";
}

std::size_t best_of(const Question& question, const std::vector<const NodeInfo*>& candidates) {
  if (candidates.size() == 1) return 0;
  const Scores scores = score(question, candidates);
  std::size_t best = 0;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    // Equal nodes: the emptier one, then the first by name.
    if (scores[i] > scores[best] || (scores[i] == scores[best] && candidates[i]->pods.size() < candidates[best]->pods.size())) best = i;
  }
  return best;
}

}  // namespace

std::size_t enough_nodes(std::size_t all) {
  if (all <= kAlwaysAll) return all;
  const std::size_t percent = std::max<std::ptrdiff_t>(5, 50 - static_cast<std::ptrdiff_t>(all / 125));
  return std::max(kAlwaysAll, all * percent / 100);
}

bool fits_on(const PodInfo& pod, const NodeInfo& node, const Snapshot& snapshot, const Storage& storage) {
  const VolumeNeeds needs = volume_needs(pod, storage, snapshot);
  return needs.problem.empty() && filter(Question{pod, needs, storage, snapshot}, node).fits();
}

Decision decide(const PodInfo& pod, const Snapshot& snapshot, const Storage& storage, std::size_t& turn) {
  Decision decision;
  const auto& nodes = snapshot.nodes();
  if (nodes.empty()) {
    decision.message = "no nodes available to schedule pods";
    decision.concerns = kConcernNoNodes;
    return decision;
  }
  const VolumeNeeds needs = volume_needs(pod, storage, snapshot);
  if (!needs.problem.empty()) {
    decision.message = none_of(nodes.size()) + needs.problem + ". " + preemption(pod, nodes.size(), 0, static_cast<int>(nodes.size()));
    decision.concerns = kConcernVolumes;
    return decision;
  }
  const Question question{pod, needs, storage, snapshot};
  std::vector<const NodeInfo*> candidates;
  std::map<std::string, int> reasons;
  int curable = 0, hopeless = 0;
  const std::size_t enough = enough_nodes(nodes.size());
  std::size_t looked = 0;
  for (; looked < nodes.size() && candidates.size() < enough; ++looked) {
    const NodeInfo* node = nodes[(turn + looked) % nodes.size()];
    Verdict verdict = filter(question, *node);
    if (verdict.fits()) {
      candidates.push_back(node);
      continue;
    }
    ++(verdict.curable ? curable : hopeless);
    decision.concerns |= verdict.concern;
    for (const std::string& reason : verdict.reasons) ++reasons[reason];
  }
  if (looked < nodes.size()) turn = (turn + looked) % nodes.size();
  if (candidates.empty()) {
    decision.message = none_of(nodes.size()) + histogram(reasons) + ". no new claims to deallocate, " +
                       preemption(pod, nodes.size(), curable, hopeless);
    return decision;
  }
  const NodeInfo& chosen = *candidates[best_of(question, candidates)];
  decision.node = chosen.name;
  decision.concerns = 0;
  choose_volumes(needs, chosen.node, storage, &decision.volumes);
  return decision;
}

}  // namespace berth::scheduler

#include "scheduler/plan.h"

#include <algorithm>

#include "base/text.h"
#include "scheduler/explain.h"
#include "scheduler/preempt.h"
#include "scheduler/score/score.h"

namespace berth::scheduler {
namespace {

constexpr std::size_t kAlwaysAll = 100;  // clusters up to this size: all nodes are examined

std::string none_of(std::size_t nodes) { return "0/" + std::to_string(nodes) + " nodes are available: "; }

std::size_t best_of(const FilterInput& input, const std::vector<const NodeInfo*>& candidates, Snapshot& snapshot) {
  if (candidates.size() == 1) return 0;
  const Scores scores = score(input, candidates, snapshot);
  std::size_t best = 0;
  for (std::size_t i = 1; i < candidates.size(); ++i) {
    // With equal scores: the node with fewer pods, then the first by name.
    if (scores[i] > scores[best] ||
        (scores[i] == scores[best] && candidates[i]->pods.size() < candidates[best]->pods.size()))
      best = i;
  }
  return best;
}

// The result of filtering the nodes.
struct SearchResult {
  std::vector<const NodeInfo*> candidates;
  std::vector<const NodeInfo*> resolvable;  // with fewer pods they might fit
  int unresolvable = 0;
  Reasons reasons;
  unsigned concerns = 0;
};

SearchResult search_nodes(const FilterInput& input, Snapshot& snapshot, std::size_t& next_node) {
  SearchResult search;
  const auto& nodes = snapshot.nodes();
  const std::size_t enough = enough_nodes(nodes.size());
  search.candidates.reserve(enough);
  std::size_t examined = 0;
  for (; examined < nodes.size() && search.candidates.size() < enough; ++examined) {
    const NodeInfo* node = nodes[(next_node + examined) % nodes.size()];
    FilterResult result = filter_with_nominated(input, *node, snapshot);
    if (result.fits()) {
      search.candidates.push_back(node);
      continue;
    }
    if (result.resolvable) {
      search.resolvable.push_back(node);
    } else {
      ++search.unresolvable;
    }
    search.concerns |= result.concern;
    result.each_reason([&](std::string_view reason) { search.reasons.add(reason); });
  }
  if (examined < nodes.size()) next_node = (next_node + examined) % nodes.size();
  return search;
}

void choose_node(SchedulingDecision& decision, const FilterInput& input, const NodeInfo& chosen) {
  decision.node = chosen.name;
  choose_volumes(input.volumes, chosen.node, input.view, &decision.volumes);
}

// No node fits: plans a preemption and composes the message.
void plan_preemption(SchedulingDecision& decision, const FilterInput& input, Snapshot& snapshot,
                     const SearchResult& search, const std::string& why, std::size_t next_node) {
  Preemption preemption = preempt(input, snapshot, search.resolvable, search.unresolvable, next_node);
  decision.message = none_of(snapshot.nodes().size()) + why + ".";
  if (preemption.node.empty()) {
    decision.message += " no new claims to deallocate, preemption: " + preemption.message;
    decision.withdraw = preemption.withdraw;
  } else {
    decision.nominated = std::move(preemption.node);
    decision.victims = std::move(preemption.victims);
  }
  const std::string help = explain_volumes(input, snapshot);
  if (!help.empty()) decision.message += " " + help;
}

}  // namespace

void Reasons::add(std::string_view reason, int count) {
  for (auto& [text, so_far] : counts) {
    if (text == reason) {
      so_far += count;
      return;
    }
  }
  counts.emplace_back(reason, count);
}

std::string Reasons::text() const {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : counts) parts.push_back(std::to_string(count) + " " + reason);
  std::sort(parts.begin(), parts.end());
  return join(parts, ", ");
}

std::size_t enough_nodes(std::size_t all) {
  if (all <= kAlwaysAll) return all;
  const std::size_t percent =
      static_cast<std::size_t>(std::max<std::ptrdiff_t>(5, 50 - static_cast<std::ptrdiff_t>(all / 125)));
  return std::max(kAlwaysAll, all * percent / 100);
}

bool fits_on(const PodInfo& pod, const NodeInfo& node, Snapshot& snapshot, const ClusterView& view) {
  const VolumeNeeds needs = volume_needs(pod, view, snapshot);
  if (!needs.problem.empty()) return false;
  const Neighbours neighbours = gather_neighbours(pod, snapshot, view);
  return filter_with_nominated(make_filter_input(pod, needs, view, neighbours), node, snapshot).fits();
}

FilterResult filter_with_nominated(const FilterInput& input, const NodeInfo& node, Snapshot& snapshot) {
  if (!snapshot.any_nominated()) return filter(input, node);
  std::vector<PodPtr> coming;
  for (const PodPtr& other : snapshot.nominated_for(node.name)) {
    if (other->uid != input.pod.uid && other->priority >= input.pod.priority && !snapshot.placed(other->uid))
      coming.push_back(other);
  }
  if (!coming.empty()) {
    for (const PodPtr& other : coming) snapshot.place(other, node.name);
    const Neighbours with_them = gather_neighbours(input.pod, snapshot, input.view);
    FilterResult result = filter(make_filter_input(input.pod, input.volumes, input.view, with_them), node);
    for (const PodPtr& other : coming) snapshot.remove(other->uid);
    if (!result.fits()) return result;
  }
  // It is not certain that they will be placed, so the pod must also fit without them.
  return filter(input, node);
}

SchedulingDecision decide(const PodInfo& pod, Snapshot& snapshot, const ClusterView& view, std::size_t& next_node) {
  SchedulingDecision decision;
  const std::size_t all = snapshot.nodes().size();
  if (all == 0) {
    decision.message = "no nodes available to schedule pods";
    decision.concerns = kConcernNoNodes;
    return decision;
  }
  const VolumeNeeds needs = volume_needs(pod, view, snapshot);
  if (!needs.problem.empty()) {
    decision.message = none_of(all) + needs.problem +
                       ". preemption: " + no_preemption_message(pod, all, static_cast<int>(all), Reasons());
    decision.concerns = kConcernVolumes;
    decision.withdraw = true;
    return decision;
  }
  const Neighbours neighbours = gather_neighbours(pod, snapshot, view);
  const FilterInput input = make_filter_input(pod, needs, view, neighbours);
  if (snapshot.any_nominated()) {
    // The node nominated by an earlier preemption is chosen without scoring.
    const NodeInfo* nominated = snapshot.node(snapshot.nomination_of(pod.uid));
    if (nominated && filter_with_nominated(input, *nominated, snapshot).fits()) {
      choose_node(decision, input, *nominated);
      return decision;
    }
  }
  const std::size_t first = next_node;
  SearchResult search = search_nodes(input, snapshot, next_node);
  if (search.candidates.empty()) {
    decision.concerns = search.concerns;
    plan_preemption(decision, input, snapshot, search, search.reasons.text(), first);
    return decision;
  }
  choose_node(decision, input, *search.candidates[best_of(input, search.candidates, snapshot)]);
  return decision;
}

}  // namespace berth::scheduler

#pragma once
// Preemption: on which node deleting pods of lower priority makes room for a pod, and which pods. Pure, like plan.h.

#include <string>
#include <vector>

#include "scheduler/filter/filter.h"
#include "scheduler/plan.h"

namespace berth::scheduler {

struct Preemption {
  std::string node;             // empty: no node
  std::vector<PodPtr> victims;  // the most important first
  std::string message;          // if there is no node: the text after "preemption: "
  bool withdraw = false;        // if there is no node: an earlier nomination is void
};

// `resolvable`: the nodes on which fewer pods might help; `unresolvable`: the number of other nodes. `next_node`: index
// of the first node to examine.
Preemption preempt(const FilterInput& input, Snapshot& snapshot, const std::vector<const NodeInfo*>& resolvable,
                   int unresolvable, std::size_t next_node);

// The message if preemption helps on no node; `reasons`: of the nodes examined.
std::string no_preemption_message(const PodInfo& pod, std::size_t nodes, int unresolvable, Reasons reasons);

// A set of pods of one node whose deletion makes room; `node` is null if there is none.
struct VictimSet {
  const NodeInfo* node = nullptr;
  std::vector<PodPtr> victims;  // the most important first
  int violations = 0;           // victims protected by disruption budgets
};
// The victims on one node, as few and unimportant as possible; adds the reasons if nothing helps.
VictimSet choose_victims(const FilterInput& input, Snapshot& snapshot, const NodeInfo& node,
                         const std::vector<Value>& budgets, Reasons& reasons);

// The best of several, in upstream's order: fewest violations, lowest priority of the first victim, smallest sum of
// priorities, fewest victims, latest start of the first victim.
const VictimSet& best_victim_set(const std::vector<VictimSet>& list, const ClusterView& view);

}  // namespace berth::scheduler

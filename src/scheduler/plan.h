#pragma once
// The scheduling decision. Pure: snapshot and view go in, a decision comes out. (The snapshot stores the counts that
// were read from it, and is modified to evaluate preemptions; afterwards it is restored.)

#include <cstddef>
#include <string>
#include <vector>

#include "scheduler/filter/filter.h"

namespace berth::scheduler {

struct SchedulingDecision {
  std::string node;       // empty: unschedulable
  VolumeChoice volumes;   // writes to the pod's claims and volumes for that node
  std::string message;    // unschedulable: upstream's message
  unsigned concerns = 0;  // unschedulable: the Concern bits of the filters that rejected the pod

  // Unschedulable now: the node on which preemption makes room, and the victims, the most important first.
  std::string nominated;
  std::vector<PodPtr> victims;
  bool withdraw = false;  // unschedulable, and preemption does not help: clear the pod's nominated node
};

// `next_node`: index of the first node to examine. It advances, so that in large clusters each decision examines other
// nodes; the caller stores it.
SchedulingDecision decide(const PodInfo& pod, Snapshot& snapshot, const ClusterView& view, std::size_t& next_node);

// True if the pod would fit on this node now.
bool fits_on(const PodInfo& pod, const NodeInfo& node, Snapshot& snapshot, const ClusterView& view);

// The same, counting the pods nominated for the node, unless they have a lower priority.
FilterResult filter_with_nominated(const FilterInput& input, const NodeInfo& node, Snapshot& snapshot);

// How many fitting nodes suffice to choose from, of `all`.
std::size_t enough_nodes(std::size_t all);

// Counted reasons: "2 Insufficient cpu, 1 node(s) were unschedulable", sorted as text.
struct Reasons {
  std::vector<std::pair<std::string, int>> counts;
  void add(std::string_view reason, int count = 1);
  std::string text() const;
};

}  // namespace berth::scheduler

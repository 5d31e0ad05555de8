#pragma once
// Where a pod goes. Pure: the snapshot and the view in, a decision out. (The snapshot keeps counts for what was asked
// of it, and is worked on while "what if" is asked; it is the same again afterwards.)

#include <cstddef>
#include <string>
#include <vector>

#include "scheduler/filter/filter.h"

namespace berth::scheduler {

struct Decision {
  std::string node;       // empty: nowhere
  VolumeChoice volumes;   // what has to be done to the pod's claims for that node
  std::string message;    // nowhere: why, in upstream's words
  unsigned concerns = 0;  // nowhere: what refused

  // Nowhere yet: the node on which room can be made, and the pods that have to go, the most important first.
  std::string nominated;
  std::vector<PodPtr> victims;
  bool withdraw = false;  // nowhere at all: the pod is nominated for no node any more
};

// `turn` goes round the nodes, so that with very many of them each decision looks at other ones; the caller keeps it.
Decision decide(const PodInfo& pod, Snapshot& snapshot, const View& view, std::size_t& turn);

// Whether the pod would fit on this one node now.
bool fits_on(const PodInfo& pod, const NodeInfo& node, Snapshot& snapshot, const View& view);

// The same with the room that pods nominated for the node will take, unless they are less important.
Verdict filter_with_nominated(const Question& question, const NodeInfo& node, Snapshot& snapshot);

// How many nodes that fit are enough to choose from, of `all`.
std::size_t enough_nodes(std::size_t all);

// "2 Insufficient cpu, 1 node(s) were unschedulable": sorted as text.
struct Reasons {
  std::vector<std::pair<std::string, int>> counts;
  void add(std::string_view reason, int count = 1);
  std::string text() const;
};

}  // namespace berth::scheduler

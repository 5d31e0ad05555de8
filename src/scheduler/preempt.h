#pragma once
// Preemption: on which node room can be made for a pod by taking away less important ones, and which. Pure, like
// plan.h.

#include <string>
#include <vector>

#include "scheduler/filter/filter.h"
#include "scheduler/plan.h"

namespace berth::scheduler {

struct Preemption {
  std::string node;             // empty: nowhere
  std::vector<PodPtr> victims;  // the most important first
  std::string message;          // nowhere: why, as it stands behind "preemption: "
  bool withdraw = false;        // nowhere: an earlier nomination is void
};

// `curable`: the nodes on which fewer pods might help; `hopeless`: how many others there are. `turn`: where to begin.
Preemption preempt(const Question& question, Snapshot& snapshot, const std::vector<const NodeInfo*>& curable,
                   int hopeless, std::size_t turn);

// The message where no node can be helped; `reasons`: of those that were tried.
std::string nothing_to_preempt(const PodInfo& pod, std::size_t nodes, int hopeless, Reasons reasons);

// The taking away of pods of one node that makes room, if there is one.
struct Sacrifice {
  const NodeInfo* node = nullptr;
  std::vector<PodPtr> victims;  // the most important first
  int violations = 0;           // victims that disruption budgets protect
};
// The victims on one node, as few and unimportant as possible; the reasons where nothing helps.
Sacrifice victims_on(const Question& question, Snapshot& snapshot, const NodeInfo& node,
                     const std::vector<Value>& budgets, Reasons& reasons);

// The best of several, by upstream's order: fewest violations, least important first victim, smallest sum of
// priorities, fewest victims, and the first victim that started last.
const Sacrifice& best_sacrifice(const std::vector<Sacrifice>& list, const View& view);

}  // namespace berth::scheduler

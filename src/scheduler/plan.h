#pragma once
// Where a pod goes. Pure: the snapshot and the storage in, a decision out.

#include <cstddef>
#include <string>

#include "scheduler/filter/filter.h"

namespace berth::scheduler {

struct Decision {
  std::string node;         // empty: nowhere
  VolumeChoice volumes;     // what has to be done to the pod's claims for that node
  std::string message;      // nowhere: why, in upstream's words
  unsigned concerns = 0;    // nowhere: what refused
};

// `turn` goes round the nodes, so that with very many of them each decision looks at other ones; the caller keeps it.
Decision decide(const PodInfo& pod, const Snapshot& snapshot, const Storage& storage, std::size_t& turn);

// Whether the pod would fit on this one node now.
bool fits_on(const PodInfo& pod, const NodeInfo& node, const Snapshot& snapshot, const Storage& storage);

// How many nodes that fit are enough to choose from, of `all`.
std::size_t enough_nodes(std::size_t all);

}  // namespace berth::scheduler

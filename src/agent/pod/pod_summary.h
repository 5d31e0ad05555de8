#pragma once
// What usage metrics and the node's shutdown need to know of each pod.

#include <string>
#include <utility>
#include <vector>

#include "base/runtime.h"

namespace berth::agent {

// A pod of this node, for metrics and for the shutdown of the node.
struct PodSummary {
  std::string ns, name, uid;
  std::vector<std::pair<std::string, std::string>> containers;  // {name, id} of the running ones
  Duration grace{};                                             // its termination grace period
};

}  // namespace berth::agent

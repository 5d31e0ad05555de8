#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/runtime.h"

namespace berth::agent {

// A pod of this node, as its metrics and its end need it.
struct PodSummary {
  std::string ns, name, uid;
  std::vector<std::pair<std::string, std::string>> containers;  // {name, id} of those that run
  Duration grace{};                                             // that it has to end
};

}  // namespace berth::agent

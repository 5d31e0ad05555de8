#pragma once
// How containers ended when the node was taken down: seen by whoever ended them, kept on disk for the next agent, which
// has lost its records by then.

#include <map>
#include <string>

#include "base/result.h"
#include "base/runtime.h"

namespace berth::agent {

struct ContainerEnd {
  int exit_code = 0;
  bool oom_killed = false;
  Time finished{};
};
using ContainerEnds = std::map<std::string, ContainerEnd>;  // by container id

Status write_container_ends(const std::string& path, const ContainerEnds& ends);
// None where there is no such file. A damaged one tells nothing either: how they ended is then unknown.
ContainerEnds read_container_ends(const std::string& path);

}  // namespace berth::agent

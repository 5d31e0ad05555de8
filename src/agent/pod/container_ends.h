#pragma once
// ContainerEnds: how containers ended when the node was taken down. Written to disk by the shutdown that ends them, and
// read by the next agent, whose records went with the machine.

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
// Empty where the file is missing or damaged: how containers ended is then unknown.
ContainerEnds read_container_ends(const std::string& path);

}  // namespace berth::agent

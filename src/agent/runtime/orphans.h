#pragma once
// Processes that an agent which was killed has left behind: commands it ran in containers, and monitors of containers
// that were never finished. The functions block: called on threads of the pool.

#include <string>
#include <vector>

#include "agent/runtime/container_files.h"
#include "agent/runtime/crun_runtime.h"

namespace berth::agent {

// Ends every `crun exec` below this runtime's root that is no child of ours: its output has no reader and its exit
// code no receiver. The processes that it started in its container end with it.
void end_orphaned_execs(const CrunConfig& config, const RuntimePaths& paths);
// Ends the conmon of a container, and the crun it runs; returns when they are gone. Succeeds if there is none.
void end_monitor(const CrunConfig& config, const RuntimePaths& paths, const std::string& id);

}  // namespace berth::agent

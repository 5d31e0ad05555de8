#pragma once
// Processes that an agent which was killed has left behind: commands it ran in containers, and monitors of containers
// that were never finished. Everything blocks for a moment: for the pool.

#include <string>
#include <vector>

#include "agent/runtime/container_files.h"
#include "agent/runtime/crun_runtime.h"

namespace berth::agent {

// Ends every `crun exec` below this runtime's root that is no child of ours: nobody reads what it writes, and nobody
// would learn how it ended. What it started in its container ends with it.
void end_orphaned_execs(const CrunConfig& config, const RuntimePaths& paths);
// Ends the conmon of a container, and the crun it runs; returns when they are gone. Nothing there is fine.
void end_monitor(const CrunConfig& config, const RuntimePaths& paths, const std::string& id);

}  // namespace berth::agent

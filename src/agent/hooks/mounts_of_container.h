#pragma once
// A container's volume mounts, and the files under /etc and the termination message that every container gets.

#include <string>
#include <vector>

#include "agent/hooks/environment.h"
#include "agent/hooks/pod_hook.h"
#include "agent/runtime/container_runtime.h"
#include "base/result.h"

namespace berth::agent {

// Makes sub-paths and the termination file where they are missing (small operations on the node's own file systems).
// Errors: kubelet's words for CreateContainerConfigError.
Result<std::vector<Mount>> container_mounts(const PodContext& pod, const Value& container, const Variables& variables,
                                            const std::string& termination_file);

}  // namespace berth::agent

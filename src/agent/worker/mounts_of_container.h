#pragma once
// A container's volume mounts, and the files under /etc and the termination message that every container gets.

#include <string>
#include <vector>

#include "agent/pod/pod_hook.h"
#include "agent/runtime/container_runtime.h"
#include "agent/spec/environment.h"
#include "agent/volumes/sub_paths.h"
#include "base/result.h"

namespace berth::agent {

struct ContainerMounts {
  std::vector<Mount> mounts;
  std::vector<SubPath> sub_paths;  // to be bound before the container starts: some of the mounts are of their places
};
// Makes the termination file (in a directory of the agent's own). Errors: kubelet's words for
// CreateContainerConfigError.
Result<ContainerMounts> container_mounts(const PodContext& pod, const Value& container, const Variables& variables,
                                         const std::string& termination_file);

}  // namespace berth::agent

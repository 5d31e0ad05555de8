#pragma once
// The mounts of a container: its volume mounts, the files under /etc, the termination message.

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
  std::vector<SubPath>
      sub_paths;  // to be bound before the container starts: their mount points are sources of `mounts`
};
// Creates the termination file, in a directory that only the agent writes to. Errors have kubelet's texts for
// CreateContainerConfigError.
Result<ContainerMounts> container_mounts(const PodContext& pod, const Value& container, const Variables& variables,
                                         const std::string& termination_file);

}  // namespace berth::agent

#pragma once
// subPath and subPathExpr of volume mounts. A container that shares the volume may replace the file or directory of a
// sub-path at any moment, so that a path that has been checked may lead elsewhere when the runtime mounts it. Therefore
// the agent opens the sub-path inside the volume, bind-mounts it through the descriptor below the pod's own directory,
// and passes that mount point to the runtime:
//   <pod directory>/subpaths/<volume>/<container>/<number of the mount>
// It is mounted anew at each start of the container, and unmounted before the volumes are released.

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::agent {

struct SubPath {
  std::string pod_directory;
  std::string volume_path;        // on the node
  std::string path;               // in the volume; relative, without ".."
  std::string volume, container;  // names, for messages and the mount point
  std::size_t number = 0;         // of the mount in the container

  std::string relative_mount_point() const {
    return "subpaths/" + volume + "/" + container + "/" + std::to_string(number);
  }
  std::string mount_point() const { return pod_directory + "/" + relative_mount_point(); }
};

// Creates the directory in the volume where it is missing, with the mode of the volume's root, and mounts it at
// mount_point(). A link is followed while it stays in the volume. Errors have kubelet's texts for
// CreateContainerConfigError, without paths of the node; the reason goes to the log. Blocks: any thread of the pool.
Status bind_sub_path(const SubPath& sub);
Status bind_sub_paths(const std::vector<SubPath>& all);

}  // namespace berth::agent

#pragma once
// subPath and subPathExpr of volume mounts. Containers that share a volume may exchange what a sub-path names at any
// moment, so that a path checked now may lead somewhere else when the runtime mounts it. Therefore what was found
// inside the volume is mounted through its descriptor below the pod's own directory, and the runtime is told of that
// place:
//   <pod directory>/subpaths/<volume>/<container>/<number of the mount>
// It is mounted afresh for each start of the container, and taken off before the volumes are released.

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace berth::agent {

struct SubPath {
  std::string pod_directory;
  std::string volume_path;        // on the node
  std::string path;               // in the volume; relative, without ".."
  std::string volume, container;  // names, for messages and the place
  std::size_t number = 0;         // of the mount in the container

  std::string relative_place() const { return "subpaths/" + volume + "/" + container + "/" + std::to_string(number); }
  std::string place() const { return pod_directory + "/" + relative_place(); }
};

// Makes the directory in the volume where it is missing, with the mode of the volume's root, and mounts what is there
// at place(). A link in the volume is followed while it stays in the volume. Errors: kubelet's words for
// CreateContainerConfigError, which tell nothing of the node; the reason goes to the log. Blocks: for the pool.
Status bind_sub_path(const SubPath& sub);
Status bind_sub_paths(const std::vector<SubPath>& all);

}  // namespace berth::agent

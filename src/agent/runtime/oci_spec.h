#pragma once
// The OCI runtime configuration (config.json) of one container. Pure.

#include <string>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "base/json/json.h"

namespace berth::agent {

// Where the container's surroundings are on this node, and what this node allows.
struct OciSurroundings {
  std::string rootfs;             // the mounted root
  std::string network_namespace;  // paths of pinned namespaces; empty: the node's own
  std::string ipc_namespace, uts_namespace;
  std::string pid_namespace;  // empty: a new one for this container
  bool host_pid = false;
  std::string user_namespace;   // path of the pinned one; empty: the node's users
  std::int64_t first_user = 0;  // what its root is on the node
  bool node_has_mqueue = true;  // /dev/mqueue, for containers in the node's ipc namespace
  std::string shm;              // the pod's /dev/shm, a directory on the node
  std::string cgroup;           // absolute in the hierarchy: "/berth/pod1/<id>"
  bool unified_cgroups = false;
  std::string seccomp_filter;        // base64, or empty for none
  int oom_score_floor = -1000;       // the lowest oom_score_adj that this process may give to a child
  std::vector<std::string> devices;  // device nodes to pass into privileged containers
};

Value oci_config(const ContainerSpec& spec, const OciSurroundings& around);

// Every capability name this kernel knows, "CAP_CHOWN" first.
std::vector<std::string> all_capabilities();
// What a container holds that asks for nothing.
const std::vector<std::string>& default_capabilities();

}  // namespace berth::agent

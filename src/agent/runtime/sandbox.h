#pragma once
// A pod's surroundings on disk: <root>/<pod uid>/{ipc,uts} (pinned namespaces), shm/ (a tmpfs), sandbox.json, pid (of
// the process that holds a shared pid namespace). The functions block: called on threads of the pool.

#include <string>

#include "agent/runtime/cgroup.h"
#include "agent/runtime/container_runtime.h"
#include "base/result.h"

namespace berth::agent {

struct SandboxPaths {
  std::string ipc_namespace, uts_namespace, pid_namespace, shm;
};

Status make_sandbox(const std::string& root, const Cgroups& cgroups, const SandboxSpec& spec);
Status destroy_sandbox(const std::string& root, const Cgroups& cgroups, const std::string& pod_uid);
// kNotFound where there is no such sandbox.
Result<SandboxSpec> read_sandbox(const std::string& root, const std::string& pod_uid);
// The path of a namespace that the pod shares with the node is empty.
SandboxPaths sandbox_paths(const std::string& root, const SandboxSpec& spec);

}  // namespace berth::agent

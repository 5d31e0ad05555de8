#pragma once
// ContainerRuntime over crun and conmon. One conmon per container holds its output, its terminal and its exit code, so
// containers outlive the agent; recover() finds them again.
//
// Layout below the root:  containers/<id>/{state.json, upper/, work/}   exits/<id> (written by conmon)
//   run/ (a tmpfs: nothing in it means anything once the machine was restarted, and making files there costs no disk)
//     containers/<id>/{config.json, rootfs/, started, oom, ctl, attach}   sandboxes/<pod uid>/   crun/
//     sockets/<id, shortened> -> run/containers/<id>
//     program/crun -> /proc/self/fd/4 (CrunProgram)   netns/<pod uid> (network namespaces, pinned by PodNetwork)
//     exec/<id>/ (of an earlier release: crun/<id> once more, for "crun exec")
//   mount-points/ (empty files and directories below every image, for what is mounted in every container)
// Where an earlier release has left containers, everything lies in the root itself until the agent starts with none
// left. The agent must run in a mount namespace where crun finds one version of control groups only.

#include <memory>
#include <string>

#include "agent/runtime/container_runtime.h"
#include "base/loop.h"

namespace berth::agent {

class Trash;

struct CrunConfig {
  std::string root;
  std::string crun = "/usr/bin/crun";
  std::string conmon = "/usr/bin/conmon";
  Trash* trash = nullptr;  // outlives the runtime; null: writable layers are removed at once
};

// The tmpfs, which make_crun_runtime() mounts.
inline std::string runtime_memory(const std::string& root) { return root + "/run"; }
Result<std::unique_ptr<ContainerRuntime>> make_crun_runtime(Loop& loop, CrunConfig config);

}  // namespace berth::agent

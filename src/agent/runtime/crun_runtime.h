#pragma once
// ContainerRuntime over crun and conmon. One conmon per container holds its output, its terminal and its exit code, so
// containers outlive the agent; recover() finds them again.
//
// Layout below the root:  containers/<id>/{config.json, state.json, upper/, work/, rootfs/, started, oom, ctl, attach}
//   exits/<id> (written by conmon)   sandboxes/<pod uid>/   sockets/<id, shortened> -> containers/<id>   crun/
// The agent must run in a mount namespace where crun finds one version of control groups only.

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

Result<std::unique_ptr<ContainerRuntime>> make_crun_runtime(Loop& loop, CrunConfig config);

}  // namespace berth::agent

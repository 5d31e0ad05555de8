#pragma once
// The ProbeRunner of this node: exec through the container runtime; HTTP, TCP and gRPC from the node's network
// namespace.

#include <memory>

#include "agent/pod/services.h"
#include "agent/runtime/container_runtime.h"
#include "base/loop.h"

namespace berth::agent {

// `containers` and `loop` outlive the runner.
std::unique_ptr<ProbeRunner> make_probe_runner(Loop& loop, ContainerRuntime& containers);

// The number of a port that is given by number or by the name of a container port; 0: there is no such port.
int probe_port(const Value& port, const Value& container);

}  // namespace berth::agent

#pragma once
// Probe actions for real: exec through the container runtime, HTTP, TCP and gRPC from the node's network namespace.

#include <memory>

#include "agent/pod/services.h"
#include "agent/runtime/container_runtime.h"
#include "base/loop.h"

namespace berth::agent {

// `containers` and `loop` outlive it.
std::unique_ptr<ProbeRunner> make_probe_runner(Loop& loop, ContainerRuntime& containers);

// The number of a port given by number or by name of one of the container's ports; 0 where there is none.
int probe_port(const Value& port, const Value& container);

}  // namespace berth::agent

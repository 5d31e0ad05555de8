#pragma once
// The two ends of exec, attach and port forwarding joined: a client's session with a process, a container or a port.
// Loop thread only.

#include <memory>
#include <string>

#include "agent/runtime/container_runtime.h"
#include "base/function.h"
#include "base/loop.h"
#include "http/streams/remote_command.h"

namespace berth::agent {

// Something under way for a client; destroying it ends it. Each calls `over` once, from the loop or from its own
// making, when it has nothing left to do; it must not be destroyed in that call.
class RemoteWork {
 public:
  virtual ~RemoteWork() = default;
};

// Runs a command in a running container. The session ends when the process has ended and its output has arrived; output
// of what it left behind in the background is waited for two seconds at most. A client that goes takes its end of the
// streams along: a terminal hangs up, standard input ends, output has nowhere to go. Nothing else ends the process.
std::unique_ptr<RemoteWork> run_exec(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                     const ContainerRuntime::ExecOptions& options,
                                     std::unique_ptr<http::RemoteSession> session, Task over);

// The log of a container that was made for one client.
struct MissedLog {
  std::string path;       // empty: the container has no such client
  std::int64_t read = 0;  // how much of the file that client has read already
};

// The container's own streams, from now on, through its monitor. It ends with the container or with the client. The
// client of `missed` is told first what was said before; that is all, where the container has ended already.
std::unique_ptr<RemoteWork> run_attach(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                       const http::RemoteOptions& options, std::unique_ptr<http::RemoteSession> session,
                                       Task over, MissedLog missed = {});

// One connection to a port of the loopback address in a network namespace (a path; empty: ours). `pod` is for messages.
std::unique_ptr<RemoteWork> forward_port(Loop& loop, const std::string& network_namespace, const std::string& pod,
                                         std::unique_ptr<http::ForwardedPort> port, Task over);

}  // namespace berth::agent

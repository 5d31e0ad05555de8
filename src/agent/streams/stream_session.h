#pragma once
// kubectl exec, attach and port-forward on the node: a StreamSession joins the streams of one client with a process, a
// container or a port. Loop thread only.
//
// From the request's path to the process, with what owns what (A ◆─ B: A owns B and ends it):
//
//   kubectl            berth server                     berth agent                                 the container
//      │  SPDY/3.1 or      Splice                           StreamServer (stream_server.h)
//      │  WebSocket       (rest/stream_proxy.cc)              ◆
//      └─────────────▶ Channel ◆─┴─◆ Channel ─────┐       StreamSession                           CrunRuntime
//                       the bytes pass unread      │       exec.cc, attach.cc, port_forward.cc        ◆
//                                                  │          ◆              ◆                   ExecProcess
//                                                  │       RemoteSession   Source, Sink ───────▶ (runtime/exec_process.h)
//                                                  │       ForwardedPort   (pump.h)   pipes, a       ◆
//                                                  │          ◆                       terminal or  crun exec ─▶ process
//                                                  └──────▶ Channel                   a socket
//                                                          (http/streams)
//
//   path        server                  agent               joined with
//   exec        rest/stream_proxy.cc    exec.cc             a new process: ContainerRuntime::exec_interactive
//   attach      rest/stream_proxy.cc    attach.cc           the container's streams: conmon's attach socket
//   portforward rest/stream_proxy.cc    port_forward.cc     a connection in the pod's network namespace
//
// What closes what:
//   * The client leaves: its Channel closes, Splice closes the agent's, the session closes its descriptors (a terminal
//     hangs up, standard input ends) and calls `done`. The process itself goes on: ExecProcess keeps it to its end.
//   * The process ends: ExecProcess reports the exit code, the session writes what output is left and then the code, and
//     calls `done`. StreamServer destroys it in the next turn of the loop; that closes the Channel after what was
//     written, and Splice closes the client's.
//   * The agent stops: StreamServer destroys all sessions, CrunRuntime ends all processes that crun runs for them.

#include <memory>
#include <string>

#include "agent/runtime/container_runtime.h"
#include "base/function.h"
#include "base/loop.h"
#include "http/streams/remote_command.h"

namespace berth::agent {

// Destroying a session closes its client's connection. Each calls `done` once, when it has nothing left to do, from the
// loop or from the function that starts it; it must not be destroyed in that call.
class StreamSession {
 public:
  virtual ~StreamSession() = default;
};

// Runs a command in a running container. The session is done when the process has ended and its output has arrived; for
// output of what it left behind in the background it waits two seconds. Only the process itself, the container's end or
// the agent's ends the process.
std::unique_ptr<StreamSession> start_exec(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                          const ContainerRuntime::ExecOptions& options,
                                          std::unique_ptr<http::RemoteSession> client, Task done);

// The log of a container that was made for one client (stdinOnce).
struct MissedLog {
  std::string path;       // empty: the container has no such client
  std::int64_t read = 0;  // how much of the file that client has read already
};

// The container's own streams, from now on, through conmon; until the container or the client ends. The client of
// `missed` first receives the log that it has not read; if the container has ended already, only that.
std::unique_ptr<StreamSession> start_attach(Loop& loop, ContainerRuntime& containers, const std::string& id,
                                            const http::RemoteOptions& options,
                                            std::unique_ptr<http::RemoteSession> client, Task done,
                                            MissedLog missed = {});

// One connection to a port of the loopback address in a network namespace (a path; empty: ours). `pod` is for messages.
std::unique_ptr<StreamSession> start_port_forward(Loop& loop, const std::string& network_namespace,
                                                  const std::string& pod, std::unique_ptr<http::ForwardedPort> client,
                                                  Task done);

}  // namespace berth::agent

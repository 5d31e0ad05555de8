#pragma once
// One `crun exec` of a session (agent/streams/stream_session.h). CrunRuntime owns it until the process has ended;
// destroying it kills the process. With a terminal, crun sends its master end over a Unix socket; without, the streams
// are pipes, whose near ends the caller receives. Loop thread only.

#include <memory>
#include <string>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "base/files.h"
#include "base/lifetime.h"
#include "base/loop.h"
#include "base/process/child.h"

namespace berth::agent {

class ExecProcess {
 public:
  static constexpr int kProcessFd = 3;  // where crun finds `process`
  // `crun`: its path, global options and "exec ...", and the descriptors that it needs for that; `process`: the
  // description of the process; `socket`: a short path that may be used for the terminal; `oom_score_adj`: the
  // container's. `exited` may destroy the object. If it does not start, `started` receives the reason, and `exited`
  // is called with -1.
  static std::unique_ptr<ExecProcess> start(Loop& loop, ThreadPool& spawner, SpawnOptions crun, Fd process,
                                            const std::string& id, const std::string& socket, int oom_score_adj,
                                            const ContainerRuntime::ExecOptions& options,
                                            Function<void(Result<ContainerRuntime::ExecStreams>)> started,
                                            Function<void(int)> exited);
  ~ExecProcess();

 private:
  explicit ExecProcess(Loop& loop) : loop_(loop) {}
  Status launch(ThreadPool& spawner, SpawnOptions crun, Fd process, const std::string& id, int oom_score_adj,
                const ContainerRuntime::ExecOptions& options);
  void launched(Result<pid_t> pid, bool tty);
  Status follow(pid_t pid, bool tty);
  void failed(const Error& why);
  Status listen();
  void accept_terminal();
  void process_ended();
  void report(Result<ContainerRuntime::ExecStreams> streams);

  Loop& loop_;
  std::unique_ptr<ChildLaunch> launch_;
  std::string socket_path_;
  Fd listener_, pidfd_;
  pid_t pid_ = 0;
  ContainerRuntime::ExecStreams streams_;
  Function<void(Result<ContainerRuntime::ExecStreams>)> started_;
  Function<void(int)> exited_;
  Lifetime lifetime_;
};

}  // namespace berth::agent

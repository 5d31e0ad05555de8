#pragma once
// Children of the agent: programs followed by the loop instead of by a waiting thread, so that a slow one holds
// nothing up.

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/function.h"
#include "base/lifetime.h"
#include "base/loop.h"
#include "base/result.h"
#include "base/thread_pool.h"

namespace berth::agent {

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is a path
  std::vector<std::string> environment;  // added to ours
  std::string directory;                 // it starts there; ours where empty
  std::vector<std::pair<int, int>>
      descriptors;                   // {ours, the number in the child}; 0, 1 and 2 are /dev/null where not given
  std::optional<int> oom_score_adj;  // of the child and of all that it starts; ours where not given
};
// Starts it (no shell, vfork underneath). Any thread but a loop's: the kernel lets nobody fork while a process is moved
// between control groups, and that waits for every fork under way. A container that forks without end under a limit of
// its CPU time makes it seconds. The caller reaps the child.
Result<pid_t> spawn_child(const SpawnOptions& options);
// Reaps a child of ours as soon as it has ended, without waiting for that. Loop thread.
void reap(Loop& loop, pid_t pid);

Result<Fd> open_pidfd(pid_t pid);
// Signals everything below the process, as far as /proc shows it; not the process itself.
void kill_descendants(pid_t pid, int signal);
// The start time of a process in clock ticks since boot, which with its pid names it for ever; 0 where there is none.
std::uint64_t process_start_time(pid_t pid);
// The process namespace of the process that has this start time. kNotFound: it has ended, whoever has its pid now.
Result<Fd> open_pid_namespace(pid_t pid, std::uint64_t start_time);

// spawn_child on a pool's thread. Loop thread only. Destroying it ends the program, whether it has started by then or
// not.
class ChildLaunch {
 public:
  // `given`: descriptors of `options` that are the child's alone, closed here once it has them. `done` is called once,
  // and may destroy this; from then on the program is the caller's.
  static std::unique_ptr<ChildLaunch> start(Loop& loop, ThreadPool& spawner, SpawnOptions options,
                                            std::vector<Fd> given, Function<void(Result<pid_t>)> done);
  ~ChildLaunch();
  ChildLaunch(const ChildLaunch&) = delete;

 private:
  struct Shared;
  explicit ChildLaunch(Loop& loop) : loop_(loop) {}
  void finish();
  Loop& loop_;
  std::shared_ptr<Shared> shared_;
  Lifetime lifetime_;
  Function<void(Result<pid_t>)> done_;
};

// One program to its end: its output (both streams together, the first `limit` bytes) and exit code (128 + signal).
// Destroying it kills the program and drops the callback. The timeout counts from start(). Loop thread only.
class ChildRun {
 public:
  struct Outcome {
    int exit_code = -1;
    bool timed_out = false;
    std::string output;
  };
  // `options.descriptors` may not give 1 or 2; `given` as ChildLaunch has it. `done` gets an error where it does not
  // start, and comes at most a second after the timeout: what has been killed may be unable to end.
  static Result<std::unique_ptr<ChildRun>> start(Loop& loop, ThreadPool& spawner, SpawnOptions options,
                                                 std::vector<Fd> given, Duration timeout, std::size_t limit,
                                                 Function<void(Result<Outcome>)> done);
  ~ChildRun();

 private:
  explicit ChildRun(Loop& loop) : loop_(loop) {}
  void launched(Result<pid_t> pid);
  void finish(Result<Outcome> outcome);
  void read_output();
  void exited();
  void time_is_up();
  Loop& loop_;
  std::unique_ptr<ChildLaunch> launch_;
  pid_t pid_ = 0;
  Fd pidfd_, output_;
  std::size_t limit_ = 0;
  TimerId timer_ = 0;
  Outcome outcome_;
  Function<void(Result<Outcome>)> done_;
};

}  // namespace berth::agent

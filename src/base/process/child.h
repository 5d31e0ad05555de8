#pragma once
// Programs followed by a loop instead of by a waiting thread, so that a slow one holds nothing up: ChildRun for one
// whose output and exit code are asked for, ChildLaunch for one whose streams and end its caller follows.

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/function.h"
#include "base/lifetime.h"
#include "base/loop.h"
#include "base/process/spawn.h"
#include "base/result.h"
#include "base/thread_pool.h"

namespace berth {

// Reaps a child of this process as soon as it has ended; does not wait. Loop thread.
void reap(Loop& loop, pid_t pid);

// spawn_child() on a pool's thread. Loop thread only. Destroying it kills the program, or keeps it from starting.
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
  // `options.descriptors` must not contain 1 or 2; `given` as in ChildLaunch. `done` receives an error if the program
  // does not start, and is called at most a second after the timeout, even if the killed program has not ended.
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

}  // namespace berth

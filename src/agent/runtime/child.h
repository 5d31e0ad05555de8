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
#include "base/loop.h"
#include "base/result.h"

namespace berth::agent {

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is a path
  std::vector<std::string> environment;  // added to ours
  std::string directory;                 // it starts there; ours where empty
  std::vector<std::pair<int, int>>
      descriptors;  // {ours, the number in the child}; 0, 1 and 2 are /dev/null where not given
  std::optional<int> oom_score_adj;  // of the child and of all that it starts; ours where not given
};
// Starts it (no shell, vfork underneath). Any thread. The caller reaps it.
Result<pid_t> spawn_child(const SpawnOptions& options);
// Reaps a child of ours as soon as it has ended, without waiting for that. Loop thread.
void reap(Loop& loop, pid_t pid);

Result<Fd> open_pidfd(pid_t pid);
// Signals everything below the process, as far as /proc shows it; not the process itself.
void kill_descendants(pid_t pid, int signal);
// The start time of a process in clock ticks since boot, which with its pid names it for ever; 0 where there is none.
std::uint64_t process_start_time(pid_t pid);

// One program to its end: its output (both streams together, the first `limit` bytes) and exit code (128 + signal).
// Destroying it kills the program and drops the callback. Loop thread only.
class ChildRun {
 public:
  struct Outcome {
    int exit_code = -1;
    bool timed_out = false;
    std::string output;
  };
  // `options.descriptors` may not give 1 or 2.
  static Result<std::unique_ptr<ChildRun>> start(Loop& loop, SpawnOptions options, Duration timeout, std::size_t limit,
                                                 Function<void(Outcome)> done);
  ~ChildRun();

 private:
  explicit ChildRun(Loop& loop) : loop_(loop) {}
  void read_output();
  void exited();
  void time_is_up();
  Loop& loop_;
  pid_t pid_ = 0;
  Fd pidfd_, output_;
  std::size_t limit_ = 0;
  TimerId timer_ = 0;
  Outcome outcome_;
  Function<void(Outcome)> done_;
};

}  // namespace berth::agent

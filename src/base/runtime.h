#pragma once
// Runtime: the only source of time, chance and other threads. Production (`base/loop.h`) and simulation
// (`sim/sim_runtime.h`) differ only here, so everything written against it can be replayed from a seed.
//
// One Runtime is one loop thread. Everything a role owns is touched on that thread only; `post` and `run_or_post` are
// the calls that any thread may make.

#include <chrono>
#include <cstdint>

#include "base/function.h"

namespace berth {

using Duration = std::chrono::nanoseconds;
using Time = std::chrono::time_point<std::chrono::system_clock, Duration>;  // wall clock, UTC
using TimerId = std::uint64_t;                                              // 0 is never a live timer

using namespace std::chrono_literals;

// IoHelper: a thread that does I/O and runs tasks of a loop while the loop thread sleeps (Runtime::run_or_post). Tasks
// leave work for it here; all calls are made on its own thread.
class IoHelper {
 public:
  // Called after the turn has ended, and again each time that wake_fd() is readable, until it returns true. It does not
  // block.
  using Work = Function<bool()>;
  virtual void add_work(Work work) = 0;
  // An eventfd: adding to it wakes the thread.
  virtual int wake_fd() const = 0;

 protected:
  ~IoHelper() = default;
};

class Runtime {
 public:
  virtual ~Runtime() = default;

  // Wall clock, for timestamps that people and other machines read. May jump.
  virtual Time now() const = 0;
  // Never goes back; for measuring and for timers. The origin has no meaning.
  virtual Duration monotonic() const = 0;

  // Runs `task` on the loop, after everything posted before it. Any thread.
  virtual void post(Task task) = 0;
  // Like post, but while the loop thread sleeps the calling thread takes the turn and runs the task, and for a short
  // time what the task posts, before run_or_post() returns. That saves waking one thread to have it wake the next. The
  // caller holds no lock, and no task waits for the caller: an object that joins such a thread in its destructor (a
  // server, a store) is destroyed by the loop's owner, after run() or in a callback of a descriptor. `helper`: where
  // the tasks may leave work for the caller to do afterwards.
  virtual void run_or_post(Task task, IoHelper* helper = nullptr) {
    (void)helper;
    post(std::move(task));
  }
  // Of the thread that runs the caller's task; null on the loop's own. Loop thread only.
  virtual IoHelper* io_helper() const { return nullptr; }
  // Runs `task` on the loop once `delay` has passed. Loop thread only.
  virtual TimerId after(Duration delay, Task task) = 0;
  // A cancelled timer's task is destroyed and never runs. Unknown and fired ids are ignored. Loop thread only.
  virtual void cancel(TimerId id) = 0;

  // Runs `work` on a bounded pool of threads (it may block), then `done` on the loop. Loop thread only.
  virtual void offload(Task work, Task done) = 0;

  // Uniform 64 random bits. From the kernel in production, from the seed in simulation.
  virtual std::uint64_t random() = 0;
};

}  // namespace berth

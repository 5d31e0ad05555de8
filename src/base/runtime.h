#pragma once
// Runtime: the only source of time, chance and other threads. Production (`base/loop.h`) and simulation
// (`sim/sim_runtime.h`) differ only here, so everything written against it can be replayed from a seed.
//
// One Runtime is one loop thread. Everything a role owns is touched on that thread only; `post` and `lend` are the calls
// that any thread may make.

#include <chrono>
#include <cstdint>

#include "base/function.h"

namespace berth {

using Duration = std::chrono::nanoseconds;
using Time = std::chrono::time_point<std::chrono::system_clock, Duration>;  // wall clock, UTC
using TimerId = std::uint64_t;  // 0 is never a live timer

using namespace std::chrono_literals;

// A thread that lends itself to a loop (Runtime::lend), to the task that runs on it. All calls are made there.
class Lender {
 public:
  // Called when the turn has been given back, and again each time that alarm() is raised, until it answers true. It does
  // not block.
  using Work = Function<bool()>;
  virtual void take_on(Work work) = 0;
  // An eventfd: adding to it wakes the thread.
  virtual int alarm() const = 0;

 protected:
  ~Lender() = default;
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
  // Like post, for threads with time to lend: where the loop sleeps, the caller may stand in for it and run the task, and a
  // little of what it posts, before lend() returns. That saves waking one thread to have it wake the next. The caller
  // holds no lock, and no task waits for the caller: what joins a lending thread when it is destroyed (a server, a store) is
  // destroyed by the loop's owner, after run() or in a callback of a descriptor. `lender`: where the tasks may leave
  // work for the caller to do afterwards.
  virtual void lend(Task task, Lender* lender = nullptr) {
    (void)lender;
    post(std::move(task));
  }
  // Of the thread that runs the caller's task; null on the loop's own. Loop thread only.
  virtual Lender* lender() const { return nullptr; }
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

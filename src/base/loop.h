#pragma once
// Loop: the production Runtime. One epoll instance, one thread, a bounded pool for blocking work.
//
// "The loop thread" is the thread that has the turn: the one in run(), or, while that one sleeps, an I/O helper
// (runtime.h). One thread has it at a time; a turn sees all memory writes of the turns before it. Calls that belong to
// the loop thread check that (BERTH_CHECK) and so end a process that breaks the rule.

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/runtime.h"

namespace berth {

class Loop final : public Runtime {
 public:
  // `pool_threads` bounds the threads that `offload` may use; they start when first needed.
  explicit Loop(int pool_threads = 4);
  ~Loop() override;
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop() is called. The calling thread becomes the loop thread.
  void run();
  // Ends run() after the current round. Any thread. Work already posted may not run.
  void stop();
  // Handles what is ready, waiting at most `wait` for the first event. For tests and for owners of another loop.
  void run_once(Duration wait);

  // Whether the calling thread may make the calls of the loop thread: it has the turn, or no thread is in run(), so
  // that the loop belongs to the code that set it up (before run(), after it, or around run_once()). Any thread.
  bool on_loop() const;

  Time now() const override;
  Duration monotonic() const override;
  void post(Task task) override;
  // I/O helpers have turns only while a thread is in run(): with run_once(), every task runs in that call.
  void run_or_post(Task task, IoHelper* helper = nullptr) override;
  IoHelper* io_helper() const override;
  TimerId after(Duration delay, Task task) override;
  void cancel(TimerId id) override;
  void offload(Task work, Task done) override;
  std::uint64_t random() override;

  // Calls `ready(events)` whenever epoll reports `events` (EPOLLIN, ...) on `fd`, level-triggered unless EPOLLET is
  // given. The caller keeps the descriptor open until unwatch_fd(); calling watch_fd again for it changes the events
  // and the callback. Callbacks may unwatch themselves and others. These three: loop thread only.
  Status watch_fd(int fd, std::uint32_t events, Function<void(std::uint32_t)> ready);
  // Changes only the events of a watched descriptor.
  Status change_fd(int fd, std::uint32_t events);
  void unwatch_fd(int fd);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The loop that an object belongs to which knows only its Runtime. Other runtimes (simulated, of tests) have one
// thread: for them check() always passes.
class LoopAffinity {
 public:
  explicit LoopAffinity(const Runtime& runtime) : loop_(dynamic_cast<const Loop*>(&runtime)) {}
  // Ends the process where the calling thread has not the turn of the loop.
  void check() const {
    if (loop_ && !loop_->on_loop()) fail();
  }

 private:
  [[noreturn]] static void fail();
  const Loop* loop_;
};

}  // namespace berth

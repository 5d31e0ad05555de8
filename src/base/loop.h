#pragma once
// Loop: the production Runtime. One epoll instance, one thread, a bounded pool for blocking work.
//
// "The loop thread" is the thread that has the turn: the one in run(), or, while that one sleeps, an I/O helper
// (runtime.h). One at a time, each seeing all that the one before did.

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

  Time now() const override;
  Duration monotonic() const override;
  void post(Task task) override;
  void run_or_post(
      Task task, IoHelper* helper = nullptr) override;  // stands in for run() only: run_once() is never left to others
  IoHelper* io_helper() const override;
  TimerId after(Duration delay, Task task) override;
  void cancel(TimerId id) override;
  void offload(Task work, Task done) override;
  std::uint64_t random() override;

  // Calls `ready(events)` whenever epoll reports `events` (EPOLLIN, ...) on `fd`, level-triggered unless EPOLLET is
  // given. The caller keeps the descriptor open until unwatch(); calling watch_fd again for it changes the events and
  // the callback. Callbacks may unwatch themselves and others. Loop thread only.
  Status watch_fd(int fd, std::uint32_t events, Function<void(std::uint32_t)> ready);
  // Changes only the events of a watched descriptor.
  Status change_fd(int fd, std::uint32_t events);
  void unwatch_fd(int fd);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth

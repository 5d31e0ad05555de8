#pragma once
// ThreadPool: threads for work that blocks. Every Loop has one for short work (Runtime::offload). Work that can take
// minutes, such as pulling an image, has one of its own, so that nothing short waits behind it.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "base/runtime.h"

namespace berth {

class ThreadPool {
 public:
  // `runtime` outlives the pool. At most `limit` threads, at least one; they start when more work is queued than
  // threads are idle, and then stay.
  ThreadPool(Runtime& runtime, int limit);
  ~ThreadPool() { close(); }
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // Starts all threads now, for a pool whose work comes when starting one would block: clone() waits, like fork(),
  // while processes are moved between control groups.
  void start();

  // Runs `work` on a thread of the pool, then `done` on the runtime's loop. Loop thread only.
  void submit(Task work, Task done);
  // Waits for running work; discards the rest, without calling `done`.
  void close();

 private:
  struct Work {
    Task run, done;
  };
  void start_thread();
  void run();

  Runtime& runtime_;
  const std::size_t limit_;
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Work> queue_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool closing_ = false;
};

}  // namespace berth

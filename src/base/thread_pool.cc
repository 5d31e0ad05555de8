#include "base/thread_pool.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <system_error>

#include "base/check.h"

namespace berth {

ThreadPool::ThreadPool(Runtime& runtime, int limit)
    : runtime_(runtime), limit_(static_cast<std::size_t>(std::max(limit, 1))) {}

void ThreadPool::submit(Task work, Task done) {
  std::unique_lock lock(mutex_);
  queue_.push_back({std::move(work), std::move(done)});
  if (queue_.size() > idle_ && threads_.size() < limit_) {
    start_thread();
  } else {
    lock.unlock();
    ready_.notify_one();
  }
}

void ThreadPool::start() {
  std::lock_guard lock(mutex_);
  while (threads_.size() < limit_) {
    const std::size_t before = threads_.size();
    start_thread();
    if (threads_.size() == before) return;
  }
}

void ThreadPool::close() {
  std::deque<Work> discarded;
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    discarded.swap(queue_);
  }
  ready_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void ThreadPool::start_thread() {
  // Signals belong to the thread with a signalfd (on the loop), so the pool's threads block all of them.
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  try {
    threads_.emplace_back([this] { run(); });
  } catch (const std::system_error&) {
    BERTH_CHECK(!threads_.empty(), "the first pool thread could not be started");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void ThreadPool::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    ready_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    --idle_;
    if (closing_) return;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work.run();
    work.run = nullptr;  // before `done` runs, which may rely on being the only owner
    runtime_.post(std::move(work.done));
    lock.lock();
  }
}

}  // namespace berth

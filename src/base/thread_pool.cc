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
  jobs_.push_back({std::move(work), std::move(done)});
  if (jobs_.size() > idle_ && threads_.size() < limit_) {
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
  std::deque<Job> dropped;
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    dropped.swap(jobs_);
  }
  ready_.notify_all();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

void ThreadPool::start_thread() {
  // Signals belong to the thread that asked for them (a signalfd on the loop), so the pool takes none.
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
    ready_.wait(lock, [this] { return closing_ || !jobs_.empty(); });
    --idle_;
    if (closing_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job.work();
    job.work = nullptr;  // before `done` runs, which may rely on being the only owner left
    runtime_.post(std::move(job.done));
    lock.lock();
  }
}

}  // namespace berth

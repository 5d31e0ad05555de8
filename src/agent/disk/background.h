#pragma once
// Long work at the lowest priority: measuring and removing files that pods have written.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "base/function.h"
#include "base/result.h"

namespace berth::agent {

// Lowers the calling thread's priority below all others, for the processors and the disk.
void give_way();

// Runs jobs one after another on a thread of its own, which has called give_way(). The thread starts with the first
// job.
class BackgroundThread {
 public:
  BackgroundThread() = default;
  ~BackgroundThread();  // waits for the job that runs; those behind it are dropped
  BackgroundThread(const BackgroundThread&) = delete;

  using Job = Function<void(const std::atomic<bool>& stop)>;  // ends soon once `stop` is set
  void submit(Job job);                                       // any thread
  void wait_until_idle();                                     // for tests

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  bool busy_ = false;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Removes directory trees in the background: take() renames a tree into the trash, and a BackgroundThread deletes it.
// The caller pays for one rename, also for a tree of millions of entries or one deeper than a path may be long.
class Trash {
 public:
  // `directory` is made, and emptied of what an earlier process left in it. It lies on the file system of what is
  // taken.
  static Result<std::unique_ptr<Trash>> open(const std::string& directory);

  // Nothing at `path` is fine. Whatever is mounted below it has been unmounted before. Where it cannot be renamed (it
  // is on another file system) it is removed at once. Any thread.
  Status take(const std::string& path);
  void wait_until_empty() { thread_.wait_until_idle(); }  // for tests

 private:
  explicit Trash(std::string directory) : directory_(std::move(directory)) {}
  void empty();
  std::string directory_;
  std::atomic<std::uint64_t> count_{0};
  BackgroundThread thread_;
};

}  // namespace berth::agent

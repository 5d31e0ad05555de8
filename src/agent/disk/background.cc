#include "agent/disk/background.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "agent/disk/child_directory.h"
#include "base/files.h"
#include "base/log.h"

namespace berth::agent {
namespace {

constexpr int kNicest = 19;
// Directories deeper than this are moved up first, so that no tree uses up descriptors or stack.
constexpr int kMostDepth = 64;

// Deletes what is below one directory. What cannot be deleted is passed by.
class Emptier {
 public:
  Emptier(int top, const std::atomic<bool>& stop) : top_(top), stop_(stop) {}

  // True when nothing is left.
  bool empty(int parent, int depth) {
    Fd copy = open_child_directory(parent, ".");
    DIR* directory = copy ? ::fdopendir(copy.get()) : nullptr;
    if (!directory) return false;
    (void)copy.release();
    bool all = true;
    while (!stop_) {
      dirent* entry = ::readdir(directory);
      if (!entry) break;
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") all = remove(parent, entry->d_name, depth) && all;
    }
    ::closedir(directory);
    return all && !stop_;
  }

  int moved() const { return moved_; }

 private:
  bool remove(int parent, const char* name, int depth) {
    if (::unlinkat(parent, name, 0) == 0 || errno == ENOENT) return true;
    if (errno != EISDIR && errno != EPERM) return false;
    if (::unlinkat(parent, name, AT_REMOVEDIR) == 0) return true;
    if (depth > kMostDepth) return move_up(parent, name);
    Fd below = open_child_directory(parent, name);
    if (!below || !empty(below.get(), depth + 1)) return false;
    return ::unlinkat(parent, name, AT_REMOVEDIR) == 0;
  }

  bool move_up(int parent, const char* name) {
    // Those that are there already are of a pass before this one, or of another process.
    static std::atomic<std::uint64_t> count{0};
    do {
      std::string unique = ".deep-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
      if (::renameat2(parent, name, top_, unique.c_str(), RENAME_NOREPLACE) != 0) continue;
      ++moved_;
      return true;
    } while (errno == EEXIST);
    return false;
  }

  const int top_;
  const std::atomic<bool>& stop_;
  int moved_ = 0;
};

}  // namespace

void give_way() {
  auto thread = static_cast<id_t>(::syscall(SYS_gettid));
  // Not SCHED_IDLE: a thread that holds a lock of the file system and never runs would block all others.
  (void)::setpriority(PRIO_PROCESS, thread, kNicest);
  (void)::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

BackgroundThread::~BackgroundThread() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void BackgroundThread::submit(Job job) {
  std::lock_guard lock(mutex_);
  if (stop_) return;
  jobs_.push_back(std::move(job));
  if (!thread_.joinable()) {
    // Signals belong to the loop's signalfd.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] { run(); });
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  changed_.notify_all();
}

void BackgroundThread::wait_until_idle() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return jobs_.empty() && !busy_; });
}

void BackgroundThread::run() {
  give_way();
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
    if (stop_) return;
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    busy_ = true;
    lock.unlock();
    job(stop_);
    job = nullptr;
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

Result<std::unique_ptr<Trash>> Trash::open(const std::string& directory) {
  BERTH_TRY(make_directories(directory, 0700));
  std::unique_ptr<Trash> trash(new Trash(directory));
  BERTH_ASSIGN(auto left, list_directory(directory));
  if (!left.empty()) trash->empty();
  return trash;
}

Status Trash::take(const std::string& path) {
  std::string name = directory_ + "/" + std::to_string(::getpid()) + "-" + std::to_string(++count_);
  if (::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, name.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno == ENOENT) return {};
    return remove_all(path);
  }
  empty();
  return {};
}

void Trash::empty() {
  thread_.submit([directory = directory_](const std::atomic<bool>& stop) {
    Fd top(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!top) return;
    // Again as long as something was moved up: it may lie behind what has been read.
    for (int moved = 1; moved > 0 && !stop;) {
      Emptier emptier(top.get(), stop);
      if (!emptier.empty(top.get(), 0) && !stop && emptier.moved() == 0) {
        log_warning("agent", "some of what pods have left cannot be removed", {{"directory", directory}});
      }
      moved = emptier.moved();
    }
  });
}

}  // namespace berth::agent

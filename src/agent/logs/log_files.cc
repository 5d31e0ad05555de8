#include "agent/logs/log_files.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/log.h"

namespace berth::agent {
namespace {

std::string directory_of(const std::string& path) { return path.substr(0, path.rfind('/')); }
std::string name_of(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string kept(const std::string& log_path) { return log_path + ".0"; }

bool is_same_file(const std::string& a, const std::string& b) {
  struct stat one {
  }, other{};
  return ::lstat(a.c_str(), &one) == 0 && ::lstat(b.c_str(), &other) == 0 && one.st_ino == other.st_ino &&
         one.st_dev == other.st_dev;
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

}  // namespace

LogFiles::LogFiles(Loop& loop, ThreadPool& remover, int files)
    : loop_(loop), remover_(remover), files_(files), notify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) {
  if (!notify_) {
    log_warning("agent", "logs are only looked at when containers start and end",
                {{"error", errno_error("inotify_init1").message}});
    return;
  }
  (void)loop_.watch_fd(notify_.get(), EPOLLIN, [this](std::uint32_t) { on_events(); });
}

LogFiles::~LogFiles() {
  if (notify_) loop_.unwatch_fd(notify_.get());
}

void LogFiles::follow(const std::string& log_path) {
  std::string directory = directory_of(log_path);
  if (followed_[directory].insert(name_of(log_path)).second && notify_) {
    // The same directory has the same watch.
    int watch = ::inotify_add_watch(notify_.get(), directory.c_str(), IN_MOVED_TO | IN_ONLYDIR);
    if (watch >= 0) directories_[watch] = directory;
  }
  keep(log_path);
}

void LogFiles::forget(const std::string& log_path) {
  std::string directory = directory_of(log_path);
  keep(log_path);
  ::unlink(kept(log_path).c_str());
  auto found = followed_.find(directory);
  if (found == followed_.end()) return;
  found->second.erase(name_of(log_path));
  if (!found->second.empty()) return;
  followed_.erase(found);
  for (auto at = directories_.begin(); at != directories_.end(); ++at) {
    if (at->second != directory) continue;
    ::inotify_rm_watch(notify_.get(), at->first);
    directories_.erase(at);
    return;
  }
}

// Links the present file, after what the link held was moved on.
void LogFiles::keep(const std::string& log_path) {
  if (!exists(log_path) || is_same_file(log_path, kept(log_path))) return;
  if (exists(kept(log_path))) {
    let_go(log_path + "." + std::to_string(files_ - 1));
    for (int n = files_ - 1; n > 0; --n) {
      (void)std::rename((log_path + "." + std::to_string(n - 1)).c_str(), (log_path + "." + std::to_string(n)).c_str());
    }
  }
  (void)::link(log_path.c_str(), kept(log_path).c_str());
}

// A descriptor keeps the file until it is closed. Without one it goes at once.
void LogFiles::let_go(const std::string& path) {
  auto file = std::make_shared<Fd>(::open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  ::unlink(path.c_str());
  if (*file) remover_.submit([file] { file->reset(); }, [] {});
}

void LogFiles::on_events() {
  alignas(inotify_event) char events[4096];
  std::set<std::string> replaced;
  for (ssize_t size; (size = ::read(notify_.get(), events, sizeof events)) > 0;) {
    for (char* at = events; at < events + size;) {
      auto* event = reinterpret_cast<inotify_event*>(at);
      at += sizeof(inotify_event) + event->len;
      auto directory = directories_.find(event->wd);
      if (directory == directories_.end()) continue;
      if ((event->mask & IN_IGNORED) != 0) {  // the directory is gone
        followed_.erase(directory->second);
        directories_.erase(directory);
      } else if (event->len > 0 && followed_[directory->second].contains(event->name)) {
        replaced.insert(directory->second + "/" + event->name);
      }
    }
  }
  for (const std::string& log_path : replaced) keep(log_path);
}

}  // namespace berth::agent

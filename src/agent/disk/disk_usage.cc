#include "agent/disk/disk_usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <deque>
#include <memory>
#include <unordered_set>

#include "agent/disk/child_directory.h"

namespace berth::agent {
namespace {

constexpr std::size_t kMostOpen = 64;  // directories

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

Directory open_directory(Fd fd) {
  DIR* opened = fd ? ::fdopendir(fd.get()) : nullptr;
  if (opened) (void)fd.release();
  return Directory(opened);
}

class Walk {
 public:
  explicit Walk(const std::atomic<bool>& stop) : stop_(stop) {}

  DiskUse run(const std::string& path) {
    struct stat at {};
    Directory top = open_directory(Fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)));
    if (!top || ::fstat(::dirfd(top.get()), &at) != 0) return {};
    device_ = at.st_dev;
    add(at);
    levels_.push_back({std::move(top), at.st_ino});
    while (!levels_.empty() && !stop_) step();
    return use_;
  }

 private:
  // A directory from the top to where the walk is. Those far up are closed; `read_to` is where reading goes on.
  struct Level {
    Directory open;
    ino_t inode;
    long read_to = 0;
  };

  void add(const struct stat& at) {
    if (!S_ISDIR(at.st_mode) && at.st_nlink > 1 && !linked_.insert(at.st_ino).second) return;
    use_.bytes += static_cast<std::int64_t>(at.st_blocks) * 512;
    ++use_.inodes;
  }

  void step() {
    Level& level = levels_.back();
    dirent* entry = ::readdir(level.open.get());
    if (!entry) return go_up();
    std::string_view name = entry->d_name;
    if (name == "." || name == "..") return;
    struct stat at {};
    if (::fstatat(::dirfd(level.open.get()), entry->d_name, &at, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) return;
    if (at.st_dev != device_) return;
    add(at);
    if (S_ISDIR(at.st_mode)) go_down(entry->d_name, at.st_ino);
  }

  void go_down(const char* name, ino_t inode) {
    Directory below = open_directory(open_child_directory(::dirfd(levels_.back().open.get()), name));
    struct stat at {};
    if (!below || ::fstat(::dirfd(below.get()), &at) != 0 || at.st_ino != inode || at.st_dev != device_) return;
    levels_.push_back({std::move(below), inode});
    if (levels_.size() <= kMostOpen) return;
    Level& far = levels_[levels_.size() - 1 - kMostOpen];
    if (!far.open) return;
    far.read_to = ::telldir(far.open.get());
    far.open.reset();
  }

  void go_up() {
    Directory done = std::move(levels_.back().open);
    levels_.pop_back();
    if (levels_.empty() || levels_.back().open) return;
    Level& level = levels_.back();
    level.open = open_directory(open_child_directory(::dirfd(done.get()), ".."));
    struct stat at {};
    if (!level.open || ::fstat(::dirfd(level.open.get()), &at) != 0 || at.st_ino != level.inode ||
        at.st_dev != device_) {
      levels_.clear();  // the directory was moved: its parent is not the one that the walk came from
      return;
    }
    ::seekdir(level.open.get(), level.read_to);
  }

  const std::atomic<bool>& stop_;
  dev_t device_ = 0;
  std::deque<Level> levels_;
  std::unordered_set<ino_t> linked_;
  DiskUse use_;
};

}  // namespace

DiskUse disk_usage(const std::string& path, const std::atomic<bool>& stop) { return Walk(stop).run(path); }

}  // namespace berth::agent

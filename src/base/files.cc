#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "base/fault.h"

namespace berth {
namespace {

// Deeper directories are moved up before they are emptied, so that no tree can use up descriptors or stack.
constexpr int kMaxDepth = 64;

Error path_error(std::string_view verb, const std::string& path, int errno_value = errno) {
  Error e = errno_error(std::string(verb) + " " + path, errno_value);
  if (errno_value == ENOENT || errno_value == ENOTDIR) e.code = Code::kNotFound;
  return e;
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// The directory part and the last name; trailing slashes do not count.
std::pair<std::string, std::string> split_path(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  auto slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

Status write_all(int fd, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    if (fault::hit("files.write")) return path_error("writing", path, ENOSPC);
    ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      return path_error("writing", path);
    }
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Status sync(int fd, const std::string& path) {
  if (fault::hit("files.fsync")) return path_error("syncing", path, EIO);
  if (::fsync(fd) != 0) return path_error("syncing", path);
  return {};
}

Status fill(int fd, const std::string& path, std::string_view content, unsigned mode, bool durable) {
  if (::fchmod(fd, mode) != 0) return path_error("setting the mode of", path);
  BERTH_TRY(write_all(fd, content, path));
  if (durable) BERTH_TRY(sync(fd, path));
  return {};
}

Status replace_file(const std::string& path, std::string_view content, unsigned mode, bool durable) {
  auto [folder, name] = split_path(path);
  std::string beside = folder + "/." + name + ".XXXXXX";
  Fd fd(::mkostemp(beside.data(), O_CLOEXEC));
  if (!fd) return path_error("writing", path);
  auto written = fill(fd.get(), path, content, mode, durable);
  fd.reset();
  if (written.ok() && (fault::hit("files.rename") ? (errno = EIO, -1) : ::rename(beside.c_str(), path.c_str())) != 0) {
    written = path_error("replacing", path);
  }
  if (!written.ok()) {
    ::unlink(beside.c_str());
    return written;
  }
  return durable ? sync_directory_of(path) : ok_status();
}

// Which mount an entry is on. Device numbers do not do: a bind mount of the same file system has the same.
Result<std::uint64_t> mount_of(int directory, const char* name, const std::string& path) {
  struct statx found {};
  int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
  if (::statx(directory, name, flags, STATX_MNT_ID, &found) != 0) return path_error("looking at", path);
  return std::uint64_t{found.stx_mnt_id};
}

// Removes trees on one mount. Goes on past what cannot be removed and keeps the first failure.
class Remover {
 public:
  Remover(int top, std::uint64_t mount) : top_(top), mount_(mount) {}

  void remove(int parent, const std::string& name, const std::string& path, int depth) {
    if (::unlinkat(parent, name.c_str(), 0) == 0 || errno == ENOENT) return;
    if (errno != EISDIR && errno != EPERM) return keep(path_error("removing", path));
    int reason = errno;
    auto mount = mount_of(parent, name.c_str(), path);
    if (!mount.ok()) return mount.failed_with(Code::kNotFound) ? void() : keep(mount.error());
    if (*mount != mount_) return keep(path_error("removing", path + " (a mount point)", EBUSY));
    if (depth > kMaxDepth && move_up(parent, name)) return;
    Fd self(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!self) {
      // EPERM of unlinkat was about a file then, such as an immutable one.
      if (errno == ENOTDIR) errno = reason;
      return errno == ENOENT ? void() : keep(path_error("removing", path));
    }
    empty(std::move(self), path, depth);
    if (::unlinkat(parent, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) keep(path_error("removing", path));
  }

  Status finish() {
    while (!moved_.empty()) {
      std::string name = std::move(moved_.back());
      moved_.pop_back();
      remove(top_, name, name, 0);
    }
    return first_ ? Status(*first_) : Status();
  }

 private:
  void empty(Fd self, const std::string& path, int depth) {
    int fd = self.get();
    Directory directory(::fdopendir(fd));
    if (!directory) return keep(path_error("reading", path));
    self.release();
    while (dirent* entry = ::readdir(directory.get())) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") remove(fd, name, path + "/" + name, depth + 1);
    }
  }

  bool move_up(int parent, const std::string& name) {
    std::string unique = ".removing-" + std::to_string(::getpid()) + "-" + std::to_string(++count_);
    if (::renameat2(parent, name.c_str(), top_, unique.c_str(), RENAME_NOREPLACE) != 0) return false;
    moved_.push_back(unique);
    return true;
  }

  void keep(const Error& e) {
    if (!first_) first_ = e;
  }

  const int top_;  // the directory that holds what is removed
  const std::uint64_t mount_;
  std::vector<std::string> moved_;
  std::uint64_t count_ = 0;
  std::optional<Error> first_;
};

}  // namespace

void Fd::reset(int fd) {
  int before = fd_;
  fd_ = fd;
  if (before >= 0 && before != fd) ::close(before);
}

Result<std::string> read_file(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return path_error("reading", path);
  struct stat at {};
  if (::fstat(fd.get(), &at) != 0) return path_error("reading", path);
  std::string content;
  // One more than the size, to see the end without growing. Files of /proc say 0 and have more.
  std::size_t room = at.st_size > 0 ? static_cast<std::size_t>(at.st_size) + 1 : 4096;
  std::size_t used = 0;
  for (;;) {
    if (used == content.size()) content.resize(used == 0 ? room : used * 2);
    ssize_t n = ::read(fd.get(), content.data() + used, content.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return path_error("reading", path);
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  content.resize(used);
  return content;
}

Status write_file_durably(const std::string& path, std::string_view content, unsigned mode) {
  return replace_file(path, content, mode, true);
}

Status write_file(const std::string& path, std::string_view content, unsigned mode) {
  return replace_file(path, content, mode, false);
}

Status sync_directory_of(const std::string& path) {
  const std::string folder = split_path(path).first;
  Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return path_error("opening", folder);
  return sync(directory.get(), folder);
}

namespace {

// 0 where there is a directory then, otherwise why not.
int make_one_directory(const std::string& path, unsigned mode) {
  if (::mkdir(path.c_str(), mode) == 0) return 0;
  const int reason = errno;
  struct stat at {};
  // EROFS and EACCES may come before EEXIST is noticed.
  return ::stat(path.c_str(), &at) == 0 && S_ISDIR(at.st_mode) ? 0 : reason;
}

}  // namespace

Status make_directories(const std::string& path, unsigned mode) {
  if (path.empty()) return path_error("making the directory", "\"\"", ENOENT);
  // The last one first, and upwards only where that is missing: each look locks a directory that others use.
  int reason = make_one_directory(path, mode);
  if (const auto slash = path.find_last_of('/'); reason == ENOENT && slash != std::string::npos && slash > 0) {
    BERTH_TRY(make_directories(path.substr(0, slash), mode));
    reason = make_one_directory(path, mode);
  }
  if (reason != 0) return errno_error("making the directory " + path, reason);
  return {};
}

Status remove_all(const std::string& path) {
  auto [folder, name] = split_path(path);
  Fd parent(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!parent) return errno == ENOENT || errno == ENOTDIR ? Status() : Status(path_error("opening", folder));
  return remove_tree_at(parent.get(), name, path);
}

Status remove_tree_at(int parent, const std::string& name, const std::string& shown) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    return error(Code::kInvalid, "will not remove \"" + shown + "\"");
  // The parent's mount counts, so that a path that is itself a mount point is left alone with all it holds.
  BERTH_ASSIGN(auto mount, mount_of(parent, "", shown));
  Remover remover(parent, mount);
  remover.remove(parent, name, shown, 0);
  return remover.finish();
}

bool path_exists(const std::string& path) {
  struct stat at {};
  return ::stat(path.c_str(), &at) == 0;
}

Result<std::vector<std::string>> list_directory(const std::string& path) {
  Directory directory(::opendir(path.c_str()));
  if (!directory) return path_error("listing", path);
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    dirent* entry = ::readdir(directory.get());
    if (!entry) break;
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  if (errno != 0) return path_error("listing", path);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace berth

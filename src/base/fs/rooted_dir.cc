#include "base/fs/rooted_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>

#include "base/text.h"

namespace berth {
namespace {

// openat2 answers EAGAIN when a rename happened beside the resolution of "..".
constexpr int kResolveAttempts = 256;
// As many links as the kernel follows in one path.
constexpr int kMostLinks = 40;
// Directories that a walk keeps open at the same time.
constexpr std::size_t kOpenLevels = 48;
constexpr std::size_t kLongestShown = 4096;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

std::string descriptor_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// The kernel's flags for a `links` value.
std::uint64_t resolve_flags(RootedDir::Links links) {
  switch (links) {
    case RootedDir::Links::kInside: return RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    case RootedDir::Links::kBeneath: return RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    case RootedDir::Links::kNone: break;
  }
  return RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
}

Result<std::uint64_t> mount_id(int fd) {
  struct statx found {};
  if (::statx(fd, "", AT_EMPTY_PATH | AT_NO_AUTOMOUNT, STATX_MNT_ID, &found) != 0) return errno_error("statx");
  return std::uint64_t{found.stx_mnt_id};
}

Directory open_stream(Fd fd) {
  Directory stream(::fdopendir(fd.get()));
  if (stream) fd.release();
  return stream;
}

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> out;
  for (auto part : split(path, '/')) {
    if (!part.empty() && part != ".") out.emplace_back(part);
  }
  return out;
}

Status write_content(int fd, std::string_view content) {
  while (!content.empty()) {
    ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("write");
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

std::string temporary_name() {
  static std::atomic<std::uint64_t> count{0};
  return ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
}

}  // namespace

Status set_owner(int fd, std::int64_t user, std::int64_t group) {
  auto uid = user < 0 ? static_cast<uid_t>(-1) : static_cast<uid_t>(user);
  auto gid = group < 0 ? static_cast<gid_t>(-1) : static_cast<gid_t>(group);
  if (::fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0) return errno_error("chown");
  return {};
}

// fchmod() and fsetxattr() refuse descriptors of O_PATH; the descriptor's own name in /proc stands for the same inode.
Status set_mode(int fd, mode_t mode) {
  if (::chmod(descriptor_path(fd).c_str(), mode) != 0) return errno_error("chmod");
  return {};
}

Status set_xattr(int fd, const std::string& name, std::string_view value) {
  if (::setxattr(descriptor_path(fd).c_str(), name.c_str(), value.data(), value.size(), 0) != 0)
    return errno_error("setxattr " + name);
  return {};
}

Result<std::string> read_all(int fd, std::size_t limit) {
  std::string content;
  std::size_t used = 0;
  for (;;) {
    if (used == content.size()) content.resize(std::min(limit + 1, std::max<std::size_t>(4096, used * 2)));
    ssize_t n = ::read(fd, content.data() + used, content.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_error("read");
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
    if (used > limit) return error(Code::kTooLarge, "it has more than " + std::to_string(limit) + " bytes");
  }
  content.resize(used);
  return content;
}

Error RootedDir::failed(std::string_view verb, std::string_view path, int errno_value) const {
  Error e = errno_error(std::string(verb) + " " + quoted(path) + " in " + shown_, errno_value);
  switch (errno_value) {
    case ENOENT:
    case ENOTDIR: e.code = Code::kNotFound; break;
    case EEXIST: e.code = Code::kAlreadyExists; break;
    case EXDEV:
    case ELOOP:
      e.code = Code::kForbidden;
      e.message =
          std::string(verb) + " " + quoted(path) + " in " + shown_ + ": a symbolic link there leads somewhere else";
      break;
    case EAGAIN: e.code = Code::kUnavailable; break;
    case ENOSYS: e.message += " (openat2 needs Linux 5.6)"; break;
    default: break;
  }
  return e;
}

Result<RootedDir> RootedDir::open(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    Error e = errno_error("opening " + path);
    if (errno == ENOENT || errno == ENOTDIR) e.code = Code::kNotFound;
    return e;
  }
  return RootedDir(std::move(fd), path);
}

Result<Fd> RootedDir::resolve(std::string_view path, std::uint64_t flags, mode_t mode, Links links) const {
  if (path.find('\0') != std::string_view::npos) return error(Code::kInvalid, "a path with a zero byte in " + shown_);
  while (path.starts_with("/")) path.remove_prefix(1);
  const std::string text(path.empty() ? "." : path);
  open_how how{};
  how.flags = flags | O_CLOEXEC | (flags & O_PATH ? 0 : O_NOCTTY);
  how.mode = mode;
  how.resolve = resolve_flags(links);
  for (int attempt = 0; attempt < kResolveAttempts; ++attempt) {
    Fd found(static_cast<int>(::syscall(SYS_openat2, fd_.get(), text.c_str(), &how, sizeof how)));
    if (found) return found;
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return failed("opening", path, errno);
}

Result<Fd> RootedDir::open(std::string_view path, int flags, Links links, mode_t mode) const {
  return resolve(path, static_cast<std::uint64_t>(flags), mode, links);
}

Result<RootedDir> RootedDir::directory(std::string_view path, Links links) const {
  BERTH_ASSIGN(Fd found, resolve(path, O_RDONLY | O_DIRECTORY, 0, links));
  return RootedDir(std::move(found), shown_ + "/" + std::string(path));
}

Result<RootedDir::Place> RootedDir::place(std::string_view path, Links links) const {
  std::string_view whole = path;
  while (path.ends_with("/")) path.remove_suffix(1);
  std::size_t slash = path.rfind('/');
  std::string name(slash == std::string_view::npos ? path : path.substr(slash + 1));
  if (name.empty() || name == "." || name == ".." || name.find('\0') != std::string::npos)
    return error(Code::kInvalid, quoted(whole) + " names no entry of " + shown_);
  BERTH_ASSIGN(Fd parent,
               resolve(slash == std::string_view::npos ? "" : path.substr(0, slash), O_PATH | O_DIRECTORY, 0, links));
  return Place{std::move(parent), std::move(name)};
}

// Opened with O_PATH first: to open a device or a pipe for reading may have effects, and may block.
Result<std::string> RootedDir::read_file(std::string_view path, std::size_t limit, Links links) const {
  BERTH_ASSIGN(Fd found, resolve(path, O_PATH, 0, links));
  struct stat at {};
  if (::fstat(found.get(), &at) != 0) return failed("looking at", path, errno);
  if (!S_ISREG(at.st_mode)) return error(Code::kInvalid, quoted(path) + " in " + shown_ + " is no regular file");
  Fd reading(::open(descriptor_path(found.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!reading) return failed("reading", path, errno);
  Result<std::string> text = read_all(reading.get(), limit);
  if (!text.ok()) return text.error().in("reading " + quoted(path) + " in " + shown_);
  return text;
}

Result<struct stat> RootedDir::stat(std::string_view path, Links links) const {
  BERTH_ASSIGN(Place at, place(path, links));
  struct stat found {};
  if (::fstatat(at.parent.get(), at.name.c_str(), &found, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0)
    return failed("looking at", path, errno);
  return found;
}

Result<std::string> RootedDir::read_link(std::string_view path, Links links) const {
  BERTH_ASSIGN(Place at, place(path, links));
  std::string target(4096, '\0');
  ssize_t n = ::readlinkat(at.parent.get(), at.name.c_str(), target.data(), target.size());
  if (n < 0) return failed("reading the link", path, errno);
  target.resize(static_cast<std::size_t>(n));
  return target;
}

Result<std::vector<std::string>> RootedDir::list() const {
  BERTH_ASSIGN(Fd self, resolve("", O_RDONLY | O_DIRECTORY, 0, Links::kNone));
  Directory directory = open_stream(std::move(self));
  if (!directory) return failed("listing", ".", errno);
  std::vector<std::string> names;
  errno = 0;
  while (dirent* entry = ::readdir(directory.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  if (errno != 0) return failed("listing", ".", errno);
  std::sort(names.begin(), names.end());
  return names;
}

// The mode is set on the descriptor of the new entry, which cannot be replaced as a name can.
Status RootedDir::make_directory(std::string_view path, mode_t mode, Links links) const {
  BERTH_ASSIGN(Place at, place(path, links));
  if (::mkdirat(at.parent.get(), at.name.c_str(), mode) != 0) return failed("making the directory", path, errno);
  Fd made(::openat(at.parent.get(), at.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made || ::fchmod(made.get(), mode) != 0) return failed("making the directory", path, errno);
  return {};
}

Result<RootedDir> RootedDir::make_directories(std::string_view path, mode_t mode, Links links,
                                              const Fresh& fresh) const {
  auto whole = directory(path, links);
  if (whole.ok() || whole.error().code != Code::kNotFound) return whole;
  std::vector<std::string> left = components(path);
  std::reverse(left.begin(), left.end());
  std::string done;
  RootedDir at;
  for (int followed = 0; !left.empty();) {
    std::string name = std::move(left.back());
    left.pop_back();
    std::string next = done.empty() ? name : done + "/" + name;
    bool made = false;
    // From the directory reached so far, so that a deep path is not resolved again and again; only a link and ".." are
    // looked up from the root.
    const RootedDir& here = at ? at : *this;
    Result<RootedDir> opened = error(Code::kForbidden, "");
    if (name != "..") {
      Status status = here.make_directory(name, mode, Links::kNone);
      made = status.ok();
      if (!made && !status.failed_with(Code::kAlreadyExists)) return status.error();
      opened = here.directory(name, Links::kNone);
    }
    if (opened.failed_with(Code::kForbidden)) opened = directory(next, links);
    if (opened.failed_with(Code::kNotFound) && links == Links::kInside && name != "..") {
      // A link to what is not there (yet): the directory is made where it points to.
      auto target = here.read_link(name, Links::kNone);
      if (!target.ok() || ++followed > kMostLinks) return opened;
      if (target->starts_with("/")) {
        done.clear();
        at = RootedDir();
      }
      std::vector<std::string> parts = components(*target);
      left.insert(left.end(), parts.rbegin(), parts.rend());
      continue;
    }
    if (!opened.ok()) return opened;
    if (made && fresh) BERTH_TRY(fresh(*opened, next));
    done = std::move(next);
    at = std::move(*opened);
  }
  if (!at) return directory("", links);
  return at;
}

Result<Fd> RootedDir::create_file(std::string_view path, mode_t mode, Links links) const {
  BERTH_ASSIGN(Place at, place(path, links));
  Fd made(::openat(at.parent.get(), at.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!made || ::fchmod(made.get(), mode) != 0) return failed("making the file", path, errno);
  return made;
}

Status RootedDir::write_file(std::string_view path, std::string_view content, mode_t mode, Links links) const {
  BERTH_ASSIGN(Place at, place(path, links));
  std::string beside = temporary_name();
  Fd made(::openat(at.parent.get(), beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!made) return failed("writing", path, errno);
  Status written = ::fchmod(made.get(), mode) == 0 ? write_content(made.get(), content) : Status(errno_error("chmod"));
  if (written.ok() && ::renameat(at.parent.get(), beside.c_str(), at.parent.get(), at.name.c_str()) == 0) return {};
  Error why =
      written.ok() ? failed("replacing", path, errno) : written.error().in("writing " + quoted(path) + " in " + shown_);
  (void)::unlinkat(at.parent.get(), beside.c_str(), 0);
  return why;
}

Status RootedDir::make_symlink(std::string_view path, const std::string& target, Links links) const {
  BERTH_ASSIGN(Place at, place(path, links));
  if (::symlinkat(target.c_str(), at.parent.get(), at.name.c_str()) != 0) return failed("making the link", path, errno);
  return {};
}

Status RootedDir::replace_symlink(std::string_view path, const std::string& target, Links links) const {
  BERTH_ASSIGN(Place at, place(path, links));
  std::string beside = temporary_name();
  if (::symlinkat(target.c_str(), at.parent.get(), beside.c_str()) != 0) return failed("making the link", path, errno);
  if (::renameat(at.parent.get(), beside.c_str(), at.parent.get(), at.name.c_str()) == 0) return {};
  Error why = failed("replacing the link", path, errno);
  (void)::unlinkat(at.parent.get(), beside.c_str(), 0);
  return why;
}

Status RootedDir::make_hard_link(std::string_view path, std::string_view existing, Links links) const {
  BERTH_ASSIGN(Place from, place(existing, links));
  BERTH_ASSIGN(Place to, place(path, links));
  if (::linkat(from.parent.get(), from.name.c_str(), to.parent.get(), to.name.c_str(), 0) != 0)
    return failed("linking " + quoted(existing) + " as", path, errno);
  return {};
}

Status RootedDir::make_node(std::string_view path, mode_t mode, dev_t device, Links links) const {
  BERTH_ASSIGN(Place at, place(path, links));
  if (::mknodat(at.parent.get(), at.name.c_str(), mode, device) != 0) return failed("making the node", path, errno);
  Fd made(::openat(at.parent.get(), at.name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!made) return failed("making the node", path, errno);
  struct stat found {};
  if (::fstat(made.get(), &found) != 0) return failed("looking at", path, errno);
  if (S_ISLNK(found.st_mode) || (found.st_mode & 07777) == (mode & 07777)) return {};
  Status set = set_mode(made.get(), mode & 07777);
  if (!set.ok()) return set.error().in("making the node " + quoted(path) + " in " + shown_);
  return {};
}

Status RootedDir::rename(std::string_view from, std::string_view to, unsigned flags, Links links) const {
  BERTH_ASSIGN(Place source, place(from, links));
  BERTH_ASSIGN(Place target, place(to, links));
  if (::renameat2(source.parent.get(), source.name.c_str(), target.parent.get(), target.name.c_str(), flags) != 0)
    return failed("renaming " + quoted(from) + " to", to, errno);
  return {};
}

Status RootedDir::remove_file(std::string_view path, Links links) const {
  auto at = place(path, links);
  if (at.failed_with(Code::kNotFound)) return {};
  if (!at.ok()) return at.error();
  if (::unlinkat(at->parent.get(), at->name.c_str(), 0) != 0 && errno != ENOENT) return failed("removing", path, errno);
  return {};
}

Status RootedDir::remove_tree(std::string_view path, Links links) const {
  auto at = place(path, links);
  if (at.failed_with(Code::kNotFound)) return {};
  if (!at.ok()) return at.error();
  return remove_tree_at(at->parent.get(), at->name, shown_ + "/" + std::string(path));
}

namespace {

// A depth-first walk. Of the directories on the way down only the last kOpenLevels are open; a shallower one is opened
// again through its child's ".." and counts only if it is still the same directory.
class Walk {
 public:
  Walk(std::uint64_t mount, const std::string& shown, const std::function<Status(const RootedDir::Entry&)>& visit)
      : mount_(mount), shown_(shown), visit_(visit) {}

  Status run(Fd root) {
    struct stat at {};
    if (::fstat(root.get(), &at) != 0) return fail(errno);
    BERTH_TRY(visit_(RootedDir::Entry{root.get(), at, path_}));
    BERTH_TRY(descend(std::move(root), at));
    while (!levels_.empty()) {
      errno = 0;
      dirent* entry = ::readdir(levels_.back().stream.get());
      if (entry == nullptr) {
        if (errno != 0) return fail(errno);
        BERTH_TRY(ascend());
        continue;
      }
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") BERTH_TRY(look_at(entry->d_name));
    }
    return {};
  }

 private:
  struct Level {
    Directory stream;  // null while it is closed
    long position = 0;
    dev_t device = 0;
    ino_t inode = 0;
    std::size_t path_length = 0;  // of path_, without what is below
  };

  Error fail(int errno_value) const { return errno_error("walking " + shown_ + "/" + path_, errno_value); }

  Status look_at(const char* name) {
    Fd fd(::openat(::dirfd(levels_.back().stream.get()), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!fd) return errno == ENOENT ? ok_status() : Status(fail(errno));
    struct stat at {};
    if (::fstat(fd.get(), &at) != 0) return fail(errno);
    if (S_ISDIR(at.st_mode)) {
      BERTH_ASSIGN(std::uint64_t mount, mount_id(fd.get()));
      if (mount != mount_) return {};
    }
    std::size_t before = path_.size();
    if (path_.size() < kLongestShown) path_ += (path_.empty() ? "" : "/") + std::string(name);
    Status visited = visit_(RootedDir::Entry{fd.get(), at, path_});
    if (visited.ok() && S_ISDIR(at.st_mode)) return descend(std::move(fd), at);  // path_ stays as long as it is inside
    path_.resize(before);
    return visited;
  }

  Status descend(Fd directory, const struct stat& at) {
    Fd reading(::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!reading) return fail(errno);
    Level level;
    level.stream = open_stream(std::move(reading));
    if (!level.stream) return fail(errno);
    level.device = at.st_dev;
    level.inode = at.st_ino;
    level.path_length = path_.size();
    levels_.push_back(std::move(level));
    if (levels_.size() > kOpenLevels) {
      Level& shallow = levels_[levels_.size() - 1 - kOpenLevels];
      if (shallow.stream) shallow.position = ::telldir(shallow.stream.get());
      shallow.stream.reset();
    }
    return {};
  }

  Status ascend() {
    Level child = std::move(levels_.back());
    levels_.pop_back();
    if (levels_.empty()) return {};
    Level& level = levels_.back();
    path_.resize(level.path_length);
    if (level.stream) return {};
    Fd up(::openat(::dirfd(child.stream.get()), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct stat at {};
    if (!up || ::fstat(up.get(), &at) != 0) return fail(errno);
    if (at.st_dev != level.device || at.st_ino != level.inode)
      return error(Code::kConflict, "a directory was moved while " + shown_ + "/" + path_ + " was walked");
    level.stream = open_stream(std::move(up));
    if (!level.stream) return fail(errno);
    ::seekdir(level.stream.get(), level.position);
    return {};
  }

  const std::uint64_t mount_;
  const std::string& shown_;
  const std::function<Status(const RootedDir::Entry&)>& visit_;
  std::vector<Level> levels_;
  std::string path_;
};

}  // namespace

Status RootedDir::walk(const std::function<Status(const Entry&)>& visit) const {
  BERTH_ASSIGN(Fd root, resolve("", O_PATH | O_DIRECTORY, 0, Links::kNone));
  BERTH_ASSIGN(std::uint64_t mount, mount_id(root.get()));
  return Walk(mount, shown_, visit).run(std::move(root));
}

}  // namespace berth

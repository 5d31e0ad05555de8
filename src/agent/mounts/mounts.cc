#include "agent/mounts/mounts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "base/files.h"
#include "base/fs/mount_table.h"
#include "base/text.h"

namespace berth::agent {
namespace {

// The options of a mount are one page; "volatile" is added to them.
constexpr std::size_t kLongestOptions = 4000;

// Short names of directories with long paths, valid during the life of this object.
class ShortNames {
 public:
  Result<std::string> of_all(const std::string& directories) {
    std::vector<std::string> names, paths(1);
    for (std::size_t i = 0; i < directories.size(); ++i) {
      if (directories[i] == ':') {
        paths.emplace_back();
      } else {
        if (directories[i] == '\\' && i + 1 < directories.size()) ++i;  // as overlay_option() writes it
        paths.back() += directories[i];
      }
    }
    for (const std::string& path : paths) {
      Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
      if (!fd) return errno_error("opening " + path);
      names.push_back("/proc/self/fd/" + std::to_string(fd.get()));
      open_.push_back(std::move(fd));
    }
    return join(names, ":");
  }

 private:
  std::vector<Fd> open_;
};

struct Kept {
  Fd ipc, uts, net;
};

Result<Kept> own_namespaces() {
  Kept kept{Fd(::open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC)),
            Fd(::open("/proc/thread-self/ns/uts", O_RDONLY | O_CLOEXEC)),
            Fd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC))};
  if (!kept.ipc || !kept.uts || !kept.net) return errno_error("opening this thread's namespaces");
  return kept;
}

void go_back(const Kept& kept) {
  // A pool thread that stayed in a pod's namespaces would do other pods' work there.
  BERTH_CHECK(::setns(kept.ipc.get(), CLONE_NEWIPC) == 0, "cannot return to the node's ipc namespace");
  BERTH_CHECK(::setns(kept.uts.get(), CLONE_NEWUTS) == 0, "cannot return to the node's uts namespace");
  BERTH_CHECK(::setns(kept.net.get(), CLONE_NEWNET) == 0, "cannot return to the node's network namespace");
}

}  // namespace

std::string overlay_option(std::string_view path) {
  std::string out;
  for (const char c : path) {
    if (c == '\\' || c == ':' || c == ',') out += '\\';
    out += c;
  }
  return out;
}

Status mount_overlay(const std::string& lower, const std::string& upper, const std::string& work,
                     const std::string& target) {
  static std::atomic<bool> may_be_volatile{true};
  ShortNames names;
  const std::string upper_and_work = ",upperdir=" + overlay_option(upper) + ",workdir=" + overlay_option(work);
  std::string options = "lowerdir=" + lower + upper_and_work;
  if (options.size() > kLongestOptions) {
    BERTH_ASSIGN(std::string shortened, names.of_all(lower));
    options = "lowerdir=" + shortened + upper_and_work;
  }
  if (options.size() > kLongestOptions)
    return error(Code::kInvalid,
                 "the image has too many layers for one mount (" + std::to_string(split(lower, ':').size()) + ")");
  if (may_be_volatile) {
    if (::mount("overlay", target.c_str(), "overlay", 0, (options + ",volatile").c_str()) == 0) return {};
    if (errno != EINVAL) return errno_error("mounting the root file system at " + target);
    may_be_volatile = false;
  }
  if (::mount("overlay", target.c_str(), "overlay", 0, options.c_str()) != 0) {
    return errno_error("mounting the root file system at " + target);
  }
  return {};
}

Status mount_tmpfs(const std::string& target, const std::string& options) {
  if (::mount("tmpfs", target.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0) {
    return errno_error("mounting tmpfs at " + target);
  }
  return {};
}

Status bind_mount(const std::string& source, const std::string& target) {
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return errno_error("bind-mounting " + source + " at " + target);
  }
  return {};
}

Status bind_descriptor(int source, int target) {
  Fd tree(::open_tree(source, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return errno_error("cloning a mount");
  if (::move_mount(tree.get(), "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return errno_error("mounting a clone");
  return {};
}

void unmount(const std::string& target) {
  for (int n = 0; n < 32 && ::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0; ++n) {}
}

void unmount_below(const std::vector<std::string>& directories) {
  if (std::none_of(directories.begin(), directories.end(), path_exists)) return;  // the list of all mounts may be long
  auto mounts = read_mounts();
  if (!mounts.ok()) return;
  std::reverse(mounts->begin(), mounts->end());  // later mounts first, which are on top or deeper
  for (const MountEntry& mount : *mounts) {
    const bool below = std::any_of(directories.begin(), directories.end(), [&](const std::string& directory) {
      return mount.target == directory || mount.target.starts_with(directory + "/");
    });
    if (below) (void)::umount2(mount.target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
  }
}

bool is_mount_point(const std::string& path) {
  struct statx at {};
  return ::statx(AT_FDCWD, path.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, 0, &at) == 0 &&
         (at.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Status check_mount_points_are_told(std::uint64_t attributes_mask) {
  if ((attributes_mask & STATX_ATTR_MOUNT_ROOT) != 0) return ok_status();
  return error(Code::kUnavailable,
               "this kernel does not tell which directories are mount points: Linux 5.8 or later is needed");
}

Status check_mount_points_are_told() {
  struct statx at {};
  if (::statx(AT_FDCWD, "/", AT_STATX_DONT_SYNC, 0, &at) != 0) return errno_error("asking for the attributes of /");
  return check_mount_points_are_told(at.stx_attributes_mask);
}

Status in_new_namespaces(int flags, const std::function<Status()>& inside) {
  BERTH_ASSIGN(Kept kept, own_namespaces());
  if (::unshare(flags) != 0) return errno_error("unshare");
  Status result = inside();
  go_back(kept);
  return result;
}

Status in_namespaces(const std::vector<std::string>& paths, const std::function<Status()>& inside) {
  BERTH_ASSIGN(Kept kept, own_namespaces());
  Status result;
  for (const auto& path : paths) {
    if (path.empty()) continue;
    Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd || ::setns(fd.get(), 0) != 0) {
      result = errno_error("entering " + path);
      break;
    }
  }
  if (result.ok()) result = inside();
  go_back(kept);
  return result;
}

}  // namespace berth::agent

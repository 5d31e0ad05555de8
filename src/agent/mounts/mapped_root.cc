#include "agent/mounts/mapped_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <vector>

#include "agent/mounts/mounts.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr const char* kPlaces = "/run/berth";

Status mount_mapped(const std::string& layer, const std::string& target, int users, unsigned below = 0) {
  Fd tree(::open_tree(AT_FDCWD, layer.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | below));
  if (!tree) return errno_error("cloning the mount of " + layer);
  mount_attr mapped{};
  mapped.attr_set = MOUNT_ATTR_IDMAP;
  mapped.userns_fd = static_cast<std::uint64_t>(users);
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH | below, &mapped, sizeof mapped) != 0) {
    // Where its type knows no mapped mounts, or something mounted below it does not.
    if (errno == EINVAL)
      return error(Code::kInvalid,
                   "the file system of " + layer + " cannot map users, which `spec.hostUsers: false` needs");
    return errno_error("mapping the users of " + layer);
  }
  if (::move_mount(tree.get(), "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return errno_error("mounting " + target);
  return {};
}

Status mount_over(const std::string& lower, const std::string& upper, const std::string& work,
                  const std::string& target, const std::string& scratch, int users, std::vector<std::string>& mounted) {
  std::string layers;
  for (std::string_view layer : split(lower, ':')) {
    std::string at = scratch + "/" + std::to_string(mounted.size());
    BERTH_TRY(make_directories(at, 0711));
    BERTH_TRY(mount_mapped(std::string(layer), at, users));
    mounted.push_back(at);
    layers += (layers.empty() ? "" : ":") + at;
  }
  return mount_overlay(layers, upper, work, target);
}

}  // namespace

Status mount_mapped_overlay(const std::string& lower, const std::string& upper, const std::string& work,
                            const std::string& target, const std::string& scratch, const std::string& user_namespace,
                            std::int64_t first_user) {
  Fd users(::open(user_namespace.c_str(), O_RDONLY | O_CLOEXEC));
  if (!users) return errno_error("opening " + user_namespace);
  // What the container writes is stored under the node's numbers of its users.
  for (const auto& own : {upper, work}) {
    if (::chown(own.c_str(), static_cast<uid_t>(first_user), static_cast<gid_t>(first_user)) != 0)
      return errno_error("giving away " + own);
  }
  std::vector<std::string> mounted;
  Status result = mount_over(lower, upper, work, target, scratch, users.get(), mounted);
  // The overlay holds on to its layers by itself.
  for (const auto& at : mounted) unmount(at);
  return result;
}

Status mount_mapped_source(const std::string& source, const std::string& target, const std::string& user_namespace) {
  Fd users(::open(user_namespace.c_str(), O_RDONLY | O_CLOEXEC));
  if (!users) return errno_error("opening " + user_namespace);
  struct stat at {};
  if (::stat(source.c_str(), &at) != 0) return errno_error("looking at " + source);
  BERTH_TRY(S_ISDIR(at.st_mode) ? make_directories(target, 0711) : write_file(target, "", 0600));
  return mount_mapped(source, target, users.get(), AT_RECURSIVE);
}

std::string mapped_place(const std::string& container_id) { return std::string(kPlaces) + "/" + container_id; }

Status make_mapped_place(const std::string& container_id) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  BERTH_TRY(make_directories(kPlaces, 0711));
  if (!is_mount_point(kPlaces)) BERTH_TRY(mount_tmpfs(kPlaces, "mode=0711,size=16m"));
  return make_directories(mapped_place(container_id), 0711);
}

Status remove_mapped_place(const std::string& container_id) {
  std::string place = mapped_place(container_id);
  if (!path_exists(place)) return {};
  unmount_below({place});
  // Mount points only, one by one: what is still mounted on one of them keeps it, and its content.
  for (const std::string& directory : {place + "/lower", place}) {
    auto names = list_directory(directory);
    if (!names.ok()) continue;
    for (const auto& name : *names) {
      std::string at = directory + "/" + name;
      if (::rmdir(at.c_str()) != 0 && errno == ENOTDIR) ::unlink(at.c_str());
    }
  }
  if (::rmdir(place.c_str()) != 0) return errno_error("removing " + place);
  return {};
}

}  // namespace berth::agent

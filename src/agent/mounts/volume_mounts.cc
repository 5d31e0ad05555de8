#include "agent/mounts/volume_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "agent/mounts/mounts.h"
#include "base/files.h"

namespace berth::agent {

Status share_mount(const std::string& path) {
  Fd place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) return errno_error("opening " + path);
  struct statx at {};
  if (::statx(place.get(), "", AT_EMPTY_PATH, STATX_TYPE, &at) != 0) return errno_error("looking at " + path);
  mount_attr shared{};
  shared.propagation = MS_SHARED;
  if (at.stx_attributes & STATX_ATTR_MOUNT_ROOT) {
    if (::mount_setattr(place.get(), "", AT_EMPTY_PATH, &shared, sizeof shared) != 0)
      return errno_error("sharing the mount at " + path);
    return {};
  }
  // By descriptors, so that a link that is put in the place of the path meanwhile changes nothing.
  Fd tree(::open_tree(place.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE));
  if (!tree) return errno_error("cloning the mount at " + path);
  if (::mount_setattr(tree.get(), "", AT_EMPTY_PATH, &shared, sizeof shared) != 0)
    return errno_error("sharing the mount at " + path);
  if (::move_mount(tree.get(), "", place.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    return errno_error("mounting " + path);
  return {};
}

Status mount_image(const std::vector<std::string>& layers, const std::string& target, const std::string& empty) {
  BERTH_TRY(make_directories(target, 0755));
  BERTH_TRY(make_directories(empty, 0755));
  if (is_mount_point(target)) return {};
  std::string lower;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) lower += *layer + ":";
  lower += empty;  // an overlay without an upper directory has at least two lower ones
  if (layers.empty()) lower += ":" + empty;
  unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  if (::mount("overlay", target.c_str(), "overlay", flags, ("lowerdir=" + lower).c_str()) != 0)
    return errno_error("mounting the image at " + target);
  return {};
}

}  // namespace berth::agent

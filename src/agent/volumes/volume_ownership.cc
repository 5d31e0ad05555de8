#include "agent/volumes/volume_ownership.h"

#include <sys/stat.h>

#include "base/fs/rooted_dir.h"

namespace berth::agent {
namespace {

Error failed(const Error& why, const std::string& path, const std::string& entry, std::int64_t group) {
  return why.in("giving " + path + (entry.empty() ? "" : "/" + entry) + " to group " + std::to_string(group));
}

}  // namespace

VolumeOwnership volume_ownership(const Value& pod) {
  const Value& security = pod["spec"]["securityContext"];
  VolumeOwnership out;
  if (security["fsGroup"].is_int()) out.group = security["fsGroup"].as_int();
  out.only_when_root_differs = security["fsGroupChangePolicy"].as_string() == "OnRootMismatch";
  return out;
}

// Other pods may use the volume meanwhile: each entry is changed through the descriptor that was opened for it.
Status apply_ownership(const std::string& path, const VolumeOwnership& ownership) {
  if (ownership.group < 0) return {};
  auto group = static_cast<gid_t>(ownership.group);
  BERTH_ASSIGN(RootedDir volume, RootedDir::open(path));
  struct stat root {};
  if (::fstat(volume.fd(), &root) != 0) return errno_error("looking at " + path);
  constexpr mode_t kWanted = S_ISGID | 0770;
  if (ownership.only_when_root_differs && root.st_gid == group && (root.st_mode & kWanted) == kWanted) return {};
  Status first;
  Status walked = volume.walk([&](const RootedDir::Entry& entry) -> Status {
    if (entry.at.st_gid != group) {
      Status owned = set_owner(entry.fd, -1, group);
      if (!owned.ok() && first.ok()) first = failed(owned.error(), path, entry.path, group);
    }
    if (S_ISLNK(entry.at.st_mode)) return {};
    mode_t mode = (entry.at.st_mode & 07777) | 0660;
    if (S_ISDIR(entry.at.st_mode)) mode |= S_ISGID | 0110;
    // chown() may have cleared set-id bits. A mode that cannot be set is not an error.
    if (entry.at.st_gid != group || mode != (entry.at.st_mode & 07777)) (void)set_mode(entry.fd, mode);
    return {};
  });
  return first.ok() ? walked : first;
}

}  // namespace berth::agent

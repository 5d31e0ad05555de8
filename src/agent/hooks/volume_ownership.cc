#include "agent/hooks/volume_ownership.h"

#include <fts.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace berth::agent {

VolumeOwnership volume_ownership(const Value& pod) {
  const Value& security = pod["spec"]["securityContext"];
  VolumeOwnership out;
  if (security["fsGroup"].is_int()) out.group = security["fsGroup"].as_int();
  out.only_when_root_differs = security["fsGroupChangePolicy"].as_string() == "OnRootMismatch";
  return out;
}

Status apply_ownership(const std::string& path, const VolumeOwnership& ownership) {
  if (ownership.group < 0) return {};
  auto group = static_cast<gid_t>(ownership.group);
  struct stat root {};
  if (::stat(path.c_str(), &root) != 0) return errno_error("looking at " + path);
  constexpr mode_t kWanted = S_ISGID | 0770;
  if (ownership.only_when_root_differs && root.st_gid == group && (root.st_mode & kWanted) == kWanted) return {};
  char* roots[] = {const_cast<char*>(path.c_str()), nullptr};
  FTS* walk = ::fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, nullptr);
  if (!walk) return errno_error("walking " + path);
  Status result;
  while (FTSENT* entry = ::fts_read(walk)) {
    if (entry->fts_info == FTS_DP || entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR) continue;
    if (entry->fts_statp->st_gid != group && ::lchown(entry->fts_accpath, static_cast<uid_t>(-1), group) != 0 &&
        result.ok()) {
      result = errno_error("giving " + std::string(entry->fts_path) + " to group " + std::to_string(group));
    }
    if (entry->fts_info == FTS_SL || entry->fts_info == FTS_SLNONE) continue;
    mode_t mode = (entry->fts_statp->st_mode & 07777) | 0660;
    if (entry->fts_info == FTS_D) mode |= S_ISGID | 0110;
    (void)::chmod(entry->fts_accpath, mode);
  }
  ::fts_close(walk);
  return result;
}

}  // namespace berth::agent

#include "agent/disk/disk_space.h"

#include <sys/statvfs.h>

#include <algorithm>

namespace berth::agent {
namespace {

constexpr std::int64_t kMebi = 1 << 20, kGibi = 1 << 30;
constexpr std::int64_t kMostKept = kGibi;
constexpr std::int64_t kLeastKeptFromVolumes = 64 * kMebi;

}  // namespace

DiskSpace read_disk_space(const std::string& path) {
  struct statvfs at {};
  if (::statvfs(path.c_str(), &at) != 0) return {};
  auto unit = static_cast<std::int64_t>(at.f_frsize);
  return {static_cast<std::int64_t>(at.f_blocks) * unit, static_cast<std::int64_t>(at.f_bavail) * unit,
          static_cast<std::int64_t>(at.f_files), static_cast<std::int64_t>(at.f_favail)};
}

std::int64_t pressure_threshold(const DiskSpace& space) { return std::min(space.total / 10, kMostKept); }
std::int64_t inode_threshold(const DiskSpace& space) { return space.inodes / 20; }

std::int64_t kept_from_volumes(const DiskSpace& space) {
  std::int64_t threshold = pressure_threshold(space);
  return std::max(threshold + threshold / 4, kLeastKeptFromVolumes);
}

DiskShortage disk_shortage(const DiskSpace& space) {
  if (space.total > 0 && space.free < pressure_threshold(space)) return DiskShortage::kBytes;
  if (space.inodes > 0 && space.inodes_free < inode_threshold(space)) return DiskShortage::kInodes;
  return DiskShortage::kNone;
}

std::string rough_size(std::int64_t bytes) {
  const char* names[] = {"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  std::int64_t unit = 1024;
  int at = 0;
  while (at < 5 && bytes / unit >= 1024) {
    unit *= 1024;
    ++at;
  }
  std::int64_t whole = bytes / unit;
  if (whole >= 100) return std::to_string(whole / 10 * 10) + names[at];
  if (whole >= 10) return std::to_string(whole) + names[at];
  std::int64_t tenth = bytes % unit * 10 / unit;
  return std::to_string(whole) + (tenth > 0 ? "." + std::to_string(tenth) : "") + names[at];
}

}  // namespace berth::agent

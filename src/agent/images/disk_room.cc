#include "agent/images/disk_room.h"

#include <sys/statvfs.h>

#include <algorithm>

namespace berth::agent {
namespace {

constexpr std::int64_t kMostReserve = 1 << 30;
constexpr std::int64_t kBytesBetween = 16 << 20, kFilesBetween = 1000;

}  // namespace

Result<DiskRoom> DiskRoom::of(int fd, std::string shown) {
  DiskRoom room;
  room.fd_ = fd;
  room.shown_ = std::move(shown);
  BERTH_TRY(room.look());
  return room;
}

Status DiskRoom::take(std::int64_t bytes, std::int64_t files) {
  bytes_since_ += bytes;
  files_since_ += files;
  if (bytes_since_ < std::min(kBytesBetween, bytes_) && files_since_ < kFilesBetween) return {};
  return look();
}

Status DiskRoom::look() {
  struct statvfs at {};
  if (::fstatvfs(fd_, &at) != 0) return errno_error("looking at the disk of " + shown_);
  auto unit = static_cast<std::int64_t>(at.f_frsize);
  std::int64_t total = static_cast<std::int64_t>(at.f_blocks) * unit;
  std::int64_t free = static_cast<std::int64_t>(at.f_bavail) * unit;
  std::int64_t reserve = std::min(kMostReserve, total / 20);
  bytes_ = free - reserve;
  bytes_since_ = files_since_ = 0;
  if (bytes_ <= 0) {
    return error(Code::kUnavailable, "no room for the image: the disk of " + shown_ + " has " + std::to_string(free) +
                                         " bytes free, and " + std::to_string(reserve) + " are kept for others");
  }
  // File systems without a table of inodes say that they have none.
  if (at.f_files > 0 && at.f_favail < at.f_files / 100) {
    return error(Code::kUnavailable, "no room for the image: the disk of " + shown_ + " has " +
                                         std::to_string(at.f_favail) + " of " + std::to_string(at.f_files) +
                                         " inodes free, and 1 % are kept for others");
  }
  return {};
}

}  // namespace berth::agent

#include "lab/reserve.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdint>

#include "base/files.h"

namespace berth::lab {
namespace {

constexpr std::int64_t kBytes = 8 << 20;
constexpr std::int64_t kPlenty = 8 * kBytes;

std::int64_t free_bytes(const ClusterDir& dir) {
  struct statvfs at {};
  if (::statvfs(dir.root.c_str(), &at) != 0) return kBytes;
  return static_cast<std::int64_t>(at.f_bavail) * static_cast<std::int64_t>(at.f_frsize);
}

}  // namespace

bool spend_reserve(const ClusterDir& dir) { return free_bytes(dir) < kBytes && ::unlink(dir.reserve().c_str()) == 0; }

void keep_reserve(const ClusterDir& dir) {
  struct ::stat at {};
  // A shorter one was being made when the process was killed.
  const bool kept = ::stat(dir.reserve().c_str(), &at) == 0 && at.st_size >= kBytes;
  if (kept || free_bytes(dir) < kPlenty) return;
  Fd fd(::open(dir.reserve().c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd && ::fallocate(fd.get(), 0, 0, kBytes) != 0) ::unlink(dir.reserve().c_str());
}

}  // namespace berth::lab

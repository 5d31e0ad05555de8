#include "base/fs/reserve_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/files.h"

namespace berth {

DiskSpace disk_space_at(const std::string& file) {
  struct statvfs at {};
  const std::string directory = file.substr(0, file.rfind('/') + 1);
  if (::statvfs(directory.empty() ? "." : directory.c_str(), &at) != 0) return {};
  const auto unit = static_cast<std::int64_t>(at.f_frsize);
  return {static_cast<std::int64_t>(at.f_blocks) * unit, static_cast<std::int64_t>(at.f_bavail) * unit};
}

void keep_reserve_file(const std::string& path, std::int64_t bytes) {
  constexpr std::int64_t kShare = 8;  // of the free space it is no more than one part in so many
  struct ::stat at {};
  // A shorter one was being made when the process was killed.
  const bool kept = ::stat(path.c_str(), &at) == 0 && at.st_size >= bytes;
  if (kept || disk_space_at(path).free / kShare < bytes) return;
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (fd && ::fallocate(fd.get(), 0, 0, bytes) != 0) ::unlink(path.c_str());
}

}  // namespace berth

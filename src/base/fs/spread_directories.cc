#include "base/fs/spread_directories.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/files.h"

namespace berth {

void spread_directories(const std::string& directory) {
  Fd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  int flags = 0;
  if (!opened || ::ioctl(opened.get(), FS_IOC_GETFLAGS, &flags) != 0 || (flags & FS_TOPDIR_FL) != 0) return;
  flags |= FS_TOPDIR_FL;
  (void)::ioctl(opened.get(), FS_IOC_SETFLAGS, &flags);  // advice: what cannot follow it works as well
}

}  // namespace berth

#pragma once
// Opens the directory `name` of the open directory `parent` for reading. Neither a symbolic link nor another mount is
// entered, bind mounts of the same file system included.

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/files.h"

namespace berth::agent {

inline Fd open_child_directory(int parent, const char* name) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
  return Fd(static_cast<int>(::syscall(SYS_openat2, parent, name, &how, sizeof how)));
}

}  // namespace berth::agent

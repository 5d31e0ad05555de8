#include "agent/testing/test_node.h"

#include <linux/magic.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>

#include "agent/mounts/mounts.h"
#include "base/files.h"
#include "base/process/process.h"

namespace berth::agent::testing {

bool enter_private_mounts() {
  static const bool entered = [] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      std::perror("a private mount namespace");
      return false;
    }
    struct statfs at {};
    if (::statfs("/sys/fs/cgroup/unified", &at) == 0 && at.f_type == CGROUP2_SUPER_MAGIC) {
      // An empty file system over it, so that what crun writes there goes nowhere.
      if (::mount("tmpfs", "/sys/fs/cgroup/unified", "tmpfs", 0, "size=1m") != 0) return false;
    }
    return true;
  }();
  return entered;
}

TemporaryDirectory::~TemporaryDirectory() { unmount_below({path()}); }

void make_busybox_root(const std::string& directory) {
  for (const char* name : {"bin", "etc", "tmp", "data"}) (void)make_directories(directory + "/" + name);
  Command copy;
  copy.argv = {"cp", "/bin/busybox", directory + "/bin/busybox"};
  (void)run_command(copy);
  for (const char* name : {"sh",    "true", "false", "echo", "sleep", "cat",   "id",   "env",   "hostname", "ls",
                           "touch", "grep", "wc",    "ps",   "pwd",   "kill",  "nc",   "httpd", "stat",     "df",
                           "head",  "tail", "dd",    "test", "mkdir", "chmod", "stty", "mount", "ipcs",     "printf"}) {
    (void)::symlink("busybox", (directory + "/bin/" + name).c_str());
  }
  (void)write_file(directory + "/etc/passwd",
                   "root:x:0:0:root:/root:/bin/sh\nmysql:x:101:102:MySQL:/data:/bin/false\n");
  (void)write_file(directory + "/etc/group", "root:x:0:\nmysql:x:102:\nextra:x:150:mysql,other\n");
}

bool run_until(Loop& loop, const std::function<bool()>& condition, Duration limit) {
  Duration end = loop.monotonic() + limit;
  while (!condition()) {
    Duration left = end - loop.monotonic();
    if (left <= Duration::zero()) return false;
    loop.run_once(left);
  }
  return true;
}

}  // namespace berth::agent::testing

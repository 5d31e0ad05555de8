#pragma once
// The mounts of this thread's mount namespace, read from /proc/thread-self/mountinfo (proc_pid_mountinfo(5)).
//
// Parsed here and not by libmount: that would load four more libraries (libmount, libblkid, libselinux, libpcre2: 1.5
// MB) into every process of ours, command line included, whose constructors make 45 system calls more, and 0.7 MB of
// memory; all for the fields of one line. The kernel writes white space, newlines and backslashes in names as \ooo, so
// a hostile name cannot end a field or a line.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth {

struct MountEntry {
  unsigned major = 0, minor = 0;  // of the file system's device
  std::string target;             // where it is mounted, from this process's root
  std::string file_system;        // "ext4"
  std::string source;             // "/dev/loop3"; for file systems without a device, any word
  std::string options;            // of the file system, comma-separated
};

// Bottom first where several are at one place. Any thread; blocks for a moment.
Result<std::vector<MountEntry>> read_mounts();
// The same of a text; lines that are not complete are left out.
std::vector<MountEntry> parse_mounts(std::string_view text);

}  // namespace berth

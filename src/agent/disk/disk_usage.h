#pragma once
// Measures how much of its disk a directory tree uses, while other processes may change the tree.

#include <atomic>
#include <cstdint>
#include <string>

namespace berth::agent {

struct DiskUse {
  std::int64_t bytes = 0, inodes = 0;
};

// The blocks of all that is in the tree, hard links counted once; other mounts are left out, symbolic links are not
// followed. A few descriptors are open at a time, however deep the tree is. A directory that is moved meanwhile may be
// left out. If there is no tree: zero. Blocks while it reads each entry; once `stop` is set, returns early with the
// sum so far.
DiskUse disk_usage(const std::string& path, const std::atomic<bool>& stop);

}  // namespace berth::agent

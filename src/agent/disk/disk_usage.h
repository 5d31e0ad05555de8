#pragma once
// Measures what a directory tree takes of its disk, while somebody else changes it.

#include <atomic>
#include <cstdint>
#include <string>

namespace berth::agent {

struct DiskUse {
  std::int64_t bytes = 0, inodes = 0;
};

// The blocks of all that is in the tree, hard links counted once; other mounts are left out, symbolic links are not
// followed. A few descriptors are open at a time, however deep the tree is. A directory that is moved meanwhile may be
// left out. Nothing there: zero. Blocks for as long as it takes to look at each entry; ends early, with what it has,
// once `stop` is set.
DiskUse disk_usage(const std::string& path, const std::atomic<bool>& stop);

}  // namespace berth::agent

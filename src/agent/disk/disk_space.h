#pragma once
// The space of the disk that the node's data lies on, and how much of it is kept for the node.
//
// kubelet's defaults (nodefs.available<10%, imagefs.available<15%, nodefs.inodesFree<5%) are made for machines that run
// nothing but pods. Here the disk is a developer's and usually almost full: a tenth of it, but no more than 1 GiB, is
// kept.

#include <cstdint>
#include <string>

namespace berth::agent {

struct DiskSpace {
  std::int64_t total = 0, free = 0;  // bytes; `free`: for others than root. Zero in all: it could not be measured
  std::int64_t inodes = 0, inodes_free = 0;  // zero where the file system has no fixed number
};

DiskSpace read_disk_space(const std::string& path);

// Below this the node has the condition DiskPressure: no pod is admitted, and the one that uses most is evicted.
std::int64_t pressure_threshold(const DiskSpace& space);
std::int64_t inode_threshold(const DiskSpace& space);  // 5 %
// What a new volume must leave free: somewhat more than the threshold, so that no volume leads to pressure by itself.
std::int64_t kept_from_volumes(const DiskSpace& space);

enum class DiskShortage { kNone, kBytes, kInodes };
DiskShortage disk_shortage(const DiskSpace& space);

// "8Mi", "1.2Gi": two digits, rounded down, so that the text of an event repeats while little changes.
std::string rough_size(std::int64_t bytes);

}  // namespace berth::agent

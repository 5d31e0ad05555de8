#pragma once
// Loop devices, by ioctl. Everything here may block for a moment; any thread of the pool.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace berth::agent {

struct LoopDevice {
  Fd fd;             // while it is open the device stays attached
  std::string path;  // "/dev/loop3"
};

// The device whose backing file this is, wherever it is mounted; kNotFound where there is none. Attaching one file to
// two devices and mounting both destroys what is in it, so look before attaching.
Result<LoopDevice> find_loop(const std::string& file);
// Attaches the file to a free device that goes away with its last user. Direct I/O where the file allows it.
Result<LoopDevice> attach_loop(const std::string& file);
// Makes the device as large as its file is now.
Status update_loop_size(const LoopDevice& device);
// The attached devices whose backing file lies below `directory`.
std::vector<std::string> loops_below(const std::string& directory);
// Detaches devices whose backing file lies below `directory`. One that is mounted somewhere goes with its last mount.
// Answers with their paths.
std::vector<std::string> free_loops_below(const std::string& directory);

}  // namespace berth::agent

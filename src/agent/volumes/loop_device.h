#pragma once
// Loop devices, by ioctl. Calls may block for a moment: any thread of the pool.

#include <cstdint>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"

namespace berth::agent {

struct LoopDevice {
  Fd fd;             // the device stays attached while this is open
  std::string path;  // "/dev/loop3"
};

// The device whose backing file is `file`; kNotFound where there is none. To be called before attach_loop(): one file
// on two mounted devices is destroyed.
Result<LoopDevice> find_loop(const std::string& file);
// Attaches the file to a free device, which detaches with its last user. Direct I/O where the file allows it.
Result<LoopDevice> attach_loop(const std::string& file);
// Sets the device's size to the size of its file.
Status update_loop_size(const LoopDevice& device);
// Paths of the attached devices whose backing file is below `directory`.
std::vector<std::string> loops_below(const std::string& directory);
// Detaches the devices whose backing file is below `directory`, and returns their paths. A mounted device detaches with
// its last mount.
std::vector<std::string> free_loops_below(const std::string& directory);

}  // namespace berth::agent

#pragma once
// A file that only reserves space of its disk: removing it makes room when the disk is full.

#include <cstdint>
#include <string>

namespace berth {

// Makes the file unless it is there with all its bytes, if eight times as much is free. Does nothing if the file system
// cannot reserve space. Blocks; any thread.
void keep_reserve_file(const std::string& path, std::int64_t bytes);

// Space of the disk that the directory of a file is on; zeros if it cannot be read. The file need not be there.
struct DiskSpace {
  std::int64_t total = 0, free = 0;
};
DiskSpace disk_space_at(const std::string& file);

}  // namespace berth

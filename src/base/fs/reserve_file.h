#pragma once
// A file that only holds space of its disk, which whoever needs it on a full disk gets by removing the file.

#include <cstdint>
#include <string>

namespace berth {

// Makes the file where it is not there with all its bytes, and eight times as much is free. Nothing where the file
// system cannot do it. Blocks; any thread.
void keep_reserve_file(const std::string& path, std::int64_t bytes);

// Of the disk that the directory of a file is on; zeros where that cannot be told. The file need not be there.
struct DiskSpace {
  std::int64_t total = 0, free = 0;
};
DiskSpace disk_space_at(const std::string& file);

}  // namespace berth

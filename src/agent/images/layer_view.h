#pragma once
// Reading a file of an image as a container sees it: its layers above each other, links followed inside of them only.

#include <string>
#include <vector>

#include "base/result.h"

namespace berth::agent {

// The content of the regular file at `path`; empty where there is none. `layers`: the unpacked directories, lowest
// first. kInvalid where it has more than `limit` bytes. Reads from disk: for the pool.
Result<std::string> image_file(const std::vector<std::string>& layers, const std::string& path, std::size_t limit);

}  // namespace berth::agent

#pragma once
// write_atomically(): changes all files of a directory at once. The files are in a dated directory, `..data` links to
// it, and each file's name links through `..data`: a reader sees the old files or the new ones, never a mixture. The
// layout is kubelet's.

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "base/runtime.h"

namespace berth::agent {

struct FileContent {
  std::string bytes;
  unsigned mode = 0644;
  std::int64_t owner = -1;  // user id, where only one user may read the file
  bool operator==(const FileContent&) const = default;
};
using Payload = std::map<std::string, FileContent>;  // by path below the directory: "a", "b/c"

// Writes nothing where the directory has these files already. `group`: owning group of all files, if not negative.
// Blocks briefly.
Status write_atomically(const std::string& directory, const Payload& payload, std::int64_t group, Time now,
                        std::uint64_t random);

// Whether a Payload may have the path: relative, without ".." and not beginning with "..".
bool is_payload_path(std::string_view path);

}  // namespace berth::agent

#pragma once
// A directory whose files change all at once: they live in a dated directory, `..data` links to it, and each file's
// name links through `..data`. A reader sees the old files or the new ones, never a mixture. The same layout as
// kubelet's.

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "base/runtime.h"

namespace berth::agent {

struct FileContent {
  std::string bytes;
  unsigned mode = 0644;
  std::int64_t owner = -1;  // user id, where the file is for one user only
  bool operator==(const FileContent&) const = default;
};
using Payload = std::map<std::string, FileContent>;  // by path below the directory: "a", "b/c"

// Writes nothing where the files are those already. `group`: gets all files, where not negative. Blocks briefly.
Status write_atomically(const std::string& directory, const Payload& payload, std::int64_t group, Time now,
                        std::uint64_t random);

// A path that may be a file of such a volume: relative, without ".." and not beginning with "..".
bool is_payload_path(std::string_view path);

}  // namespace berth::agent

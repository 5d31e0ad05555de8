#pragma once
// Reads files of untrusted writers: never more than a limit, never waiting for a writer, never through a symbolic link
// at the end of the path. Any thread; kNotFound if there is no such file.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace berth {

// At most `limit` bytes from offset `from`.
Result<std::string> read_part(const std::string& path, std::int64_t from, std::size_t limit);
// The first, and the last, `limit` bytes.
Result<std::string> read_start(const std::string& path, std::size_t limit);
Result<std::string> read_end(const std::string& path, std::size_t limit);
// The length of a regular file.
Result<std::int64_t> file_length(const std::string& path);

}  // namespace berth

#pragma once
// The bounded output of a child process.

#include <cstddef>
#include <string>

namespace berth {

enum class PipeState { kOpen, kEnded };
// Reads what is in the pipe, which does not block. `out` keeps the first `limit` bytes of all that was ever read; the
// rest is dropped. Returns after 256 KiB at the latest, so that a program that writes without end cannot hold up the
// caller's other events: kOpen says that the caller polls again.
PipeState read_pipe(int fd, std::string& out, std::size_t limit);

}  // namespace berth

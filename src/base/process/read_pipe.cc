#include "base/process/read_pipe.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace berth {

PipeState read_pipe(int fd, std::string& out, std::size_t limit) {
  constexpr int kReads = 16;
  std::array<char, 16384> buffer;
  for (int reads = 0; reads < kReads;) {
    const ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return PipeState::kOpen;
    if (n <= 0) return PipeState::kEnded;
    const std::size_t room = limit - std::min(limit, out.size());
    out.append(buffer.data(), std::min(room, static_cast<std::size_t>(n)));
    ++reads;
  }
  return PipeState::kOpen;
}

}  // namespace berth

#pragma once
// AsyncWrite: one asynchronous write, for a thread that must not wait for a disk. Uses Linux's asynchronous I/O, which
// does not block for direct writes only. One thread at a time.

#include <linux/aio_abi.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace berth::store {

class AsyncWrite {
 public:
  AsyncWrite() = default;
  ~AsyncWrite();  // waits for the write in flight
  AsyncWrite(const AsyncWrite&) = delete;

  // `bytes` must stay unchanged until result() returns a value; then `wake_fd`, an eventfd, is incremented. False:
  // nothing was started, because the system lacks or refuses asynchronous I/O.
  bool start(int fd, std::string_view bytes, std::size_t at, int wake_fd);
  // The result as of pwrite(2), -errno for errors; empty while the write is in flight.
  std::optional<std::int64_t> result();

 private:
  aio_context_t context_ = 0;  // 0 before the first write: creating and destroying a context takes milliseconds
  bool refused_ = false;       // the system refused to create a context
};

}  // namespace berth::store

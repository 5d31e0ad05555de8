#pragma once
// AsyncWrite: one write under way in the kernel, for a thread that must not wait for a disk. Linux's asynchronous I/O,
// which keeps its promise for direct writes only. One thread at a time.

#include <linux/aio_abi.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace berth::store {

class AsyncWrite {
 public:
  AsyncWrite() = default;
  ~AsyncWrite();  // waits for what is under way
  AsyncWrite(const AsyncWrite&) = delete;

  // `bytes` stay where they are until result() tells. `wake_fd`, an eventfd, is added to then. False: nothing was
  // begun, for the system has no such thing, or not now.
  bool begin(int fd, std::string_view bytes, std::size_t at, int wake_fd);
  // As of pwrite(2), with -errno for errors; empty while it is under way.
  std::optional<std::int64_t> result();

 private:
  aio_context_t context_ = 0;  // 0 before the first write: to make and end one takes milliseconds
  bool refused_ = false;       // by the system
};

}  // namespace berth::store

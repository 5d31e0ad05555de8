#include "store/async_write.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace berth::store {

AsyncWrite::~AsyncWrite() {
  if (context_ != 0) ::syscall(SYS_io_destroy, context_);
}

bool AsyncWrite::start(int fd, std::string_view bytes, std::size_t at, int wake_fd) {
  if (refused_) return false;
  if (context_ == 0 && ::syscall(SYS_io_setup, 1, &context_) != 0) {
    refused_ = true;
    return false;
  }
  iocb block{};
  block.aio_lio_opcode = IOCB_CMD_PWRITE;
  block.aio_fildes = static_cast<std::uint32_t>(fd);
  block.aio_buf = reinterpret_cast<std::uintptr_t>(bytes.data());
  block.aio_nbytes = bytes.size();
  block.aio_offset = static_cast<std::int64_t>(at);
  block.aio_flags = IOCB_FLAG_RESFD;
  block.aio_resfd = static_cast<std::uint32_t>(wake_fd);
  iocb* blocks[] = {&block};
  return ::syscall(SYS_io_submit, context_, 1, blocks) == 1;
}

std::optional<std::int64_t> AsyncWrite::result() {
  io_event event{};
  timespec now{};
  if (::syscall(SYS_io_getevents, context_, 0, 1, &event, &now) != 1) return std::nullopt;
  return event.res;
}

}  // namespace berth::store

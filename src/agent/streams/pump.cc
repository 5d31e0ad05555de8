#include "agent/streams/pump.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/fault.h"
#include "base/lifetime.h"

namespace berth::agent {
namespace {

constexpr std::size_t kBlock = 64 * 1024;
constexpr int kBlocksPerRound = 8;  // then the loop runs its other tasks

}  // namespace

Result<Fd> duplicate(int fd) {
  if (fault::hit("streams.duplicate")) return errno_error("duplicating a stream", EMFILE);
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return errno_error("duplicating a stream");
  return copy;
}

Source::Source(Loop& loop, Fd fd, Function<bool(std::string_view)> read, Task ended)
    : loop_(loop), fd_(std::move(fd)), read_(std::move(read)), on_ended_(std::move(ended)) {
  watch();
}

Source::~Source() {
  lifetime_.end();
  if (watched_) loop_.unwatch_fd(fd_.get());
}

void Source::watch() {
  // Not watched at all while paused: epoll reports a closed peer whatever it is asked for.
  bool wanted = fd_ && !paused_;
  if (wanted == watched_) return;
  watched_ = wanted;
  if (!wanted) return loop_.unwatch_fd(fd_.get());
  if (loop_.watch_fd(fd_.get(), EPOLLIN, [this](std::uint32_t) { read_some(); }).ok()) return;
  watched_ = false;
  loop_.post([this, alive = lifetime_.guard()] {
    if (alive) finish();
  });
}

void Source::resume() {
  paused_ = false;
  watch();
}

void Source::read_some() {
  const auto alive = lifetime_.guard();
  static thread_local std::array<char, kBlock> room;
  for (int round = 0; round < kBlocksPerRound; ++round) {
    ssize_t n = ::read(fd_.get(), room.data(), room.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) return finish();  // a terminal whose processes have gone answers EIO
    bool more = call_member(alive, read_, std::string_view(room.data(), static_cast<std::size_t>(n)));
    if (!alive || !fd_) return;
    if (!more) {
      paused_ = true;
      return watch();
    }
  }
}

void Source::finish() {
  if (!fd_) return;
  if (watched_) loop_.unwatch_fd(fd_.get());
  watched_ = paused_ = false;
  fd_.reset();
  Task ended = std::move(on_ended_);
  on_ended_ = nullptr;
  if (ended) ended();
}

Sink::Sink(Loop& loop, Fd fd, Options options, Function<void(bool)> behind, Task broken)
    : loop_(loop), fd_(std::move(fd)), options_(options), behind_(std::move(behind)), broken_(std::move(broken)) {
  struct stat info {};
  socket_ = ::fstat(fd_.get(), &info) == 0 && S_ISSOCK(info.st_mode);
}

Sink::~Sink() {
  lifetime_.end();
  watch(false);
}

void Sink::watch(bool wanted) {
  if (wanted == watched_) return;
  watched_ = wanted;
  if (!wanted) return loop_.unwatch_fd(fd_.get());
  if (loop_.watch_fd(fd_.get(), EPOLLOUT, [this](std::uint32_t) { flush(); }).ok()) return;
  watched_ = false;
  loop_.post([this, alive = lifetime_.guard()] {
    if (alive) fail();
  });
}

void Sink::write(std::string_view bytes) {
  if (ended_ || ending_ || bytes.empty()) return;
  waiting_.append(bytes);
  if (!watched_) return flush();
  report_backlog();
}

void Sink::end() {
  if (ended_ || ending_) return;
  ending_ = true;
  if (!watched_) flush();
}

ssize_t Sink::put(std::string_view bytes) {
  bytes = bytes.substr(0, options_.largest);
  if (socket_) return ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  return ::write(fd_.get(), bytes.data(), bytes.size());
}

void Sink::flush() {
  while (written_ < waiting_.size()) {
    ssize_t n = put(std::string_view(waiting_).substr(written_));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return fail();
    if (n <= 0) break;
    written_ += static_cast<std::size_t>(n);
  }
  if (written_ == waiting_.size() || written_ > kHighWater) {
    waiting_.erase(0, written_);
    written_ = 0;
  }
  std::size_t left = waiting_.size() - written_;
  watch(left > 0);
  if (left == 0 && ending_) {
    ended_ = true;
    if (options_.end == End::kHalfClose) ::shutdown(fd_.get(), SHUT_WR);
    if (options_.end == End::kClose) fd_.reset();
  }
  report_backlog();
}

void Sink::report_backlog() {
  std::size_t left = waiting_.size() - written_;
  bool behind = reported_behind_ ? left > kLowWater : left > kHighWater;
  if (behind == reported_behind_) return;
  reported_behind_ = behind;
  if (behind_) call_member(lifetime_.guard(), behind_, behind);
}

void Sink::fail() {
  watch(false);
  ended_ = true;
  waiting_.clear();
  written_ = 0;
  if (options_.end == End::kClose) fd_.reset();
  const auto alive = lifetime_.guard();
  if (reported_behind_ && behind_) {
    reported_behind_ = false;
    call_member(alive, behind_, false);
    if (!alive) return;
  }
  Task broken = std::move(broken_);
  broken_ = nullptr;
  if (broken) broken();
}

}  // namespace berth::agent

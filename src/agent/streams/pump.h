#pragma once
// Descriptors on a loop, with backpressure: Source reads as fast as its reader accepts, Sink queues what is written up
// to a mark. Loop thread only; callbacks may destroy the object that calls them. Descriptors must not block.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/files.h"
#include "base/function.h"
#include "base/lifetime.h"
#include "base/loop.h"

namespace berth::agent {

class Source {
 public:
  // `read` receives what was read, one message at a time if the descriptor has messages; false: no more until resume().
  // `ended` is called once, at the end or at an error: no more comes.
  Source(Loop& loop, Fd fd, Function<bool(std::string_view)> read, Task ended);
  ~Source();
  Source(const Source&) = delete;

  void resume();
  bool paused() const { return paused_; }  // waits for resume()
  bool ended() const { return !fd_; }

 private:
  void watch();
  void read_some();
  void finish();

  Loop& loop_;
  Fd fd_;
  Function<bool(std::string_view)> read_;
  Task on_ended_;
  bool paused_ = false, watched_ = false;
  Lifetime lifetime_;
};

class Sink {
 public:
  static constexpr std::size_t kHighWater = 256 * 1024, kLowWater = 64 * 1024;
  enum class End { kClose, kHalfClose, kNothing };
  struct Options {
    End end = End::kClose;            // what end() does once everything is written
    std::size_t largest = 64 * 1024;  // of one write; the size of a message where the descriptor has messages
  };
  // `behind(true)` when more than the high-water mark waits, `behind(false)` once less than the low-water mark does.
  // `broken` is called once, when the other end is closed; what is written from then on is dropped.
  Sink(Loop& loop, Fd fd, Options options, Function<void(bool)> behind, Task broken);
  ~Sink();
  Sink(const Sink&) = delete;

  void write(std::string_view bytes);
  void end();
  bool ended() const { return ended_; }  // after end() and everything written, or broken

 private:
  void flush();
  void report_backlog();
  void fail();
  ssize_t put(std::string_view bytes);
  void watch(bool wanted);

  Loop& loop_;
  Fd fd_;
  const Options options_;
  Function<void(bool)> behind_;
  Task broken_;
  std::string waiting_;
  std::size_t written_ = 0;  // of waiting_
  bool socket_ = false, ending_ = false, ended_ = false, reported_behind_ = false, watched_ = false;
  Lifetime lifetime_;
};

// A second descriptor of the same file, so that one can be read and the other written.
Result<Fd> duplicate(int fd);

}  // namespace berth::agent

#pragma once
// What crosses between the loop thread and the transport threads: commands one way, events the other, both in batches,
// and one small shared record per exchange that counts bytes in flight.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/server.h"
#include "http/unread.h"

namespace berth::http {

// Small enough that thousands of streams may be that far behind: each of the pieces that wait costs memory beside its bytes.
inline constexpr std::size_t kHighWater = 128u << 10;  // write() answers false above
inline constexpr std::size_t kLowWater = 32u << 10;    // drained below
inline constexpr std::size_t kReadWindow = 256u << 10; // bytes of a channel that wait for the loop at most

// The loop's end of an exchange or a channel. Loop thread only.
class LoopEnd {
 public:
  virtual ~LoopEnd() = default;
  virtual void drained() = 0;
  virtual void closed() = 0;
  virtual void data(std::string bytes) = 0;
};

// Exchanges of one connection that the loop still holds, answered or reset. Bounds what a peer that opens and resets
// streams can make the loop do.
struct Load {
  std::atomic<int> live{0};
  // Bytes of the connection's answers that its peer has not taken.
  std::shared_ptr<std::atomic<std::size_t>> unread = std::make_shared<std::atomic<std::size_t>>(0);
};

// What all connections of a server add up to. The bytes are charged by unread.h's charge() and by BodyCharge.
struct Totals {
  std::atomic<int> connections{0};
  std::shared_ptr<Unread> unread = std::make_shared<Unread>();  // of answers
  std::shared_ptr<std::atomic<std::size_t>> unanswered = std::make_shared<std::atomic<std::size_t>>(0);  // of requests
};

// One connection's or stream's part of a total.
class BodyCharge {
 public:
  explicit BodyCharge(std::shared_ptr<std::atomic<std::size_t>> total) : total_(std::move(total)) {}
  ~BodyCharge() { set(0); }
  BodyCharge(const BodyCharge&) = delete;
  // The total afterwards.
  std::size_t set(std::size_t bytes) {
    std::size_t change = bytes - std::exchange(bytes_, bytes);
    return total_->fetch_add(change) + change;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<std::atomic<std::size_t>> total_;
  std::size_t bytes_ = 0;
};

// Shared by the two ends of one exchange. The ids are set before it is shared.
struct Wire {
  std::size_t transport = 0;
  std::uint64_t connection = 0;
  std::uint32_t stream = 0;
  bool upgradable = false;               // HTTP/1.1 and the peer asked for it
  std::shared_ptr<Load> load;
  std::atomic<std::size_t> backlog{0};   // bytes written on the loop that the socket has not taken
  std::atomic<bool> wants_drain{false};
  std::atomic<std::size_t> unread{0};    // bytes read for a channel that the loop has not consumed
  std::atomic<bool> read_stopped{false};
  LoopEnd* end = nullptr;                // loop thread only

  // Transport thread: whether the loop wants to hear about it.
  bool acknowledge(std::size_t bytes) {
    std::size_t left = backlog.fetch_sub(bytes) - bytes;
    return left <= kLowWater && wants_drain.load() && wants_drain.exchange(false);
  }
};

struct Event {  // transport to loop
  enum class Kind { kHead, kRequest, kData, kDrained, kClosed };  // kHead: `request` without its body, for Config::screen
  Kind kind;
  std::shared_ptr<Wire> wire;
  std::unique_ptr<Request> request;
  std::string data;
};

struct Command {  // loop to transport; ones for connections or streams that are gone are ignored
  enum class Kind { kProceed, kRespond, kStart, kWrite, kFinish, kAbandon, kUpgrade, kResumeReading, kClose };
  Kind kind;
  std::uint64_t connection;
  std::uint32_t stream;
  int status = 0;
  Headers headers;
  std::vector<Piece> pieces;
};

}  // namespace berth::http

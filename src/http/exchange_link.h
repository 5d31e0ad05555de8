#pragma once
// What the loop thread and the transport threads of a server exchange: commands to the transports, events to the loop,
// both in batches; and one ExchangeLink per exchange, shared by both threads, that counts the bytes in flight.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/server.h"
#include "http/unread.h"

namespace berth::http {

// Small enough that thousands of streams may be that far behind: each of the pieces that wait costs memory beside its
// bytes.
inline constexpr std::size_t kHighWater = 128u << 10;   // write() answers false above
inline constexpr std::size_t kLowWater = 32u << 10;     // drained below
inline constexpr std::size_t kReadWindow = 256u << 10;  // bytes of a channel that wait for the loop at most

// Receives the events of one exchange or channel on the loop. Loop thread only.
class ExchangeHandler {
 public:
  virtual ~ExchangeHandler() = default;
  virtual void drained() = 0;
  virtual void closed() = 0;
  virtual void data(std::string bytes) = 0;
};

// The exchanges of one connection that the loop still has, answered or reset. Bounds the work that a peer can cause by
// opening and resetting streams.
struct OpenExchanges {
  std::atomic<int> live{0};
  // Bytes of the connection's answers that its peer has not read.
  std::shared_ptr<std::atomic<std::size_t>> unread = std::make_shared<std::atomic<std::size_t>>(0);
};

// Sums over all connections of a server. The bytes are charged by charge() (unread.h) and by BodyCharge.
struct ServerTotals {
  std::atomic<int> connections{0};
  std::shared_ptr<Unread> unread = std::make_shared<Unread>();                                           // of answers
  std::shared_ptr<std::atomic<std::size_t>> unanswered = std::make_shared<std::atomic<std::size_t>>(0);  // of requests
};

// The part of one connection or stream in a sum.
class BodyCharge {
 public:
  explicit BodyCharge(std::shared_ptr<std::atomic<std::size_t>> total) : total_(std::move(total)) {}
  ~BodyCharge() { set(0); }
  BodyCharge(const BodyCharge&) = delete;
  // Returns the sum afterwards.
  std::size_t set(std::size_t bytes) {
    std::size_t change = bytes - std::exchange(bytes_, bytes);
    return total_->fetch_add(change) + change;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  std::shared_ptr<std::atomic<std::size_t>> total_;
  std::size_t bytes_ = 0;
};

// Shared by the loop and the transport of one exchange. The ids are set before it is shared.
struct ExchangeLink {
  std::size_t transport = 0;
  std::uint64_t connection = 0;
  std::uint32_t stream = 0;
  bool upgradable = false;  // HTTP/1.1 and the peer asked for it
  std::shared_ptr<OpenExchanges> load;
  std::atomic<std::size_t> backlog{0};  // bytes written on the loop that are not sent yet
  std::atomic<bool> wants_drain{false};
  std::atomic<std::size_t> unread{0};  // bytes read for a channel that the loop has not consumed
  std::atomic<bool> read_stopped{false};
  ExchangeHandler* end = nullptr;  // loop thread only

  // Transport thread. True: the loop asked to be notified of it.
  bool acknowledge(std::size_t bytes) {
    std::size_t left = backlog.fetch_sub(bytes) - bytes;
    return left <= kLowWater && wants_drain.load() && wants_drain.exchange(false);
  }
};

struct TransportEvent {  // transport to loop
  enum class Kind {
    kHead,
    kRequest,
    kData,
    kDrained,
    kClosed
  };  // kHead: `request` without its body, for Config::screen
  Kind kind;
  std::shared_ptr<ExchangeLink> link;
  std::unique_ptr<Request> request;
  std::string data;
};

struct TransportCommand {  // loop to transport; ones for connections or streams that are gone are ignored
  enum class Kind { kProceed, kRespond, kStart, kWrite, kFinish, kAbandon, kUpgrade, kResumeReading, kClose };
  Kind kind;
  std::uint64_t connection;
  std::uint32_t stream;
  int status = 0;
  Headers headers;
  std::vector<SharedBytes> pieces;
};

}  // namespace berth::http

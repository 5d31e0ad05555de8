#pragma once
// Between the loop thread and the transport threads of a server: commands to the transports, events to the loop, both
// in batches; and one ExchangeLink per exchange, shared by both threads, which counts the bytes in flight.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "http/server.h"
#include "http/unread.h"

namespace berth::http {

// Small, since thousands of streams may be behind by as much: each queued piece costs memory beside its bytes.
inline constexpr std::size_t kHighWater = 128u << 10;   // write() returns false above
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

// The exchanges of one connection that exist on the loop, including answered and reset ones. Bounds the work that a
// peer can cause by opening and resetting streams.
struct OpenExchanges {
  std::atomic<int> count{0};
  // Bytes of the connection's answers that its peer has not read.
  std::shared_ptr<std::atomic<std::size_t>> unread = std::make_shared<std::atomic<std::size_t>>(0);
};

// Sums over all connections of a server. The bytes are charged by charge() (unread.h) and by BodyCharge.
struct ServerTotals {
  std::atomic<int> connections{0};
  std::shared_ptr<Unread> unread = std::make_shared<Unread>();                                           // of answers
  std::shared_ptr<std::atomic<std::size_t>> unanswered = std::make_shared<std::atomic<std::size_t>>(0);  // of requests
};

// The part of one connection or stream in ServerTotals::unanswered.
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
  bool upgradable = false;  // HTTP/1.1, and the request asks for another protocol
  std::shared_ptr<OpenExchanges> open_exchanges;
  // The loop adds to `backlog` and then sets `wants_drain`; the transport subtracts and then reads it. Whichever comes
  // second sees the other's write, so no drain is missed; exchange(false) makes one of them act. Likewise, with the
  // threads swapped, for `unread` and `read_stopped`.
  std::atomic<std::size_t> backlog{0};  // bytes written on the loop that the socket has not taken
  std::atomic<bool> wants_drain{false};
  std::atomic<std::size_t> unread{0};     // bytes read for a channel that its owner has not received
  std::atomic<bool> read_stopped{false};  // the transport reads no more until kResumeReading
  ExchangeHandler* handler = nullptr;     // null: destroyed. Loop thread only

  // Subtracts bytes that the socket has taken. True: emit kDrained. Transport thread.
  bool acknowledge(std::size_t bytes) {
    std::size_t left = backlog.fetch_sub(bytes) - bytes;
    return left <= kLowWater && wants_drain.load() && wants_drain.exchange(false);
  }
};

struct TransportEvent {  // transport to loop
  enum class Kind {
    kHead,     // `request` without its body, for ServerConfig::screen
    kRequest,  // the complete `request`
    kData,     // `data` of a channel
    kDrained,  // ExchangeLink::backlog is below the low-water mark
    kClosed    // the peer sends no more or is gone
  };
  Kind kind;
  std::shared_ptr<ExchangeLink> link;
  std::unique_ptr<Request> request;
  std::string data;
};

struct TransportCommand {  // loop to transport; those for connections or streams that are gone are ignored
  enum class Kind {
    kProceed,  // read the body of a request that was passed as kHead
    kRespond,  // a complete answer
    kStart,    // of a streamed answer
    kWrite,
    kFinish,
    kAbandon,  // the exchange was destroyed: 500, or cut the stream off
    kUpgrade,
    kResumeReading,  // of a channel
    kClose           // a channel, after what was written
  };
  Kind kind;
  std::uint64_t connection;
  std::uint32_t stream;
  int status = 0;
  Headers headers;
  std::vector<SharedBytes> pieces;
};

}  // namespace berth::http

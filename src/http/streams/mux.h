#pragma once
// Several byte streams in both directions over one upgraded connection, for remote commands and port forwarding: as
// SPDY/3.1 frames, by which the peer opens streams, or as WebSocket messages. Loop thread only.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/function.h"
#include "http/server.h"

namespace berth::http {

// --- SPDY/3.1, the server's side. Streams are named by the peer's (odd) numbers.
//
// The clients of Kubernetes neither honour nor send flow-control windows, so sending is bounded by the channel's
// backlog and receiving by pausing the channel. A WINDOW_UPDATE follows each data frame, for clients that count.
class SpdyConnection {
 public:
  struct Events {
    Function<void(std::uint32_t stream, const Headers& headers)> opened;
    Function<void(std::uint32_t stream, std::string_view bytes)> data;
    Function<void(std::uint32_t stream)> ended;  // the peer half-closed it
    Function<void(std::uint32_t stream)> reset;
    Task drained;
    Task closed;  // once; nothing follows
  };
  virtual ~SpdyConnection() = default;                                              // closes after what was written
  virtual bool write(std::uint32_t stream, std::string_view bytes, bool last) = 0;  // false: behind, wait for drained
  virtual void reset(std::uint32_t stream, std::uint32_t status) = 0;
  virtual void close() = 0;  // GOAWAY, then the channel after what was written
  virtual void pause_reading(bool pause) = 0;
};
// Callbacks may destroy the connection.
std::unique_ptr<SpdyConnection> make_spdy_connection(std::unique_ptr<Channel> channel, SpdyConnection::Events events);

// --- WebSocket, the server's side.
class WebSocket {
 public:
  struct Events {
    Function<void(std::string_view bytes, bool text)> message;
    Task drained;
    Task closed;  // once; nothing follows
  };
  virtual ~WebSocket() = default;
  virtual bool send(std::string_view bytes, bool text) = 0;  // false: behind, wait for drained
  virtual void close(int code, std::string_view reason) = 0;
  virtual void pause_reading(bool pause) = 0;
};
inline constexpr std::size_t kMaxMessage = 4u << 20;  // larger ones end the connection (1009)
// Answers the handshake with the first of `accepted` (the server's order) that the client offers. On an error the
// caller answers the exchange. `protocol` is empty where the client offers nothing and "" is accepted.
struct AcceptedSocket {
  std::unique_ptr<Channel> channel;
  std::string protocol;
};
bool wants_websocket(const Request& request);
std::vector<std::string> subprotocols(const Request& request);  // that the client offers, in its order
bool offers_protocol(const Request& request, std::string_view protocol);
Result<AcceptedSocket> accept_websocket(Exchange& exchange, const std::vector<std::string>& accepted);
std::unique_ptr<WebSocket> make_websocket(std::unique_ptr<Channel> channel, WebSocket::Events events);

}  // namespace berth::http

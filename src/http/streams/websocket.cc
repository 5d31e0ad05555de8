#include <openssl/sha.h>
#include <wslay/wslay.h>

#include <algorithm>
#include <cstring>

#include "base/lifetime.h"
#include "base/text.h"
#include "http/message.h"
#include "http/streams/mux.h"

namespace berth::http {

namespace {

constexpr std::size_t kMaxBacklog = 1u << 20;  // of the channel's backlog: send() returns false above
constexpr std::string_view kGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // RFC 6455, 1.3

class WebSocketImpl final : public WebSocket {
 public:
  WebSocketImpl(std::unique_ptr<Channel> channel, Events events)
      : channel_(std::move(channel)), events_(std::move(events)) {
    wslay_event_callbacks callbacks{};
    callbacks.recv_callback = receive;
    callbacks.send_callback = transmit;
    callbacks.on_msg_recv_callback = message;
    wslay_event_context_server_init(&context_, &callbacks, this);
    wslay_event_config_set_max_recv_msg_length(context_, kMaxMessage);
    channel_->on_read([this](std::string_view bytes) { input(bytes); });
    channel_->on_close([this] { closed(); });
    channel_->on_drain([this] {
      if (events_.drained) events_.drained();
    });
  }
  ~WebSocketImpl() override {
    lifetime_.end();
    wslay_event_context_free(context_);
  }

  bool send(std::string_view bytes, bool text) override {
    if (closed_) return true;
    wslay_event_msg message{static_cast<std::uint8_t>(text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME),
                            reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
    wslay_event_queue_msg(context_, &message);
    flush();
    return channel_->backlog() < kMaxBacklog;
  }
  void close(int code, std::string_view reason) override {
    if (closed_) return;
    wslay_event_queue_close(context_, static_cast<std::uint16_t>(code),
                            reinterpret_cast<const std::uint8_t*>(reason.data()), reason.size());
    flush();
    channel_->close();
  }
  void pause_reading(bool pause) override { channel_->pause_reading(pause); }

 private:
  static ssize_t receive(wslay_event_context_ptr context, std::uint8_t* to, std::size_t room, int, void* user) {
    auto& self = *static_cast<WebSocketImpl*>(user);
    if (!self.lifetime_.guard() || self.input_.empty()) {
      wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
      return -1;
    }
    std::size_t n = std::min(room, self.input_.size());
    std::memcpy(to, self.input_.data(), n);
    self.input_.remove_prefix(n);
    return static_cast<ssize_t>(n);
  }
  static ssize_t transmit(wslay_event_context_ptr, const std::uint8_t* data, std::size_t size, int, void* user) {
    static_cast<WebSocketImpl*>(user)->output_.append(reinterpret_cast<const char*>(data), size);
    return static_cast<ssize_t>(size);
  }
  // Stores the message until wslay's call has returned: a callback may destroy this object, and wslay's context with
  // it.
  static void message(wslay_event_context_ptr, const wslay_event_on_msg_recv_arg* arg, void* user) {
    auto& self = *static_cast<WebSocketImpl*>(user);
    if (arg->opcode != WSLAY_TEXT_FRAME && arg->opcode != WSLAY_BINARY_FRAME) return;
    self.messages_.emplace_back(std::string(reinterpret_cast<const char*>(arg->msg), arg->msg_length),
                                arg->opcode == WSLAY_TEXT_FRAME);
  }

  void input(std::string_view bytes) {
    if (closed_) return;
    input_ = bytes;
    int result = wslay_event_recv(context_);
    input_ = {};
    auto messages = std::move(messages_);
    messages_.clear();
    const auto alive = lifetime_.guard();
    for (auto& [text, is_text] : messages) {
      if (events_.message) events_.message(text, is_text);
      if (!alive) return;
    }
    flush();
    // A fatal error, or the closing handshake is complete.
    if (result != 0 || wslay_event_get_close_received(context_) || !wslay_event_get_read_enabled(context_)) {
      channel_->close();
      closed();
    }
  }
  void flush() {
    if (wslay_event_want_write(context_)) wslay_event_send(context_);
    if (output_.empty()) return;
    channel_->write(std::move(output_));
    output_.clear();
  }
  void closed() {
    if (closed_) return;
    closed_ = true;
    Task closed = std::move(events_.closed);
    events_.closed = nullptr;
    if (closed) closed();
  }

  std::unique_ptr<Channel> channel_;
  Events events_;
  wslay_event_context_ptr context_ = nullptr;
  std::string_view input_;  // during wslay_event_recv
  std::string output_;
  std::vector<std::pair<std::string, bool>> messages_;
  Lifetime lifetime_;
  bool closed_ = false;
};

}  // namespace

bool wants_websocket(const Request& request) { return has_token(header(request.headers, "upgrade"), "websocket"); }

std::vector<std::string> subprotocols(const Request& request) {
  std::vector<std::string> out;
  for (const auto& [name, value] : request.headers) {
    if (!iequals(name, "sec-websocket-protocol")) continue;
    for (std::string_view one : split(value, ',')) {
      if (one = trim(one); !one.empty()) out.emplace_back(one);
    }
  }
  return out;
}

bool offers_protocol(const Request& request, std::string_view protocol) {
  const std::vector<std::string> offered = subprotocols(request);
  return std::any_of(offered.begin(), offered.end(),
                     [protocol](const std::string& one) { return iequals(one, protocol); });
}

Result<AcceptedSocket> accept_websocket(Exchange& exchange, const std::vector<std::string>& accepted) {
  const Headers& headers = exchange.request().headers;
  std::string_view key = header(headers, "sec-websocket-key");
  auto raw_key = base64_decode(key);
  if (!wants_websocket(exchange.request()) || header(headers, "sec-websocket-version") != "13" || !raw_key.ok() ||
      raw_key->size() != 16) {
    return error(Code::kBadRequest, "malformed WebSocket handshake");
  }
  AcceptedSocket socket;
  const std::vector<std::string> offered = subprotocols(exchange.request());
  auto chosen = std::find_if(accepted.begin(), accepted.end(), [&](const std::string& protocol) {
    return protocol.empty() ? offered.empty() : offers_protocol(exchange.request(), protocol);
  });
  if (chosen == accepted.end()) {
    return error(Code::kBadRequest, "none of the WebSocket protocols " + quoted(join(offered, ", ")) +
                                        " is supported, only " + join(accepted, ", "));
  }
  socket.protocol = *chosen;
  std::string text = std::string(key) + std::string(kGuid);
  unsigned char digest[SHA_DIGEST_LENGTH];
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  Headers answer = {{"upgrade", "websocket"},
                    {"connection", "Upgrade"},
                    {"sec-websocket-accept", base64_encode({reinterpret_cast<char*>(digest), sizeof digest})}};
  if (!socket.protocol.empty()) answer.emplace_back("sec-websocket-protocol", socket.protocol);
  BERTH_ASSIGN(socket.channel, exchange.upgrade(std::move(answer)));
  return socket;
}

std::unique_ptr<WebSocket> make_websocket(std::unique_ptr<Channel> channel, WebSocket::Events events) {
  return std::make_unique<WebSocketImpl>(std::move(channel), std::move(events));
}

}  // namespace berth::http

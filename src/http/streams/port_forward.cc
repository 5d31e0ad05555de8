#include <map>
#include <unordered_map>

#include "base/lifetime.h"
#include "base/phase.h"
#include "base/text.h"
#include "http/message.h"
#include "http/streams/mux.h"
#include "http/streams/negotiate.h"
#include "http/streams/remote_command.h"
#include "http/streams/session_phase.h"

namespace berth::http {

namespace {

constexpr const char* kProtocol = "portforward.k8s.io";
constexpr const char* kTunnel = "SPDY/3.1+portforward.k8s.io";
constexpr const char* kNumbered = "v4.channel.k8s.io";
constexpr const char* kNumberedBase64 = "v4.base64.channel.k8s.io";
constexpr std::size_t kHalfOpen = 256;               // connections at most of which only one of the two streams is open
constexpr std::size_t kMaxUndelivered = 256u << 10;  // bytes of one connection; beyond, its peer is paused
constexpr std::size_t kNumberedPorts = 100;  // twice that many channels have numbers of one byte, in base64's form too

// A byte channel inside the binary messages of a WebSocket.
class TunnelChannel final : public Channel {
 public:
  explicit TunnelChannel(std::unique_ptr<Channel> channel) : below_(channel.get()) {
    WebSocket::Events events;
    events.message = [this](std::string_view bytes, bool) { call_member(lifetime_.guard(), read_, bytes); };
    events.drained = [this] { call_member(lifetime_.guard(), drained_); };
    events.closed = [this] {
      Task closed = std::move(closed_);
      closed_ = nullptr;
      if (closed) closed();
    };
    socket_ = make_websocket(std::move(channel), std::move(events));
  }
  ~TunnelChannel() override {
    lifetime_.end();
    close();
  }
  void on_read(Function<void(std::string_view)> read) override { read_ = std::move(read); }
  void on_close(Task closed) override { closed_ = std::move(closed); }
  void write(std::string bytes) override { socket_->send(bytes, false); }
  std::size_t backlog() const override { return below_->backlog(); }
  void on_drain(Task drained) override { drained_ = std::move(drained); }
  void pause_reading(bool pause) override { socket_->pause_reading(pause); }
  void close() override {
    if (!closing_) socket_->close(1000, "");
    closing_ = true;
  }

 private:
  Channel* below_;  // the socket's
  std::unique_ptr<WebSocket> socket_;
  Function<void(std::string_view)> read_;
  Task closed_, drained_;
  Lifetime lifetime_;
  bool closing_ = false;
};

// The connection of a client, on which its ports have two streams each. Kept alive by the ports and, until the peer is
// gone, by itself.
class Forwarding {
 public:
  virtual ~Forwarding() = default;
  virtual bool write(std::uint32_t stream, std::string_view bytes, bool last) = 0;  // false: behind
  virtual void reset(std::uint32_t stream) = 0;  // what the peer still sends on it is discarded
  virtual void pause(int by) = 0;  // adds to the number of reasons to pause the peer: it is paused while there are any
  virtual void remove(std::uint32_t data) = 0;  // the port with that data stream
  virtual bool is_closed() const = 0;
};

class PortImpl final : public ForwardedPort {
 public:
  PortImpl(std::shared_ptr<Forwarding> forwarding, int port, std::uint32_t data, std::uint32_t error)
      : forwarding_(std::move(forwarding)), port_(port), data_(data), error_(error) {}
  ~PortImpl() override;

  int port() const override { return port_; }
  void on_read(Function<void(std::string_view)> read) override {
    read_ = std::move(read);
    deliver();
  }
  void on_end(Task end) override {
    end_ = std::move(end);
    deliver();
  }
  void on_close(Task closed) override {
    closed_ = std::move(closed);
    if (is_gone(phase_)) call_closed();
  }
  bool write(std::string_view bytes) override;
  void on_drain(Task drained) override { drained_ = std::move(drained); }
  void end() override;
  void fail(const std::string& message) override;
  void pause_reading(bool pause) override;

  void receive(std::string_view bytes) {
    const auto alive = lifetime_.guard();
    undelivered_.append(bytes);
    deliver();
    if (alive) hold_peer(undelivered_.size() > kMaxUndelivered);
  }
  void end_input() {
    advance(PortEvent::kInputEnded);
    deliver();
  }
  void drained() { call_member(lifetime_.guard(), drained_); }
  void lost() {
    advance(PortEvent::kGone);
    call_closed();
  }

 private:
  void advance(PortEvent event) { phase_.apply(event); }
  void hold_peer(bool on);
  void deliver() {
    const auto alive = lifetime_.guard();
    while (!paused_ && read_ && !undelivered_.empty()) {
      std::string bytes = std::move(undelivered_);
      undelivered_.clear();
      call_member(alive, read_, bytes);
      if (!alive) return;
      hold_peer(false);
    }
    if (!input_ended(phase_) || paused_ || !undelivered_.empty() || !end_) return;
    Task end = std::move(end_);
    end_ = nullptr;
    end();
  }
  void call_closed() {
    Task closed = std::move(closed_);
    closed_ = nullptr;
    if (closed) closed();
  }

  std::shared_ptr<Forwarding> forwarding_;
  int port_;
  std::uint32_t data_, error_;
  Function<void(std::string_view)> read_;
  Task end_, closed_, drained_;
  std::string undelivered_;
  Phase<PortPhase, PortEvent> phase_{PortPhase::kOpen};
  // The two reasons of this port to pause the peer, independent of each other and of the phase:
  bool paused_ = false;  // as the owner asked
  bool held_ = false;    // undelivered_ is large
  Lifetime lifetime_;
};

using Opened = Function<void(std::unique_ptr<ForwardedPort>)>;

// The ports of a connection by the number of their data stream.
class Ports {
 public:
  PortImpl* find(std::uint32_t data) {
    auto at = by_data_.find(data);
    return at == by_data_.end() ? nullptr : at->second;
  }
  void add(std::uint32_t data, PortImpl* port) { by_data_[data] = port; }
  void remove(std::uint32_t data) { by_data_.erase(data); }
  // A callback of one port may destroy it and others, so each is looked up by its number.
  void drained() {
    for (std::uint32_t id : ids()) {
      if (PortImpl* port = find(id)) port->drained();
    }
  }
  void lost() {
    for (std::uint32_t id : ids()) {
      if (PortImpl* port = find(id)) port->lost();
    }
    by_data_.clear();
  }

 private:
  std::vector<std::uint32_t> ids() const {
    std::vector<std::uint32_t> all;
    for (const auto& entry : by_data_) all.push_back(entry.first);
    return all;
  }
  std::unordered_map<std::uint32_t, PortImpl*> by_data_;
};

// The peer opens two SPDY streams for every connection that it forwards.
class SpdyForwarding final : public Forwarding, public std::enable_shared_from_this<SpdyForwarding> {
 public:
  explicit SpdyForwarding(Opened opened) : opened_(std::move(opened)) {}

  void start(std::unique_ptr<Channel> channel) {
    self_ = shared_from_this();
    SpdyConnection::Events events;
    events.opened = [this](std::uint32_t id, const Headers& headers) { stream_opened(id, headers); };
    events.data = [this](std::uint32_t id, std::string_view bytes) {
      if (PortImpl* port = ports_.find(id)) port->receive(bytes);
    };
    events.ended = [this](std::uint32_t id) {
      if (PortImpl* port = ports_.find(id)) port->end_input();
    };
    events.reset = [this](std::uint32_t id) {
      if (PortImpl* port = ports_.find(id)) port->lost();
    };
    events.drained = [this] { ports_.drained(); };
    events.closed = [this] {
      auto self = std::move(self_);
      closed_ = true;
      ports_.lost();
    };
    spdy_ = make_spdy_connection(std::move(channel), std::move(events));
  }
  bool write(std::uint32_t stream, std::string_view bytes, bool last) override {
    return spdy_->write(stream, bytes, last);
  }
  void reset(std::uint32_t stream) override { spdy_->reset(stream, 5); }
  bool is_closed() const override { return closed_; }
  void remove(std::uint32_t data) override { ports_.remove(data); }
  void pause(int by) override {
    paused_ += by;
    spdy_->pause_reading(paused_ > 0);
  }

 private:
  void stream_opened(std::uint32_t id, const Headers& headers) {
    auto port = parse_int(header(headers, "port"));
    std::string_view type = header(headers, "streamtype");
    bool data = type == "data";
    if (!port.ok() || *port < 1 || *port > 65535 || (!data && type != "error") || half_.size() >= kHalfOpen) {
      spdy_->reset(id, 1);
      return;
    }
    // Old clients send no request id. They open the error stream right before the data stream, and a client's streams
    // have odd numbers.
    std::string request(header(headers, "requestid"));
    if (request.empty()) request = std::to_string(data ? id - 2 : id);
    auto& [error_id, data_id] = half_[request];
    (data ? data_id : error_id) = id;
    if (error_id == 0 || data_id == 0) return;
    auto forwarded = std::make_unique<PortImpl>(shared_from_this(), static_cast<int>(*port), data_id, error_id);
    ports_.add(data_id, forwarded.get());
    half_.erase(request);
    opened_(std::move(forwarded));
  }

  Opened opened_;
  std::shared_ptr<SpdyForwarding> self_;
  std::unique_ptr<SpdyConnection> spdy_;
  // By request id: error stream, data stream; 0: not opened yet.
  std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> half_;
  Ports ports_;
  int paused_ = 0;
  bool closed_ = false;
};

// The ports are named in the request and connected once: port n has the channel 2n for data and 2n + 1 for errors, the
// first byte of each message. The protocol has no message that ends a channel, so the connection ends when all ports
// have ended on our side.
class NumberedForwarding final : public Forwarding, public std::enable_shared_from_this<NumberedForwarding> {
 public:
  NumberedForwarding(bool base64, Opened opened) : base64_(base64), opened_(std::move(opened)) {}

  void start(std::unique_ptr<Channel> channel, const std::vector<int>& numbers) {
    self_ = shared_from_this();
    auto self = self_;  // opened_() may lose the connection, which resets self_
    WebSocket::Events events;
    events.message = [this](std::string_view bytes, bool) { message(bytes); };
    events.drained = [this] { ports_.drained(); };
    events.closed = [this] {
      auto self = std::move(self_);
      closed_ = true;
      ports_.lost();
    };
    socket_ = make_websocket(std::move(channel), std::move(events));
    open_ = numbers.size();
    for (std::uint32_t i = 0; i < numbers.size(); ++i) {
      const int port = numbers[i];
      const char little_endian[] = {static_cast<char>(port & 0xff), static_cast<char>(port >> 8)};
      for (std::uint32_t id : {2 * i, 2 * i + 1}) send(id, {little_endian, 2});
    }
    for (std::uint32_t i = 0; i < numbers.size(); ++i) {
      auto forwarded = std::make_unique<PortImpl>(self, numbers[i], 2 * i, 2 * i + 1);
      ports_.add(2 * i, forwarded.get());
      opened_(std::move(forwarded));
    }
  }
  bool write(std::uint32_t stream, std::string_view bytes, bool last) override {
    const bool in_time = bytes.empty() || send(stream, bytes);
    if (last && stream % 2 == 0 && --open_ == 0) socket_->close(1000, "");
    return in_time;
  }
  void reset(std::uint32_t) override {}
  bool is_closed() const override { return closed_; }
  void remove(std::uint32_t data) override { ports_.remove(data); }
  void pause(int by) override {
    paused_ += by;
    socket_->pause_reading(paused_ > 0);
  }

 private:
  bool send(std::uint32_t channel, std::string_view bytes) {
    std::string text(1, static_cast<char>(base64_ ? '0' + channel : channel));
    text.append(base64_ ? base64_encode(bytes) : std::string(bytes));
    return socket_->send(text, base64_);
  }
  void message(std::string_view bytes) {
    if (bytes.empty()) return;
    const auto first = static_cast<unsigned char>(bytes[0]);
    bytes.remove_prefix(1);
    PortImpl* port = ports_.find(base64_ ? first - '0' : first);
    if (port == nullptr) return;
    if (!base64_) return port->receive(bytes);
    if (auto plain = base64_decode(bytes); plain.ok()) port->receive(*plain);
  }

  const bool base64_;
  Opened opened_;
  std::shared_ptr<NumberedForwarding> self_;
  std::unique_ptr<WebSocket> socket_;
  Ports ports_;
  std::size_t open_ = 0;  // ports that have not ended on our side
  int paused_ = 0;
  bool closed_ = false;
};

// From the query: `ports=80&ports=81`, or with commas.
Result<std::vector<int>> requested_ports(const Request& request) {
  std::vector<int> ports;
  for (const auto& [key, value] : request.query) {
    if (key != "ports" && key != "port") continue;
    for (std::string_view one : split(value, ',')) {
      Result<long> number = parse_int(one);
      if (!number.ok())
        return error(Code::kBadRequest, "unable to parse " + quoted(one) + " as a port: it is not a number");
      if (*number < 1 || *number > 65535)
        return error(Code::kBadRequest, "port " + quoted(one) + " must be > 0 and < 65536");
      ports.push_back(static_cast<int>(*number));
    }
  }
  if (ports.empty()) return error(Code::kBadRequest, "query parameter \"port\" is required");
  if (ports.size() > kNumberedPorts)
    return error(Code::kBadRequest,
                 "no more than " + std::to_string(kNumberedPorts) + " ports can be forwarded on one connection");
  return ports;
}

PortImpl::~PortImpl() {
  lifetime_.end();
  if (paused_) pause_reading(false);
  hold_peer(false);
  forwarding_->remove(data_);
  if (is_gone(phase_) || forwarding_->is_closed()) return;
  if (may_write(phase_)) fail("");
  if (!input_ended(phase_)) forwarding_->reset(data_);
}

void PortImpl::hold_peer(bool on) {
  if (held_ == on) return;
  held_ = on;
  if (!forwarding_->is_closed()) forwarding_->pause(on ? 1 : -1);
}

bool PortImpl::write(std::string_view bytes) {
  if (!may_write(phase_) || bytes.empty()) return true;
  return forwarding_->write(data_, bytes, false);
}

void PortImpl::end() {
  if (!may_write(phase_)) return;
  advance(PortEvent::kOutputEnded);
  forwarding_->write(error_, "", true);
  forwarding_->write(data_, "", true);
}

void PortImpl::fail(const std::string& message) {
  if (!may_write(phase_)) return;
  advance(PortEvent::kOutputEnded);
  forwarding_->write(error_, message, true);
  forwarding_->write(data_, "", true);
}

void PortImpl::pause_reading(bool pause) {
  if (paused_ == pause) return;
  paused_ = pause;
  if (!forwarding_->is_closed()) forwarding_->pause(pause ? 1 : -1);
  if (!pause && lifetime_.guard()) deliver();
}

}  // namespace

void serve_port_forward(std::shared_ptr<Exchange> exchange, Function<void(std::unique_ptr<ForwardedPort>)> opened) {
  auto refuse = [&exchange](const Error& why) { exchange->respond(400, "text/plain; charset=utf-8", why.message); };
  if (!wants_websocket(exchange->request())) {
    auto accepted = accept_spdy(*exchange, {kProtocol});
    if (accepted) std::make_shared<SpdyForwarding>(std::move(opened))->start(std::move(accepted->channel));
    return;
  }
  // A client without SPDY inside of WebSocket messages names the ports in the query.
  const bool tunnel = offers_protocol(exchange->request(), kTunnel);
  Result<std::vector<int>> ports = tunnel ? std::vector<int>() : requested_ports(exchange->request());
  if (!ports.ok()) return refuse(ports.error());
  auto socket = accept_websocket(*exchange, {kTunnel, kNumbered, kNumberedBase64, ""});
  if (!socket.ok()) return refuse(socket.error());
  if (tunnel)
    return std::make_shared<SpdyForwarding>(std::move(opened))
        ->start(std::make_unique<TunnelChannel>(std::move(socket->channel)));
  std::make_shared<NumberedForwarding>(socket->protocol == kNumberedBase64, std::move(opened))
      ->start(std::move(socket->channel), *ports);
}

}  // namespace berth::http

#include <map>
#include <unordered_map>

#include "base/lifetime.h"
#include "base/text.h"
#include "http/message.h"
#include "http/streams/mux.h"
#include "http/streams/negotiate.h"
#include "http/streams/remote_command.h"

namespace berth::http {

namespace {

constexpr const char* kProtocol = "portforward.k8s.io";
constexpr const char* kTunnel = "SPDY/3.1+portforward.k8s.io";
constexpr const char* kNumbered = "v4.channel.k8s.io";
constexpr const char* kNumberedBase64 = "v4.base64.channel.k8s.io";
constexpr std::size_t kHalfOpen = 256;  // connections of which only one of the two streams has come
constexpr std::size_t kWaiting =
    256u << 10;  // bytes of a connection that nobody has taken yet, before its peer has to wait
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

// One connection of a client, on which its ports have two streams each. Kept alive by them and by its peer.
class Forwarding {
 public:
  virtual ~Forwarding() = default;
  virtual bool write(std::uint32_t stream, std::string_view bytes, bool last) = 0;  // false: behind
  virtual void reset(std::uint32_t stream) = 0;  // nobody reads what the peer still sends on it
  virtual void pause(int by) = 0;                // counts those that want the peer to wait
  virtual void forget(std::uint32_t data) = 0;
  virtual bool over() const = 0;
};

class PortImpl final : public ForwardedPort {
 public:
  PortImpl(std::shared_ptr<Forwarding> forwarding, int port, std::uint32_t data, std::uint32_t error)
      : forwarding_(std::move(forwarding)), port_(port), data_(data), error_(error) {}
  ~PortImpl() override;

  int port() const override { return port_; }
  void on_read(Function<void(std::string_view)> read) override {
    read_ = std::move(read);
    give();
  }
  void on_end(Task end) override {
    end_ = std::move(end);
    give();
  }
  void on_close(Task closed) override {
    closed_ = std::move(closed);
    if (gone_) tell_gone();
  }
  bool write(std::string_view bytes) override;
  void on_drain(Task drained) override { drained_ = std::move(drained); }
  void end() override;
  void fail(const std::string& message) override;
  void pause_reading(bool pause) override;

  void arrived(std::string_view bytes) {
    const auto alive = lifetime_.guard();
    waiting_.append(bytes);
    give();
    if (alive) hold(waiting_.size() > kWaiting);
  }
  void input_ended() {
    input_over_ = true;
    give();
  }
  void drained() { call_member(lifetime_.guard(), drained_); }
  void lost() {
    gone_ = true;
    tell_gone();
  }

 private:
  // The peer waits while nobody takes what it has sent.
  void hold(bool on);
  void give() {
    const auto alive = lifetime_.guard();
    while (!paused_ && read_ && !waiting_.empty()) {
      std::string bytes = std::move(waiting_);
      waiting_.clear();
      call_member(alive, read_, bytes);
      if (!alive) return;
      hold(false);
    }
    if (!input_over_ || paused_ || !waiting_.empty() || !end_) return;
    Task end = std::move(end_);
    end_ = nullptr;
    end();
  }
  void tell_gone() {
    Task closed = std::move(closed_);
    closed_ = nullptr;
    if (closed) closed();
  }

  std::shared_ptr<Forwarding> forwarding_;
  int port_;
  std::uint32_t data_, error_;
  Function<void(std::string_view)> read_;
  Task end_, closed_, drained_;
  std::string waiting_;
  bool paused_ = false, held_ = false, input_over_ = false, output_over_ = false, gone_ = false;
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
  void forget(std::uint32_t data) { by_data_.erase(data); }
  // Each may go, or take others along.
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
      if (PortImpl* port = ports_.find(id)) port->arrived(bytes);
    };
    events.ended = [this](std::uint32_t id) {
      if (PortImpl* port = ports_.find(id)) port->input_ended();
    };
    events.reset = [this](std::uint32_t id) {
      if (PortImpl* port = ports_.find(id)) port->lost();
    };
    events.drained = [this] { ports_.drained(); };
    events.closed = [this] {
      auto self = std::move(self_);
      over_ = true;
      ports_.lost();
    };
    spdy_ = make_spdy_connection(std::move(channel), std::move(events));
  }
  bool write(std::uint32_t stream, std::string_view bytes, bool last) override {
    return spdy_->write(stream, bytes, last);
  }
  void reset(std::uint32_t stream) override { spdy_->reset(stream, 5); }
  bool over() const override { return over_; }
  void forget(std::uint32_t data) override { ports_.forget(data); }
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
  std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> half_;  // request id: error stream, data stream
  Ports ports_;
  int paused_ = 0;
  bool over_ = false;
};

// The ports are named in the request and connected once: port n has the channel 2n for data and 2n + 1 for errors, the
// first byte of each message. Nobody can end a channel, so the connection ends when all ports have ended on our side.
class NumberedForwarding final : public Forwarding, public std::enable_shared_from_this<NumberedForwarding> {
 public:
  NumberedForwarding(bool base64, Opened opened) : base64_(base64), opened_(std::move(opened)) {}

  void start(std::unique_ptr<Channel> channel, const std::vector<int>& numbers) {
    self_ = shared_from_this();
    auto keep = self_;
    WebSocket::Events events;
    events.message = [this](std::string_view bytes, bool) { message(bytes); };
    events.drained = [this] { ports_.drained(); };
    events.closed = [this] {
      auto self = std::move(self_);
      over_ = true;
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
      auto forwarded = std::make_unique<PortImpl>(keep, numbers[i], 2 * i, 2 * i + 1);
      ports_.add(2 * i, forwarded.get());
      opened_(std::move(forwarded));
    }
  }
  bool write(std::uint32_t stream, std::string_view bytes, bool last) override {
    const bool fine = bytes.empty() || send(stream, bytes);
    if (last && stream % 2 == 0 && --open_ == 0) socket_->close(1000, "");
    return fine;
  }
  void reset(std::uint32_t) override {}
  bool over() const override { return over_; }
  void forget(std::uint32_t data) override { ports_.forget(data); }
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
    if (!base64_) return port->arrived(bytes);
    if (auto plain = base64_decode(bytes); plain.ok()) port->arrived(*plain);
  }

  const bool base64_;
  Opened opened_;
  std::shared_ptr<NumberedForwarding> self_;
  std::unique_ptr<WebSocket> socket_;
  Ports ports_;
  std::size_t open_ = 0;  // ports that have not ended on our side
  int paused_ = 0;
  bool over_ = false;
};

// From the query: `ports=80&ports=81`, or with commas.
Result<std::vector<int>> wanted_ports(const Request& request) {
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
  hold(false);
  forwarding_->forget(data_);
  if (gone_ || forwarding_->over()) return;
  if (!output_over_) fail("");
  if (!input_over_) forwarding_->reset(data_);
}

void PortImpl::hold(bool on) {
  if (held_ == on) return;
  held_ = on;
  if (!forwarding_->over()) forwarding_->pause(on ? 1 : -1);
}

bool PortImpl::write(std::string_view bytes) {
  if (gone_ || output_over_ || bytes.empty()) return true;
  return forwarding_->write(data_, bytes, false);
}

void PortImpl::end() {
  if (gone_ || output_over_) return;
  output_over_ = true;
  forwarding_->write(error_, "", true);
  forwarding_->write(data_, "", true);
}

void PortImpl::fail(const std::string& message) {
  if (gone_ || output_over_) return;
  output_over_ = true;
  forwarding_->write(error_, message, true);
  forwarding_->write(data_, "", true);
}

void PortImpl::pause_reading(bool pause) {
  if (paused_ == pause) return;
  paused_ = pause;
  if (!forwarding_->over()) forwarding_->pause(pause ? 1 : -1);
  if (!pause && lifetime_.guard()) give();
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
  Result<std::vector<int>> ports = tunnel ? std::vector<int>() : wanted_ports(exchange->request());
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

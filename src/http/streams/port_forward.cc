#include <map>
#include <unordered_map>

#include "base/text.h"
#include "http/message.h"
#include "http/streams/mux.h"
#include "http/streams/negotiate.h"
#include "http/streams/remote_command.h"

namespace berth::http {

namespace {

constexpr const char* kProtocol = "portforward.k8s.io";
constexpr const char* kTunnel = "SPDY/3.1+portforward.k8s.io";
constexpr std::size_t kHalfOpen = 256;  // connections of which only one of the two streams has come

// A byte channel inside the binary messages of a WebSocket.
class TunnelChannel final : public Channel {
 public:
  explicit TunnelChannel(std::unique_ptr<Channel> channel) : below_(channel.get()) {
    WebSocket::Events events;
    events.message = [this](std::string_view bytes, bool) {
      auto alive = alive_;
      auto read = std::move(read_);
      read_ = nullptr;
      if (read) read(bytes);
      if (*alive && !read_) read_ = std::move(read);
    };
    events.drained = [this] {
      auto alive = alive_;
      Task drained = std::move(drained_);
      drained_ = nullptr;
      if (drained) drained();
      if (*alive && !drained_) drained_ = std::move(drained);
    };
    events.closed = [this] {
      Task closed = std::move(closed_);
      closed_ = nullptr;
      if (closed) closed();
    };
    socket_ = make_websocket(std::move(channel), std::move(events));
  }
  ~TunnelChannel() override {
    *alive_ = false;
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
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  bool closing_ = false;
};

class Forwarding;

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
    waiting_.append(bytes);
    give();
  }
  void input_ended() {
    input_over_ = true;
    give();
  }
  void drained() { call(drained_); }
  void lost() {
    gone_ = true;
    tell_gone();
  }

 private:
  template <class F, class... Args>
  void call(F& kept, Args&&... args) {
    if (!kept) return;
    auto alive = alive_;
    F callback = std::move(kept);
    kept = nullptr;
    callback(std::forward<Args>(args)...);
    if (*alive && !kept) kept = std::move(callback);
  }
  void give() {
    auto alive = alive_;
    while (!paused_ && read_ && !waiting_.empty()) {
      std::string bytes = std::move(waiting_);
      waiting_.clear();
      call(read_, bytes);
      if (!*alive) return;
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
  bool paused_ = false, input_over_ = false, output_over_ = false, gone_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// One connection of a client with all its ports. Keeps itself alive until the peer is gone.
class Forwarding : public std::enable_shared_from_this<Forwarding> {
 public:
  using Opened = Function<void(std::unique_ptr<ForwardedPort>)>;
  explicit Forwarding(Opened opened) : opened_(std::move(opened)) {}

  void start(std::unique_ptr<Channel> channel) {
    self_ = shared_from_this();
    SpdyConnection::Events events;
    events.opened = [this](std::uint32_t id, const Headers& headers) { stream_opened(id, headers); };
    events.data = [this](std::uint32_t id, std::string_view bytes) {
      if (PortImpl* port = find(id)) port->arrived(bytes);
    };
    events.ended = [this](std::uint32_t id) {
      if (PortImpl* port = find(id)) port->input_ended();
    };
    events.reset = [this](std::uint32_t id) {
      if (PortImpl* port = find(id)) port->lost();
    };
    events.drained = [this] {
      for (std::uint32_t id : ids()) {
        if (PortImpl* port = find(id)) port->drained();
      }
    };
    events.closed = [this] {
      auto self = std::move(self_);
      over_ = true;
      for (std::uint32_t id : ids()) {
        if (PortImpl* port = find(id)) port->lost();
      }
      ports_.clear();
    };
    spdy_ = make_spdy_connection(std::move(channel), std::move(events));
  }
  SpdyConnection& spdy() { return *spdy_; }
  bool over() const { return over_; }
  void forget(std::uint32_t id) { ports_.erase(id); }
  void pause(int by) {
    paused_ += by;
    spdy_->pause_reading(paused_ > 0);
  }

 private:
  PortImpl* find(std::uint32_t id) {
    auto at = ports_.find(id);
    return at == ports_.end() ? nullptr : at->second;
  }
  std::vector<std::uint32_t> ids() const {
    std::vector<std::uint32_t> all;
    for (const auto& entry : ports_) all.push_back(entry.first);
    return all;
  }

  void stream_opened(std::uint32_t id, const Headers& headers) {
    auto port = parse_int(header(headers, "port"));
    std::string_view type = header(headers, "streamtype");
    bool data = type == "data";
    if (!port.ok() || *port < 1 || *port > 65535 || (!data && type != "error") || half_.size() >= kHalfOpen) {
      spdy_->reset(id, 1);
      return;
    }
    // Old clients send no request id; there a pair shares its stream numbers' neighbourhood.
    std::string request(header(headers, "requestid"));
    if (request.empty()) request = std::to_string(data ? id - 2 : id);
    auto& [error_id, data_id] = half_[request];
    (data ? data_id : error_id) = id;
    if (error_id == 0 || data_id == 0) return;
    auto forwarded = std::make_unique<PortImpl>(shared_from_this(), static_cast<int>(*port), data_id, error_id);
    ports_[data_id] = forwarded.get();
    half_.erase(request);
    opened_(std::move(forwarded));
  }

  Opened opened_;
  std::shared_ptr<Forwarding> self_;
  std::unique_ptr<SpdyConnection> spdy_;
  std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> half_;  // request id: error stream, data stream
  std::unordered_map<std::uint32_t, PortImpl*> ports_;                   // by data stream
  int paused_ = 0;
  bool over_ = false;
};

PortImpl::~PortImpl() {
  *alive_ = false;
  if (paused_) pause_reading(false);
  forwarding_->forget(data_);
  if (gone_ || forwarding_->over()) return;
  if (!output_over_) fail("");
  if (!input_over_) forwarding_->spdy().reset(data_, 5);
}

bool PortImpl::write(std::string_view bytes) {
  if (gone_ || output_over_ || bytes.empty()) return true;
  return forwarding_->spdy().write(data_, bytes, false);
}

void PortImpl::end() {
  if (gone_ || output_over_) return;
  output_over_ = true;
  forwarding_->spdy().write(error_, "", true);
  forwarding_->spdy().write(data_, "", true);
}

void PortImpl::fail(const std::string& message) {
  if (gone_ || output_over_) return;
  output_over_ = true;
  forwarding_->spdy().write(error_, message, true);
  forwarding_->spdy().write(data_, "", true);
}

void PortImpl::pause_reading(bool pause) {
  if (paused_ == pause) return;
  paused_ = pause;
  if (!forwarding_->over()) forwarding_->pause(pause ? 1 : -1);
  if (!pause && *alive_) give();
}

}  // namespace

void serve_port_forward(std::shared_ptr<Exchange> exchange, Function<void(std::unique_ptr<ForwardedPort>)> opened) {
  std::unique_ptr<Channel> channel;
  if (wants_websocket(exchange->request())) {
    auto socket = accept_websocket(*exchange, {kTunnel});
    if (!socket.ok()) {
      exchange->respond(400, "text/plain; charset=utf-8", socket.error().message);
      return;
    }
    channel = std::make_unique<TunnelChannel>(std::move(socket->channel));
  } else {
    auto accepted = accept_spdy(*exchange, {kProtocol});
    if (!accepted) return;
    channel = std::move(accepted->channel);
  }
  std::make_shared<Forwarding>(std::move(opened))->start(std::move(channel));
}

}  // namespace berth::http

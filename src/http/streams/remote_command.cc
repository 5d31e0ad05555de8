#include "http/streams/remote_command.h"

#include <algorithm>

#include "base/json/json.h"
#include "base/lifetime.h"
#include "base/phase.h"
#include "base/text.h"
#include "http/message.h"
#include "http/query_flag.h"
#include "http/streams/mux.h"
#include "http/streams/negotiate.h"
#include "http/streams/session_phase.h"

namespace berth::http {

namespace {

// The streams of one session: each is a SPDY stream with this name as its streamtype, or a numbered channel of the
// WebSocket.
enum Lane { kInput = 0, kOutput = 1, kError = 2, kStatus = 3, kResize = 4, kLanes = 5 };
constexpr const char* kLaneNames[kLanes] = {"stdin", "stdout", "stderr", "error", "resize"};
constexpr unsigned char kCloseSignal = 255;                    // v5: followed by the channel that ends
constexpr Duration kStreamsTime = std::chrono::seconds(30);    // for the peer to open its SPDY streams
constexpr Duration kGreeting = std::chrono::milliseconds(50);  // after a WebSocket handshake

Value exit_status(int code) {
  Value status = Value::object({{"metadata", Value::object()}});
  if (code == 0) return status.set("status", "Success");
  status.set("status", "Failure");
  status.set("message", "command terminated with non-zero exit code: exit status " + std::to_string(code));
  status.set("reason", "NonZeroExitCode");
  Value cause = Value::object({{"reason", "ExitCode"}, {"message", std::to_string(code)}});
  return status.set("details", Value::object({{"causes", Value::array({cause})}}));
}

Value failure_status(const Error& why) {
  return Value::object({{"metadata", Value::object()},
                        {"status", "Failure"},
                        {"message", why.message},
                        {"reason", "InternalError"},
                        {"code", 500}});
}

class RemoteImpl final : public RemoteSession {
 public:
  using Ready = Function<void(std::unique_ptr<RemoteSession>)>;
  RemoteImpl(const RemoteOptions& options, Ready ready) : options_(options), ready_(std::move(ready)) {}
  ~RemoteImpl() override {
    lifetime_.end();
    if (spdy_) spdy_->close();
    if (socket_) socket_->close(1000, "");
  }

  // In kAwaitingStreams the session owns itself: serve_remote_command() returns before the peer opens the streams.
  static RemoteImpl* make(const RemoteOptions& options, Ready ready) {
    auto own = std::make_unique<RemoteImpl>(options, std::move(ready));
    RemoteImpl* self = own.get();
    self->own_ = std::move(own);
    return self;
  }
  Lifetime::Guard alive() const { return lifetime_.guard(); }
  bool is_ready() const { return phase_ != SessionPhase::kAwaitingStreams; }
  void destroy() { own_.reset(); }

  void speak_spdy(std::unique_ptr<Channel> channel, int version) {
    version_ = version;
    SpdyConnection::Events events;
    events.opened = [this](std::uint32_t id, const Headers& headers) { stream_opened(id, headers); };
    events.data = [this](std::uint32_t id, std::string_view bytes) { lane_data(lane_of(id), bytes); };
    events.ended = [this](std::uint32_t id) {
      if (lane_of(id) == kInput) input_ended();
    };
    events.reset = [this](std::uint32_t id) {
      if (lane_of(id) == kInput) input_ended();
    };
    events.drained = [this] { call_member(lifetime_.guard(), drained_); };
    events.closed = [this] { peer_gone(); };
    spdy_ = make_spdy_connection(std::move(channel), std::move(events));
  }

  void speak_websocket(Runtime& runtime, std::unique_ptr<Channel> channel, int version, bool base64) {
    version_ = version;
    base64_ = base64;
    WebSocket::Events events;
    events.message = [this](std::string_view bytes, bool) { message(bytes); };
    events.drained = [this] { call_member(lifetime_.guard(), drained_); };
    events.closed = [this] { peer_gone(); };
    socket_ = make_websocket(std::move(channel), std::move(events));
    // An empty message on the first output channel tells the client that the session is up, where no output does. It is
    // delayed because kubectl before 1.34 reads before it has made its streams, and prints an error for a message that
    // has no stream yet.
    runtime.after(kGreeting, [this, alive = alive()] {
      if (!alive || sent_) return;
      send(options_.standard_output ? kOutput : options_.standard_error && !options_.tty ? kError : kStatus, "", false);
    });
    become_ready();
  }

  // --- RemoteSession
  void on_input(Function<void(std::string_view)> input) override {
    input_ = std::move(input);
    deliver_input();
  }
  void on_input_end(Task end) override {
    input_end_ = std::move(end);
    deliver_input();
  }
  void on_resize(Function<void(int, int)> resize) override {
    resize_ = std::move(resize);
    if (columns_ > 0) call_member(lifetime_.guard(), resize_, columns_, rows_);
  }
  void on_close(Task closed) override {
    closed_ = std::move(closed);
    if (phase_ == SessionPhase::kPeerGone) call_closed();
  }
  void pause_input(bool pause) override {
    paused_ = pause;
    if (spdy_) spdy_->pause_reading(pause);
    if (socket_) socket_->pause_reading(pause);
    if (!pause) deliver_input();
  }
  bool write_output(std::string_view bytes) override { return bytes.empty() || send(kOutput, bytes, false); }
  bool write_error(std::string_view bytes) override { return bytes.empty() || send(kError, bytes, false); }
  void on_drain(Task drained) override { drained_ = std::move(drained); }
  void finish(int exit_code) override { end(exit_status(exit_code), exit_code == 0); }
  void fail(const Error& why) override { end(failure_status(why), false); }

 private:
  int lane_of(std::uint32_t id) const {
    for (int lane = 0; lane < kLanes; ++lane) {
      if (ids_[lane] == id) return lane;
    }
    return -1;
  }
  void advance(SessionEvent event) { phase_.apply(event); }
  // Whether the client opens a stream for it.
  bool has_lane(int lane) const {
    switch (lane) {
      case kInput: return options_.standard_input;
      case kOutput: return options_.standard_output;
      case kError: return options_.standard_error && !options_.tty;
      case kStatus: return true;
      default: return options_.tty && version_ >= 3;
    }
  }

  void stream_opened(std::uint32_t id, const Headers& headers) {
    std::string_view type = header(headers, "streamtype");
    for (int lane = 0; lane < kLanes; ++lane) {
      if (type != kLaneNames[lane] || ids_[lane] != 0 || !has_lane(lane)) continue;
      ids_[lane] = id;
      bool all = true;
      for (int other = 0; other < kLanes; ++other) all = all && (!has_lane(other) || ids_[other] != 0);
      if (all) become_ready();
      return;
    }
    spdy_->reset(id, 3);  // REFUSED_STREAM
  }

  void become_ready() {
    advance(SessionEvent::kStreamsOpened);
    std::unique_ptr<RemoteSession> session = std::move(own_);
    Ready ready = std::move(ready_);
    ready_ = nullptr;
    if (session && ready) ready(std::move(session));
  }

  void message(std::string_view bytes) {
    if (bytes.empty()) return;
    int lane = static_cast<unsigned char>(bytes[0]);
    std::string decoded;
    bytes.remove_prefix(1);
    if (base64_) {
      lane -= '0';
      auto plain = base64_decode(bytes);
      if (!plain.ok()) return;
      decoded = std::move(*plain);
      bytes = decoded;
    } else if (version_ >= 5 && lane == kCloseSignal) {
      if (bytes.size() == 1 && bytes[0] == kInput) input_ended();
      return;
    }
    lane_data(lane, bytes);
  }

  void lane_data(int lane, std::string_view bytes) {
    if (lane == kInput && options_.standard_input) {
      undelivered_.append(bytes);
      deliver_input();
    } else if (lane == kResize) {
      // Values may come one after another, or in parts.
      sizes_.append(bytes);
      std::size_t end;
      while ((end = sizes_.find('}')) != std::string::npos) {
        auto size = json::parse(trim(std::string_view(sizes_).substr(0, end + 1)));
        sizes_.erase(0, end + 1);
        if (!size.ok()) continue;
        columns_ = static_cast<int>(std::clamp<std::int64_t>((*size)["Width"].as_int(), 0, 65535));
        rows_ = static_cast<int>(std::clamp<std::int64_t>((*size)["Height"].as_int(), 0, 65535));
        const auto alive = lifetime_.guard();
        call_member(alive, resize_, columns_, rows_);
        if (!alive) return;
      }
      if (sizes_.size() > 4096) sizes_.clear();
    }
  }

  void input_ended() {
    input_ended_ = true;
    deliver_input();
  }
  void deliver_input() {
    const auto alive = lifetime_.guard();
    while (!paused_ && input_ && !undelivered_.empty()) {
      std::string bytes = std::move(undelivered_);
      undelivered_.clear();
      call_member(alive, input_, bytes);
      if (!alive) return;
    }
    if (!input_ended_ || !undelivered_.empty() || paused_ || !input_end_) return;
    Task end = std::move(input_end_);
    input_end_ = nullptr;
    end();
  }

  bool send(int lane, std::string_view bytes, bool last) {
    if (phase_ != SessionPhase::kOpen) return true;
    if (spdy_) return ids_[lane] == 0 || spdy_->write(ids_[lane], bytes, last);
    if (bytes.empty() && last) return true;
    sent_ = true;
    bool in_time = true;
    do {
      std::string_view part = bytes.substr(0, 32u << 10);
      bytes.remove_prefix(part.size());
      std::string text;
      text.push_back(static_cast<char>(base64_ ? '0' + lane : lane));
      text.append(base64_ ? base64_encode(part) : std::string(part));
      in_time = socket_->send(text, base64_);
    } while (!bytes.empty());
    return in_time;
  }

  void end(const Value& status, bool good) {
    if (phase_ != SessionPhase::kOpen) return;
    send(kOutput, "", true);
    send(kError, "", true);
    // Before version 4 the status was text, and none meant success.
    std::string text = version_ >= 4 ? json::encode(status) : good ? std::string() : status["message"].str();
    send(kStatus, text, true);
    advance(SessionEvent::kFinished);
    if (spdy_) spdy_->close();
    if (socket_) socket_->close(1000, "");
  }

  void peer_gone() {
    const bool owns_itself = !is_ready();
    advance(SessionEvent::kPeerGone);
    if (owns_itself) return destroy();
    call_closed();
  }
  void call_closed() {
    Task closed = std::move(closed_);
    closed_ = nullptr;
    if (closed) closed();
  }

  const RemoteOptions options_;
  Ready ready_;
  std::unique_ptr<RemoteImpl> own_;  // this session, in kAwaitingStreams
  std::unique_ptr<SpdyConnection> spdy_;
  std::unique_ptr<WebSocket> socket_;  // one of the two
  Phase<SessionPhase, SessionEvent> phase_{SessionPhase::kAwaitingStreams};
  int version_ = 1;
  bool base64_ = false;
  std::uint32_t ids_[kLanes] = {};
  Function<void(std::string_view)> input_;
  Function<void(int, int)> resize_;
  Task input_end_, closed_, drained_;
  std::string undelivered_;  // input
  std::string sizes_;        // JSON, perhaps incomplete
  int columns_ = 0, rows_ = 0;
  bool paused_ = false;       // input, as the owner asked
  bool input_ended_ = false;  // the peer sends no more input; on_input_end() may wait for undelivered_
  bool sent_ = false;         // a message, so that no greeting is needed
  Lifetime lifetime_;
};

}  // namespace

RemoteOptions remote_options(const Request& request) {
  auto on = [&](std::string_view name) { return query_flag(request, name); };
  return {on("stdin"), on("stdout"), on("stderr"), on("tty")};
}

void serve_remote_command(Runtime& runtime, std::shared_ptr<Exchange> exchange, const RemoteOptions& options,
                          Function<void(std::unique_ptr<RemoteSession>)> ready) {
  if (wants_websocket(exchange->request())) {
    auto socket = accept_websocket(*exchange, {"v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io",
                                               "channel.k8s.io", "base64.channel.k8s.io", ""});
    if (!socket.ok()) {
      exchange->respond(400, "text/plain; charset=utf-8", socket.error().message);
      return;
    }
    const std::string& protocol = socket->protocol;
    int version = protocol.starts_with("v5") ? 5 : protocol.starts_with("v4") ? 4 : 1;
    RemoteImpl::make(options, std::move(ready))
        ->speak_websocket(runtime, std::move(socket->channel), version, protocol.find("base64") != std::string::npos);
    return;
  }
  auto accepted = accept_spdy(*exchange, {"v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io",
                                          "v2.channel.k8s.io", "channel.k8s.io"});
  if (!accepted) return;
  int version = accepted->protocol.starts_with("v") ? accepted->protocol[1] - '0' : 1;
  RemoteImpl* session = RemoteImpl::make(options, std::move(ready));
  auto alive = session->alive();
  session->speak_spdy(std::move(accepted->channel), version);
  runtime.after(kStreamsTime, [session, alive] {
    if (alive && !session->is_ready()) session->destroy();
  });
}

}  // namespace berth::http

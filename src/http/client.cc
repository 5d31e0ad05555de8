#include "http/client.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstring>
#include <unordered_set>

#include "base/check.h"
#include "base/phase.h"
#include "base/text.h"
#include "crypto/openssl_error.h"
#include "http/client_phase.h"
#include "http/http1_parser.h"
#include "http/message.h"
#include "http/socket.h"
#include "http/socket_address.h"
#include "http/tls.h"

namespace berth::http {

namespace {

// Less than servers keep idle connections (ServerConfig::idle_timeout), so that few requests meet one that is being
// closed.
constexpr Duration kIdleTime = std::chrono::seconds(60);
constexpr std::size_t kIdleConnections = 8;
constexpr std::size_t kReadPerRound = 512u << 10;  // of one connection, so that other tasks of the loop get a turn
constexpr std::size_t kScratch = 64u << 10;
constexpr std::size_t kChannelLowWater = 256u
                                         << 10;  // of a channel's backlog: on_drain() is called when it falls below

class ClientImpl;
class ClientConnection;

// A request until its last callback. Shared by the client, the connection that has it, and the Stream it may have.
struct PendingRequest {
  ClientRequest request;
  Function<void(Result<Response>)> done;  // send
  Function<void(const Response&)> head;   // stream
  Function<void(std::string_view)> data;
  Function<void(Status)> end;
  Function<void(Result<Client::Upgraded>)> upgraded;  // upgrade
  TimerId timer = 0;
  ClientConnection* connection = nullptr;  // in kOnConnection
  Phase<PendingRequestPhase, PendingRequestEvent> phase{PendingRequestPhase::kQueued};
  bool paused = false;  // the answer is not read, as the stream's owner asked; in any phase
  bool streams() const { return static_cast<bool>(end); }
  bool live() const { return phase != PendingRequestPhase::kDone; }
  void advance(PendingRequestEvent event) {
    phase.apply(event);
    if (phase != PendingRequestPhase::kOnConnection) connection = nullptr;
  }
};

// One connection. Kept alive by its owner (the client, or the channel it became) and by the callback that runs.
class ClientConnection : public std::enable_shared_from_this<ClientConnection> {
 public:
  ClientConnection(ClientImpl* owner, Loop& loop) : owner_(owner), loop_(loop) {}
  ~ClientConnection() { close(); }

  Status open(const Endpoint& endpoint, SSL_CTX* context);
  void send(std::shared_ptr<PendingRequest> request);
  void pump();
  void close();
  void forget_owner() { owner_ = nullptr; }
  bool closed() const { return phase_ == ClientConnectionPhase::kClosed; }
  bool reused() const { return answers_ > 0; }
  Duration idle_since() const { return idle_since_; }

  // --- After an upgrade
  struct ChannelCallbacks {
    Function<void(std::string_view)> read;
    Task closed, drained;
    bool paused = false;  // as the channel's owner asked, in any phase
  };
  ChannelCallbacks& channel() { return *channel_; }
  void close_channel() { advance(ClientConnectionEvent::kChannelClosed); }
  bool channel_open() const { return phase_ == ClientConnectionPhase::kUpgraded; }
  OutQueue& out() { return out_; }
  Loop& loop() { return loop_; }
  void pump_later();

 private:
  void advance(ClientConnectionEvent event) { phase_.apply(event); }
  void ready();
  void on_connected();
  bool is_usable();
  void write_output();
  void read_input();
  void parse(std::string_view bytes);
  void add_to_body(std::string_view bytes);
  void complete_answer();
  void fail(const std::string& why);
  void end_channel();

  ClientImpl* owner_;
  Loop& loop_;
  std::unique_ptr<Socket> socket_;
  OutQueue out_;
  std::string input_;  // of an answer, not parsed yet; then of the channel
  std::unique_ptr<ResponseParser> parser_;
  std::shared_ptr<PendingRequest> pending_;    // from kConnecting to kAnswerTooLarge, but for kIdle
  std::unique_ptr<ChannelCallbacks> channel_;  // from kUpgraded on
  std::string body_;
  TimerId connect_timer_ = 0;
  Duration idle_since_{};
  int answers_ = 0;
  Phase<ClientConnectionPhase, ClientConnectionEvent> phase_{ClientConnectionPhase::kConnecting};
  // Independent of the phase:
  bool output_failed_ = false;  // the socket takes no more; an answer that the server sent before may still come
  bool pump_posted_ = false;
};

class ClientImpl final : public Client {
 public:
  ClientImpl(Loop& loop, Endpoint endpoint) : loop_(loop), endpoint_(std::move(endpoint)) {}
  ~ClientImpl() override {
    for (const auto& connection : connections_) {
      connection->forget_owner();
      connection->close();
    }
    for (const auto& pending : pending_) discard(*pending);
  }

  void send(ClientRequest request, Function<void(Result<Response>)> done) override {
    auto pending = std::make_shared<PendingRequest>();
    pending->done = std::move(done);
    submit(std::move(pending), std::move(request));
  }
  std::unique_ptr<Stream> stream(ClientRequest request, Function<void(const Response&)> head,
                                 Function<void(std::string_view)> data, Function<void(Status)> end) override;
  void upgrade(ClientRequest request, Function<void(Result<Upgraded>)> done) override {
    auto pending = std::make_shared<PendingRequest>();
    pending->upgraded = std::move(done);
    submit(std::move(pending), std::move(request));
  }

  const Endpoint& endpoint() const { return endpoint_; }
  void dispatch(const std::shared_ptr<PendingRequest>& pending);
  void abort(const std::shared_ptr<PendingRequest>& pending);
  void fail(const std::shared_ptr<PendingRequest>& pending, Error why);
  void mark_done(const std::shared_ptr<PendingRequest>& pending);  // before its last callback
  void add_idle(const std::shared_ptr<ClientConnection>& connection);
  void remove(const std::shared_ptr<ClientConnection>& connection);

 private:
  void submit(std::shared_ptr<PendingRequest> pending, ClientRequest request);
  std::shared_ptr<ClientConnection> idle_connection();
  void cancel_timer(PendingRequest& pending) {
    if (pending.timer != 0) loop_.cancel(pending.timer);
    pending.timer = 0;
  }
  void discard(PendingRequest& pending) {
    if (pending.live()) pending.advance(PendingRequestEvent::kDone);
    cancel_timer(pending);
    pending.done = nullptr;
    pending.head = nullptr;
    pending.data = nullptr;
    pending.end = nullptr;
    pending.upgraded = nullptr;
  }

  Loop& loop_;
  const Endpoint endpoint_;
  SslContext context_;
  std::unordered_set<std::shared_ptr<ClientConnection>> connections_;
  // Some of connections_, the longest idle first. The last one is used again: its connection is the least likely to be
  // closed by the server, and the others can expire.
  std::vector<std::shared_ptr<ClientConnection>> idle_;
  std::unordered_set<std::shared_ptr<PendingRequest>> pending_;
  // Posted tasks have a weak_ptr to it, and so find out whether the client is gone.
  std::shared_ptr<ClientImpl*> self_ = std::make_shared<ClientImpl*>(this);

 public:
  std::weak_ptr<ClientImpl*> weak() { return self_; }
};

class StreamImpl final : public Stream {
 public:
  StreamImpl(std::weak_ptr<ClientImpl*> client, std::shared_ptr<PendingRequest> pending)
      : client_(std::move(client)), pending_(std::move(pending)) {}
  ~StreamImpl() override {
    if (auto client = client_.lock()) (*client)->abort(pending_);
  }
  void pause_reading(bool pause) override {
    pending_->paused = pause;
    if (!pause && pending_->connection) pending_->connection->pump_later();
  }

 private:
  std::weak_ptr<ClientImpl*> client_;
  std::shared_ptr<PendingRequest> pending_;
};

class ClientChannel final : public Channel {
 public:
  explicit ClientChannel(std::shared_ptr<ClientConnection> connection) : connection_(std::move(connection)) {}
  ~ClientChannel() override {
    ClientConnection::ChannelCallbacks& callbacks = connection_->channel();
    callbacks.read = nullptr;
    callbacks.closed = nullptr;
    callbacks.drained = nullptr;
    if (connection_->closed()) return;
    // The timer keeps the connection alive, so that what was written still goes out, but with a limit.
    connection_->close_channel();
    callbacks.paused = false;
    connection_->loop().after(std::chrono::seconds(30), [connection = connection_] { connection->close(); });
    connection_->pump_later();
  }
  void on_read(Function<void(std::string_view)> read) override {
    connection_->channel().read = std::move(read);
    connection_->pump_later();
  }
  void on_close(Task closed) override {
    connection_->channel().closed = std::move(closed);
    if (connection_->closed()) connection_->pump_later();
  }
  void write(std::string bytes) override {
    if (!connection_->channel_open() || bytes.empty()) return;
    connection_->out().push(SharedBytes::of(std::move(bytes)));
    connection_->pump_later();
  }
  std::size_t backlog() const override { return connection_->out().bytes(); }
  void on_drain(Task drained) override { connection_->channel().drained = std::move(drained); }
  void pause_reading(bool pause) override {
    connection_->channel().paused = pause;
    if (!pause) connection_->pump_later();
  }
  void close() override {
    connection_->close_channel();
    connection_->pump_later();
  }

 private:
  std::shared_ptr<ClientConnection> connection_;
};

// --- ClientConnection

Status ClientConnection::open(const Endpoint& endpoint, SSL_CTX* context) {
  BERTH_ASSIGN(SocketAddress to, parse_address(endpoint.address));
  Fd fd(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("socket");
  if (!to.is_unix()) {
    int on = 1;
    setsockopt(fd.get(), 6 /* TCP */, 1 /* TCP_NODELAY */, &on, sizeof on);
    setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  // Unix sockets connect at once, TCP later: then the socket becomes writable.
  const bool connected = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size) == 0;
  if (!connected && errno != EINPROGRESS) return errno_error("connecting to " + endpoint.address);
  socket_ = std::make_unique<Socket>(std::move(fd), !to.is_unix());
  if (context) {
    if (!socket_->start_tls(context)) return error(Code::kInternal, crypto::openssl_error_text());
    BERTH_TRY(prepare_client(socket_->ssl(), endpoint));
  }
  if (connected) on_connected();
  std::weak_ptr<ClientConnection> weak = weak_from_this();
  BERTH_TRY(loop_.watch_fd(socket_->fd(), Socket::interest(), [weak](std::uint32_t events) {
    if (auto self = weak.lock()) {
      if (self->closed()) return;
      self->socket_->on_events(events);
      if (self->phase_ == ClientConnectionPhase::kConnecting && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) {
        int failure = 0;
        socklen_t size = sizeof failure;
        getsockopt(self->socket_->fd(), SOL_SOCKET, SO_ERROR, &failure, &size);
        failure == 0 ? self->on_connected() : self->fail(std::strerror(failure));
      }
      self->pump();
    }
  }));
  if (endpoint.connect_timeout && is_unconnected(phase_)) {
    connect_timer_ = loop_.after(*endpoint.connect_timeout, [weak] {
      auto self = weak.lock();
      if (!self) return;
      self->connect_timer_ = 0;
      if (is_unconnected(self->phase_)) self->fail("timed out");
    });
  }
  return ok_status();
}

void ClientConnection::on_connected() {
  if (socket_->ssl()) {
    advance(ClientConnectionEvent::kConnected);
  } else {
    ready();
  }
}

void ClientConnection::ready() {
  advance(ClientConnectionEvent::kReady);
  if (pending_) advance(ClientConnectionEvent::kRequestSent);
}

void ClientConnection::send(std::shared_ptr<PendingRequest> pending) {
  pending_ = std::move(pending);
  pending_->advance(PendingRequestEvent::kAssigned);
  pending_->connection = this;
  if (phase_ == ClientConnectionPhase::kIdle) advance(ClientConnectionEvent::kRequestSent);
  ClientRequest& request = pending_->request;
  bool upgrade = static_cast<bool>(pending_->upgraded);
  std::string head = request.method + " " + request.target + " HTTP/1.1\r\n";
  auto add = [&head](std::string_view name, std::string_view value) {
    if (!valid_header(name, value)) return;
    head.append(name).append(": ").append(value).append("\r\n");
  };
  const Endpoint& endpoint = owner_->endpoint();
  if (header(request.headers, "host").empty()) {
    std::string host = endpoint.address.starts_with("unix:") ? "localhost" : endpoint.address;
    add("Host", endpoint.server_name.empty() ? host : endpoint.server_name);
  }
  for (const auto& [name, value] : request.headers) add(name, value);
  bool has_body =
      !request.body.empty() || request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (has_body && !upgrade) add("Content-Length", std::to_string(request.body.size()));
  head += "\r\n";
  out_.append(head);
  if (!request.body.empty()) out_.push(SharedBytes::of(std::move(request.body)));
  body_.clear();
  parser_ = std::make_unique<ResponseParser>(request.method == "HEAD",
                                             [this](std::string_view bytes) { add_to_body(bytes); });
}

void ClientConnection::pump_later() {
  if (pump_posted_) return;
  pump_posted_ = true;
  loop_.post([self = shared_from_this()] {
    self->pump_posted_ = false;
    self->pump();
  });
}

// Continues the handshake. True: bytes of HTTP can be exchanged.
bool ClientConnection::is_usable() {
  if (phase_ == ClientConnectionPhase::kConnecting) return false;
  if (phase_ == ClientConnectionPhase::kHandshaking) {
    Socket::Io result = socket_->handshake();
    if (result == Socket::Io::kAgain) return false;
    if (result != Socket::Io::kDone) {
      fail("TLS handshake: " + socket_->failure());
      return false;
    }
    ready();
  }
  if (connect_timer_ != 0) loop_.cancel(connect_timer_);
  connect_timer_ = 0;
  return true;
}

void ClientConnection::pump() {
  auto self = shared_from_this();
  if (closed() && channel_ && channel_->closed) end_channel();  // the callback was set after the end
  if (closed() || !is_usable()) return;
  // Requests go out first: a server may answer while the rest of a large body still waits for the socket. Callbacks of
  // read_input() may have written to the channel, so it is written once more.
  write_output();
  if (!closed()) read_input();
  if (!closed() && !out_.empty()) write_output();
}

void ClientConnection::write_output() {
  const bool was_behind = out_.bytes() > kChannelLowWater;
  std::size_t written = 0;
  if (!output_failed_ && !out_.empty()) {
    Socket::Io result = socket_->write(out_, written);
    if (result != Socket::Io::kDone && result != Socket::Io::kAgain) {
      // The answer may already be there (413, say): reading decides.
      output_failed_ = true;
      out_.clear();
    }
  }
  if (!channel_) return;
  if (output_failed_) {
    end_channel();
    return;
  }
  if (was_behind && out_.bytes() <= kChannelLowWater && channel_->drained) {
    Task drained = std::move(channel_->drained);
    channel_->drained = nullptr;
    drained();
    if (!channel_->drained && !closed()) channel_->drained = std::move(drained);
  }
  if (phase_ == ClientConnectionPhase::kUpgradedClosing && out_.empty()) {
    socket_->shutdown_write();
    end_channel();
  }
}

void ClientConnection::read_input() {
  std::size_t total = 0;
  // Not a member of the client: a callback may destroy that while the bytes are being parsed.
  static thread_local char scratch[kScratch];
  while (!closed()) {
    if (channel_open() && (channel_->paused || !channel_->read)) return;
    if (channel_ && !input_.empty() && channel_->read) {
      std::string bytes;
      bytes.swap(input_);
      parse(bytes);
      continue;
    }
    if (pending_ && pending_->paused) return;
    if (!socket_->may_read()) return;
    if (total >= kReadPerRound) {
      pump_later();
      return;
    }
    std::size_t got = 0;
    Socket::Io result = socket_->read(scratch, kScratch, got);
    if (result == Socket::Io::kAgain) return;
    if (result == Socket::Io::kDone) {
      total += got;
      parse({scratch, got});
      continue;
    }
    if (channel_) {
      end_channel();
      return;
    }
    const bool answering = phase_ == ClientConnectionPhase::kAnswerHead || phase_ == ClientConnectionPhase::kAnswerBody;
    if (answering && result == Socket::Io::kEnd) {
      parser_->end_of_input();
      if (parser_->complete()) {
        complete_answer();
        return;
      }
    }
    fail(result == Socket::Io::kEnd ? "the server closed the connection" : socket_->failure());
    return;
  }
}

void ClientConnection::parse(std::string_view bytes) {
  if (channel_) {
    if (!channel_->read) return;
    auto read = std::move(channel_->read);
    channel_->read = nullptr;
    read(bytes);
    if (!channel_->read && phase_ != ClientConnectionPhase::kUpgradedClosing) channel_->read = std::move(read);
    return;
  }
  if (phase_ == ClientConnectionPhase::kIdle) {
    fail("the server sent bytes without a request");
    return;
  }
  advance(ClientConnectionEvent::kAnswerBytes);
  std::string joined;
  if (!input_.empty()) {
    joined.swap(input_);
    joined.append(bytes);
    bytes = joined;
  }
  auto pending = pending_;
  while (!bytes.empty() && !parser_->complete() && !parser_->failed() && !closed()) {
    std::size_t used = parser_->feed(bytes);
    bytes.remove_prefix(used);
    if (phase_ == ClientConnectionPhase::kAnswerHead && parser_->head_complete() && !parser_->failed()) {
      advance(ClientConnectionEvent::kHeadReceived);
      if (pending->streams() && pending->live() && pending->head) pending->head(parser_->head());
      continue;
    }
    if (used == 0) break;
  }
  if (closed()) return;
  if (parser_->failed()) {
    fail(parser_->error_text());
  } else if (phase_ == ClientConnectionPhase::kAnswerTooLarge) {
    fail("the answer is larger than " + std::to_string(pending->request.max_body) + " bytes");
  } else {
    input_.assign(bytes);
    if (parser_->complete()) complete_answer();
  }
}

void ClientConnection::add_to_body(std::string_view bytes) {
  if (phase_ == ClientConnectionPhase::kAnswerTooLarge || closed() || !pending_ || !pending_->live()) return;
  if (pending_->streams()) {
    // Both are held here, since the callback may abort the request.
    auto pending = pending_;
    auto data = std::move(pending->data);
    data(bytes);
    if (pending->live()) pending->data = std::move(data);
    return;
  }
  if (body_.size() + bytes.size() > pending_->request.max_body) {
    advance(ClientConnectionEvent::kBodyTooLarge);
    return;
  }
  body_.append(bytes);
}

void ClientConnection::complete_answer() {
  auto self = shared_from_this();
  auto pending = std::move(pending_);
  pending_.reset();
  ++answers_;
  Response response = std::move(parser_->head());
  response.body = std::move(body_);
  body_ = std::string();
  bool upgraded = pending->upgraded && response.status == 101;
  bool reusable =
      !upgraded && response.status != 101 && parser_->keep_alive() && out_.empty() && input_.empty() && !output_failed_;
  owner_->mark_done(pending);
  auto done = std::move(pending->done);
  auto end = std::move(pending->end);
  auto on_upgrade = std::move(pending->upgraded);
  if (upgraded) {
    owner_->remove(self);
    owner_ = nullptr;
    channel_ = std::make_unique<ChannelCallbacks>();
    advance(ClientConnectionEvent::kUpgraded);
    on_upgrade(Client::Upgraded{std::move(response), std::make_unique<ClientChannel>(self)});
    return;
  }
  // A request that is not completely out, or bytes after the answer, would be taken for parts of the next exchange.
  if (reusable) {
    idle_since_ = loop_.monotonic();
    parser_.reset();
    advance(ClientConnectionEvent::kAnswered);
    owner_->add_idle(self);
  } else {
    close();
  }
  // Last: a callback may destroy the client, or send a request on this connection.
  if (done) done(std::move(response));
  if (end) end(ok_status());
  if (on_upgrade) on_upgrade(Client::Upgraded{std::move(response), nullptr});
}

void ClientConnection::fail(const std::string& why) {
  auto self = shared_from_this();
  if (channel_) {
    end_channel();
    return;
  }
  const ClientConnectionPhase phase = phase_;
  auto pending = std::move(pending_);
  pending_.reset();
  ClientImpl* owner = owner_;
  close();
  if (!pending || !pending->live() || !owner) return;
  // A server may close an idle connection in the moment in which the client sends a request on it. Without a byte of an
  // answer that is the likely reason; sending the request again is safe where it changes nothing.
  bool changes_nothing = pending->request.method == "GET" || pending->request.method == "HEAD";
  if (phase == ClientConnectionPhase::kSent && reused() && changes_nothing) {
    pending->advance(PendingRequestEvent::kConnectionLost);
    owner->dispatch(pending);
    return;
  }
  std::string text =
      pending->request.method + " " + pending->request.target + " at " + owner->endpoint().address + ": " + why;
  Code code = phase == ClientConnectionPhase::kAnswerTooLarge ? Code::kTooLarge
              : is_unconnected(phase)                         ? Code::kUnavailable
                                                              : Code::kUnknown;
  owner->fail(pending, error(code, text));
}

void ClientConnection::end_channel() {
  close();
  if (!channel_->closed) return;
  Task closed = std::move(channel_->closed);
  channel_->closed = nullptr;
  closed();
}

void ClientConnection::close() {
  if (closed()) return;
  const bool established = !is_unconnected(phase_);
  advance(ClientConnectionEvent::kClosed);
  if (connect_timer_ != 0) loop_.cancel(connect_timer_);
  connect_timer_ = 0;
  if (socket_) {
    loop_.unwatch_fd(socket_->fd());
    if (established && out_.empty()) socket_->shutdown_write();
    ::shutdown(socket_->fd(), SHUT_RDWR);
  }
  out_.clear();
  if (owner_) {
    ClientImpl* owner = owner_;
    owner_ = nullptr;
    // The set may hold the last reference.
    owner->remove(shared_from_this());
  }
}

// --- Client

std::unique_ptr<Stream> ClientImpl::stream(ClientRequest request, Function<void(const Response&)> head,
                                           Function<void(std::string_view)> data, Function<void(Status)> end) {
  auto pending = std::make_shared<PendingRequest>();
  pending->head = std::move(head);
  pending->data = std::move(data);
  pending->end = std::move(end);
  auto stream = std::make_unique<StreamImpl>(weak(), pending);
  submit(std::move(pending), std::move(request));
  return stream;
}

void ClientImpl::submit(std::shared_ptr<PendingRequest> pending, ClientRequest request) {
  BERTH_CHECK(loop_.on_loop(), "an HTTP client is used off its loop thread");
  pending->request = std::move(request);
  pending_.insert(pending);
  if (pending->request.timeout) {
    pending->timer = loop_.after(*pending->request.timeout, [weak = weak(), pending] {
      auto self = weak.lock();
      if (!self || !pending->live()) return;
      pending->timer = 0;
      ClientImpl& client = **self;
      if (pending->connection) pending->connection->close();
      client.fail(pending, error(Code::kTimeout, pending->request.method + " " + pending->request.target + " at " +
                                                     client.endpoint_.address + ": no complete answer in time"));
    });
  }
  dispatch(pending);
}

void ClientImpl::dispatch(const std::shared_ptr<PendingRequest>& pending) {
  auto connection = idle_connection();
  if (!connection) {
    Status opened = ok_status();
    if (endpoint_.tls && !context_) {
      auto context = make_client_context(endpoint_);
      if (context.ok()) {
        context_ = *context;
      } else {
        opened = context.error();
      }
    }
    connection = std::make_shared<ClientConnection>(this, loop_);
    if (opened.ok()) {
      opened = connection->open(endpoint_, context_.get());
      connections_.insert(connection);
    }
    if (!opened.ok()) {
      connection->close();
      // Callbacks never run within the caller's call.
      Error why = error(Code::kUnavailable, opened.error().message);
      loop_.post([weak = weak(), pending, why] {
        auto self = weak.lock();
        if (self && pending->live()) (*self)->fail(pending, why);
      });
      return;
    }
  }
  connection->send(pending);
  connection->pump_later();
}

std::shared_ptr<ClientConnection> ClientImpl::idle_connection() {
  while (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->closed()) continue;
    if (loop_.monotonic() - connection->idle_since() < kIdleTime) return connection;
    connection->close();
  }
  return nullptr;
}

void ClientImpl::add_idle(const std::shared_ptr<ClientConnection>& connection) {
  std::erase_if(idle_, [](const auto& other) { return other->closed(); });
  if (idle_.size() >= kIdleConnections) {
    auto oldest = idle_.front();
    idle_.erase(idle_.begin());
    oldest->close();
  }
  idle_.push_back(connection);
}

void ClientImpl::remove(const std::shared_ptr<ClientConnection>& connection) {
  connections_.erase(connection);
  std::erase(idle_, connection);
}

void ClientImpl::mark_done(const std::shared_ptr<PendingRequest>& pending) {
  pending->advance(PendingRequestEvent::kDone);
  pending_.erase(pending);
  cancel_timer(*pending);
}

void ClientImpl::fail(const std::shared_ptr<PendingRequest>& pending, Error why) {
  if (!pending->live()) return;
  mark_done(pending);
  auto done = std::move(pending->done);
  auto end = std::move(pending->end);
  auto upgraded = std::move(pending->upgraded);
  discard(*pending);
  if (done) done(why);
  if (end) end(why);
  if (upgraded) upgraded(why);
}

void ClientImpl::abort(const std::shared_ptr<PendingRequest>& pending) {
  BERTH_CHECK(loop_.on_loop(), "a stream of an HTTP client is destroyed off its loop thread");
  if (!pending->live()) return;
  ClientConnection* connection = pending->connection;
  mark_done(pending);
  if (connection) connection->close();
}

}  // namespace

std::unique_ptr<Client> make_client(Loop& loop, Endpoint endpoint) {
  return std::make_unique<ClientImpl>(loop, std::move(endpoint));
}

}  // namespace berth::http

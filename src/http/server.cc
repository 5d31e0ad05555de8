#include "http/server.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <deque>

#include "base/text.h"
#include "http/message.h"
#include "http/socket_address.h"
#include "http/transport.h"
#include "http/unread.h"
#include "http/wire.h"

namespace berth::http {

namespace {

// The loop's half of a server: hands requests to the handler, collects commands and sends them in batches. Loop thread
// only, but for post(); outlives the Server while exchanges do.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Runtime& runtime, Handler handler, const Config& config)
      : totals(std::make_shared<Totals>()), runtime_(runtime), handler_(std::make_shared<const Handler>(std::move(handler))),
        screen_(std::make_shared<const std::function<bool(Exchange&)>>(config.screen)), max_unread_(config.max_unread),
        busy_(render_error(config, 429, "too many requests, please try again later")) {}

  void deliver(std::vector<Event> events, Lender& lender) {  // any thread
    runtime_.lend([self = shared_from_this(), events = std::move(events)]() mutable { self->handle(events); }, &lender);
  }
  void send(Command command, std::size_t transport) {
    if (!open_) return;
    outbox_[transport].push_back(std::move(command));
    if (handling_ || flush_posted_) return;
    flush_posted_ = true;
    runtime_.post([self = shared_from_this()] {
      self->flush_posted_ = false;
      self->flush();
    });
  }
  Runtime& runtime() { return runtime_; }
  bool open() const { return open_; }

  // More is on its way to peers that do not take it than memory is given for.
  bool too_much_unread() const { return totals->unread->bytes.load() > max_unread_; }
  bool over_share(const UnreadAccount& account) const { return account.over_share(max_unread_); }
  UnreadAccountPtr account(const Wire& wire, std::shared_ptr<UnreadOfUser> user) const {
    return std::make_shared<const UnreadAccount>(UnreadAccount{totals->unread, std::move(user), wire.load->unread});
  }
  UnreadUsers& users() { return users_; }

  const std::shared_ptr<Totals> totals;
  std::vector<std::unique_ptr<Transport>> transports;
  void opened() { outbox_.resize(transports.size()); }
  void close() {
    flush();
    open_ = false;
    transports.clear();
    handler_.reset();
    screen_.reset();
  }

 private:
  void handle(std::vector<Event>& events);
  void take_head(Event& event);
  void take_request(Event& event, const Handler& handler);
  void flush() {
    if (!open_) return;
    for (std::size_t i = 0; i < outbox_.size(); ++i) {
      if (outbox_[i].empty()) continue;
      transports[i]->send(std::move(outbox_[i]));
      outbox_[i].clear();
    }
  }

  Runtime& runtime_;
  std::shared_ptr<const Handler> handler_;  // shared, so that a handler may destroy the server it runs for
  std::shared_ptr<const std::function<bool(Exchange&)>> screen_;
  const std::size_t max_unread_;
  UnreadUsers users_;
  const Config::Rendered busy_;
  std::vector<std::vector<Command>> outbox_;
  bool open_ = true, handling_ = false, flush_posted_ = false;
};

Command make_command(Command::Kind kind, const Wire& wire) { return Command{kind, wire.connection, wire.stream, 0, {}, {}}; }

// Runs a callback that may destroy the object it is kept in, or replace itself.
template <class F, class... Args>
void call_kept(Wire& wire, LoopEnd* self, F& kept, Args&&... args) {
  if (!kept) return;
  F callback = std::move(kept);
  kept = nullptr;
  callback(std::forward<Args>(args)...);
  if (wire.end == self && !kept) kept = std::move(callback);
}

std::size_t size_of(const std::vector<Piece>& pieces) {
  std::size_t size = 0;
  for (const Piece& piece : pieces) size += piece.bytes.size();
  return size;
}

class ChannelEnd final : public Channel, public LoopEnd {
 public:
  // `account` is null where nothing is bounded.
  ChannelEnd(std::shared_ptr<Core> core, std::shared_ptr<Wire> wire, UnreadAccountPtr account)
      : core_(std::move(core)), wire_(std::move(wire)), account_(std::move(account)) {
    wire_->end = this;
  }
  ~ChannelEnd() override {
    wire_->end = nullptr;
    close();
  }

  void on_read(Function<void(std::string_view)> read) override {
    read_ = std::move(read);
    later();
  }
  void on_close(Task closed) override {
    closed_ = std::move(closed);
    if (gone_) later();
  }
  void write(std::string bytes) override {
    if (gone_ || closing_ || bytes.empty()) return;
    std::size_t left = wire_->backlog.fetch_add(bytes.size()) + bytes.size();
    if (left > kLowWater && account_ && core_->over_share(*account_)) {
      // The peer does not keep up; closed() tells the owner.
      closing_ = true;
      return core_->send(make_command(Command::Kind::kAbandon, *wire_), wire_->transport);
    }
    Command command = make_command(Command::Kind::kWrite, *wire_);
    command.pieces.push_back(Piece::of(std::move(bytes)));
    if (account_) charge(account_, command.pieces);
    core_->send(std::move(command), wire_->transport);
    if (left > kLowWater) wire_->wants_drain.store(true);
  }
  std::size_t backlog() const override { return gone_ ? 0 : wire_->backlog.load(); }
  void on_drain(Task drained) override { drained_ = std::move(drained); }
  void pause_reading(bool pause) override {
    paused_ = pause;
    if (!pause) later();
  }
  void close() override {
    if (gone_ || closing_) return;
    closing_ = true;
    core_->send(make_command(Command::Kind::kClose, *wire_), wire_->transport);
  }

  // LoopEnd
  void drained() override { call_kept(*wire_, this, drained_); }
  void data(std::string bytes) override {
    waiting_.push_back(std::move(bytes));
    give();
  }
  void closed() override {
    gone_ = true;
    give();
  }

 private:
  // Not from within the caller's own call.
  void later() {
    if (waiting_.empty() && !gone_) return;
    core_->runtime().post([core = core_, wire = wire_] {
      if (wire->end && core->open()) static_cast<ChannelEnd*>(wire->end)->give();
    });
  }
  void give() {
    if (giving_) return;
    giving_ = true;
    std::shared_ptr<Wire> wire = wire_;
    while (read_ && !paused_ && !waiting_.empty()) {
      std::string bytes = std::move(waiting_.front());
      waiting_.pop_front();
      consumed(bytes.size());
      call_kept(*wire, this, read_, std::string_view(bytes));
      if (wire->end != this) return;
    }
    giving_ = false;
    if (gone_ && closed_ && (waiting_.empty() || !read_)) {
      Task closed = std::move(closed_);
      closed_ = nullptr;
      closed();
    }
  }
  void consumed(std::size_t bytes) {
    std::size_t left = wire_->unread.fetch_sub(bytes) - bytes;
    if (left < kReadWindow / 2 && wire_->read_stopped.load() && wire_->read_stopped.exchange(false)) {
      core_->send(make_command(Command::Kind::kResumeReading, *wire_), wire_->transport);
    }
  }

  std::shared_ptr<Core> core_;
  std::shared_ptr<Wire> wire_;
  const UnreadAccountPtr account_;
  Function<void(std::string_view)> read_;
  Task closed_, drained_;
  std::deque<std::string> waiting_;
  bool paused_ = false, gone_ = false, closing_ = false, giving_ = false;
};

class ExchangeEnd final : public Exchange, public LoopEnd {
 public:
  ExchangeEnd(std::shared_ptr<Core> core, std::shared_ptr<Wire> wire, std::unique_ptr<Request> request)
      : core_(std::move(core)), wire_(std::move(wire)), request_(std::move(request)), account_(core_->account(*wire_, nullptr)) {
    wire_->end = this;
  }
  ~ExchangeEnd() override {
    if (wire_->end == this) wire_->end = nullptr;
    wire_->load->live.fetch_sub(1);
    // Also where the peer has said that it sends no more: it may still read.
    if (!done_) core_->send(make_command(Command::Kind::kAbandon, *wire_), wire_->transport);
  }

  const Request& request() const override { return *request_; }

  void belongs_to(const std::string& user) override { account_ = core_->account(*wire_, core_->users().of(user)); }
  bool over_share() const override { return !request_->peer.unix_socket && core_->over_share(*account_); }
  Piece shared(std::shared_ptr<const std::string> text, std::size_t bytes) const override {
    std::shared_ptr<const void> owner = charge_shared(*account_, text, bytes);
    return Piece{std::move(owner), *text};
  }

  void respond(int status, Headers headers, std::vector<Piece> body) override {
    if (done_ || started_) return;
    done_ = true;
    Command command = make_command(Command::Kind::kRespond, *wire_);
    command.status = status;
    command.headers = std::move(headers);
    command.pieces = std::move(body);
    charge(account_, command.pieces);
    core_->send(std::move(command), wire_->transport);
  }

  // The head has been looked at: the transport goes on with the body, and the handler gets another exchange.
  void proceed() {
    if (done_ || started_) return;
    done_ = true;
    core_->send(make_command(Command::Kind::kProceed, *wire_), wire_->transport);
  }

  void start(int status, Headers headers) override {
    if (done_ || started_) return;
    started_ = true;
    Command command = make_command(Command::Kind::kStart, *wire_);
    command.status = status;
    command.headers = std::move(headers);
    core_->send(std::move(command), wire_->transport);
  }

  bool write(std::vector<Piece> pieces) override {
    if (done_ || !started_) return true;
    std::size_t size = size_of(pieces);
    if (size == 0) return true;
    std::size_t left = wire_->backlog.fetch_add(size) + size;
    if (left > kLowWater && over_share()) {
      cut_off();
      return false;
    }
    Command command = make_command(Command::Kind::kWrite, *wire_);
    command.pieces = std::move(pieces);
    charge(account_, command.pieces);
    core_->send(std::move(command), wire_->transport);
    if (left <= kHighWater) return true;
    wire_->wants_drain.store(true);
    // The socket may have taken it all before it could see that somebody waits.
    return wire_->backlog.load() <= kLowWater && wire_->wants_drain.exchange(false);
  }

  void on_drain(Task drained) override { drained_ = std::move(drained); }

  void finish() override {
    if (done_ || !started_) return;
    done_ = true;
    core_->send(make_command(Command::Kind::kFinish, *wire_), wire_->transport);
  }

  void on_close(Task closed) override {
    closed_ = std::move(closed);
    if (!gone_ || done_) return;
    core_->runtime().post([core = core_, wire = wire_] {
      if (wire->end && core->open()) wire->end->closed();
    });
  }

  Result<std::unique_ptr<Channel>> upgrade(Headers headers) override {
    if (!wire_->upgradable) {
      return error(Code::kBadRequest, "unable to upgrade: the request does not ask for it over HTTP/1.1");
    }
    if (done_ || started_) return error(Code::kInternal, "the request has been answered already");
    if (gone_) return error(Code::kUnavailable, "the client is gone");
    done_ = true;
    Command command = make_command(Command::Kind::kUpgrade, *wire_);
    command.headers = std::move(headers);
    core_->send(std::move(command), wire_->transport);
    return std::unique_ptr<Channel>(std::make_unique<ChannelEnd>(core_, wire_, request_->peer.unix_socket ? nullptr : account_));
  }

  // LoopEnd
  void drained() override {
    if (!done_) call_kept(*wire_, this, drained_);
  }
  void closed() override {
    gone_ = true;
    if (!done_) tell_closed();
  }
  void data(std::string) override {}

 private:
  // The peer does not keep up, and there is no memory to wait for it: what it has not taken is lost.
  void cut_off() {
    done_ = true;
    core_->send(make_command(Command::Kind::kAbandon, *wire_), wire_->transport);
    if (!closed_) return;
    core_->runtime().post([core = core_, wire = wire_] {
      if (wire->end && core->open()) static_cast<ExchangeEnd*>(wire->end)->tell_closed();
    });
  }
  void tell_closed() {
    gone_ = true;
    if (!closed_) return;
    Task closed = std::move(closed_);
    closed_ = nullptr;
    closed();
  }

  std::shared_ptr<Core> core_;
  std::shared_ptr<Wire> wire_;
  std::unique_ptr<Request> request_;
  UnreadAccountPtr account_;
  Task drained_, closed_;
  bool started_ = false, done_ = false, gone_ = false;
};

void Core::take_head(Event& event) {
  ExchangeEnd head(shared_from_this(), event.wire, std::move(event.request));
  auto screen = screen_;
  if ((*screen)(head)) head.proceed();
}

void Core::take_request(Event& event, const Handler& handler) {
  auto exchange = std::make_shared<ExchangeEnd>(shared_from_this(), event.wire, std::move(event.request));
  if (too_much_unread() && !exchange->request().peer.unix_socket) {
    exchange->respond(429, {{"content-type", busy_.content_type}, {"retry-after", "1"}}, {Piece::of(busy_.body)});
    return;
  }
  handler(std::move(exchange));
}

void Core::handle(std::vector<Event>& events) {
  if (!open_) return;
  auto self = shared_from_this();
  auto handler = handler_;
  handling_ = true;
  for (Event& event : events) {
    if (!open_) break;
    LoopEnd* end = event.wire->end;
    switch (event.kind) {
      case Event::Kind::kHead: take_head(event); break;
      case Event::Kind::kRequest: take_request(event, *handler); break;
      case Event::Kind::kData:
        if (end) end->data(std::move(event.data));
        break;
      case Event::Kind::kDrained:
        if (end) end->drained();
        break;
      case Event::Kind::kClosed:
        if (end) end->closed();
        break;
    }
  }
  handling_ = false;
  flush();
}

class ServerImpl final : public Server {
 public:
  ServerImpl(Runtime& runtime, Handler handler, Config config)
      : config_(std::move(config)), core_(std::make_shared<Core>(runtime, std::move(handler), config_)) {}
  ~ServerImpl() override {
    core_->close();
    for (const std::string& path : paths_) ::unlink(path.c_str());
  }

  Result<std::string> listen(const std::string& address, std::optional<TlsConfig> tls) override {
    BERTH_ASSIGN(SocketAddress to, parse_address(address));
    BERTH_ASSIGN(Fd fd, bind_and_listen(to));
    BERTH_ASSIGN(std::string real, local_address(fd.get()));
    BERTH_TRY(add(std::move(fd), tls));
    if (to.is_unix()) {
      paths_.push_back(to.unix_path());
      return address;
    }
    return real;
  }

  Result<void> listen_fd(int fd, std::optional<TlsConfig> tls) override {
    Fd own(fd);
    return add(std::move(own), tls);
  }

  Status replace_certificate(const TlsConfig& tls) override {
    BERTH_ASSIGN(SslContext context, make_server_context(tls));
    for (auto& listener : listeners_) {
      if (listener->tls()) listener->set_context(context);
    }
    return ok_status();
  }

 private:
  Status add(Fd fd, const std::optional<TlsConfig>& tls) {
    BERTH_TRY(start());
    sockaddr_storage name{};
    socklen_t size = sizeof name;
    if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &size) != 0) return errno_error("getsockname");
    BERTH_TRY(make_non_blocking(fd.get()));
    auto listener = std::make_shared<Listener>(std::move(fd), name.ss_family == AF_UNIX, tls.has_value());
    if (tls) {
      BERTH_ASSIGN(SslContext context, make_server_context(*tls));
      listener->set_context(std::move(context));
    }
    listeners_.push_back(listener);
    for (auto& transport : core_->transports) transport->add_listener(listener);
    return ok_status();
  }

  Status start() {
    if (!core_->transports.empty()) return ok_status();
    std::vector<std::unique_ptr<Transport>> transports;
    for (int i = 0; i < std::max(1, config_.transport_threads); ++i) {
      transports.push_back(std::make_unique<Transport>(
          static_cast<std::size_t>(i), config_, core_->totals,
          [core = core_](std::vector<Event> events, Lender& lender) { core->deliver(std::move(events), lender); }));
      BERTH_TRY(transports.back()->start());
    }
    core_->transports = std::move(transports);
    core_->opened();
    return ok_status();
  }

  Config config_;
  std::shared_ptr<Core> core_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::string> paths_;
};

}  // namespace

std::unique_ptr<Server> make_server(Runtime& runtime, Handler handler, Config config) {
  return std::make_unique<ServerImpl>(runtime, std::move(handler), std::move(config));
}

}  // namespace berth::http

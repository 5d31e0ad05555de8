#include "http/server.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <deque>

#include "base/loop.h"
#include "base/phase.h"
#include "base/text.h"
#include "http/exchange_link.h"
#include "http/exchange_phase.h"
#include "http/message.h"
#include "http/socket_address.h"
#include "http/transport.h"
#include "http/unread.h"

namespace berth::http {

namespace {

// The loop's half of a server: passes requests to the handler, collects commands and sends them in batches. Loop thread
// only, except deliver(); outlives the Server as long as exchanges exist.
class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(Runtime& runtime, Handler handler, const ServerConfig& config)
      : totals(std::make_shared<ServerTotals>()),
        runtime_(runtime),
        handler_(std::make_shared<const Handler>(std::move(handler))),
        screen_(std::make_shared<const std::function<bool(Exchange&)>>(config.screen)),
        max_unread_(config.max_unread),
        busy_(render_error(config, 429, "too many requests, please try again later")) {}

  void deliver(std::vector<TransportEvent> events, IoHelper& helper) {  // any thread
    runtime_.run_or_post([self = shared_from_this(), events = std::move(events)]() mutable { self->handle(events); },
                         &helper);
  }
  // Every call of an Exchange or Channel that has an effect comes here, so the thread is checked here.
  void send(TransportCommand command, std::size_t transport) {
    affinity_.check();
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

  // Bytes of answers that peers have not read exceed the limit for all of them.
  bool too_much_unread() const { return totals->unread->bytes.load() > max_unread_; }
  bool over_share(const UnreadAccount& account) const { return account.over_share(max_unread_); }
  UnreadAccountPtr account(const ExchangeLink& link, std::shared_ptr<UnreadOfUser> user) const {
    return std::make_shared<const UnreadAccount>(
        UnreadAccount{totals->unread, std::move(user), link.open_exchanges->unread});
  }
  UnreadUsers& users() { return users_; }

  const std::shared_ptr<ServerTotals> totals;
  std::vector<std::unique_ptr<Transport>> transports;
  void opened() { outbox_.resize(transports.size()); }
  void close() {
    affinity_.check();
    flush();
    open_ = false;
    transports.clear();
    handler_.reset();
    screen_.reset();
  }

 private:
  void handle(std::vector<TransportEvent>& events);
  void screen_head(TransportEvent& event);
  void handle_request(TransportEvent& event, const Handler& handler);
  void flush() {
    if (!open_) return;
    for (std::size_t i = 0; i < outbox_.size(); ++i) {
      if (outbox_[i].empty()) continue;
      transports[i]->send(std::move(outbox_[i]));
      outbox_[i].clear();
    }
  }

  Runtime& runtime_;
  const LoopAffinity affinity_{runtime_};
  std::shared_ptr<const Handler> handler_;  // shared with handle(), so that a handler may destroy its server
  std::shared_ptr<const std::function<bool(Exchange&)>> screen_;
  const std::size_t max_unread_;
  UnreadUsers users_;
  const ServerConfig::Rendered busy_;
  std::vector<std::vector<TransportCommand>> outbox_;
  bool open_ = true, handling_ = false, flush_posted_ = false;
};

TransportCommand make_command(TransportCommand::Kind kind, const ExchangeLink& link) {
  return TransportCommand{kind, link.connection, link.stream, 0, {}, {}};
}

// As call_member() (base/lifetime.h), but the link says whether the object still exists: a Lifetime would be one more
// allocation for every exchange.
template <class F, class... Args>
void call_member(ExchangeLink& link, ExchangeHandler* self, F& member, Args&&... args) {
  if (!member) return;
  F callback = std::move(member);
  member = nullptr;
  callback(std::forward<Args>(args)...);
  if (link.handler == self && !member) member = std::move(callback);
}

std::size_t size_of(const std::vector<SharedBytes>& pieces) {
  std::size_t size = 0;
  for (const SharedBytes& piece : pieces) size += piece.bytes.size();
  return size;
}

class LoopChannel final : public Channel, public ExchangeHandler {
 public:
  // `account` is null where nothing is bounded.
  LoopChannel(std::shared_ptr<Core> core, std::shared_ptr<ExchangeLink> link, UnreadAccountPtr account)
      : core_(std::move(core)), link_(std::move(link)), account_(std::move(account)) {
    link_->handler = this;
  }
  ~LoopChannel() override {
    link_->handler = nullptr;
    close();
  }

  void on_read(Function<void(std::string_view)> read) override {
    read_ = std::move(read);
    deliver_later();
  }
  void on_close(Task closed) override {
    closed_ = std::move(closed);
    if (phase_ == ChannelPhase::kClosed) deliver_later();
  }
  void write(std::string bytes) override {
    if (phase_ != ChannelPhase::kOpen || bytes.empty()) return;
    std::size_t left = link_->backlog.fetch_add(bytes.size()) + bytes.size();
    if (left > kLowWater && account_ && core_->over_share(*account_)) {
      // The peer does not keep up; closed() is called once the transport has closed.
      advance(ChannelEvent::kCloseRequested);
      return core_->send(make_command(TransportCommand::Kind::kAbandon, *link_), link_->transport);
    }
    TransportCommand command = make_command(TransportCommand::Kind::kWrite, *link_);
    command.pieces.push_back(SharedBytes::of(std::move(bytes)));
    if (account_) charge(account_, command.pieces);
    core_->send(std::move(command), link_->transport);
    if (left > kLowWater) link_->wants_drain.store(true);
  }
  std::size_t backlog() const override { return phase_ == ChannelPhase::kClosed ? 0 : link_->backlog.load(); }
  void on_drain(Task drained) override { drained_ = std::move(drained); }
  void pause_reading(bool pause) override {
    paused_ = pause;
    if (!pause) deliver_later();
  }
  void close() override {
    if (phase_ != ChannelPhase::kOpen) return;
    advance(ChannelEvent::kCloseRequested);
    core_->send(make_command(TransportCommand::Kind::kClose, *link_), link_->transport);
  }

  // ExchangeHandler
  void drained() override { call_member(*link_, this, drained_); }
  void data(std::string bytes) override {
    undelivered_.push_back(std::move(bytes));
    deliver();
  }
  void closed() override {
    advance(ChannelEvent::kPeerGone);
    deliver();
  }

 private:
  void advance(ChannelEvent event) { phase_.apply(event); }
  // Callbacks never run within a call of the channel's owner.
  void deliver_later() {
    if (undelivered_.empty() && phase_ != ChannelPhase::kClosed) return;
    core_->runtime().post([core = core_, link = link_] {
      if (link->handler && core->open()) static_cast<LoopChannel*>(link->handler)->deliver();
    });
  }
  void deliver() {
    if (delivering_) return;
    delivering_ = true;
    std::shared_ptr<ExchangeLink> link = link_;
    while (read_ && !paused_ && !undelivered_.empty()) {
      std::string bytes = std::move(undelivered_.front());
      undelivered_.pop_front();
      subtract_unread(bytes.size());
      call_member(*link, this, read_, std::string_view(bytes));
      if (link->handler != this) return;  // the callback has destroyed this channel
    }
    delivering_ = false;
    // Bytes that came before the end are delivered first, where there is a callback for them.
    if (phase_ == ChannelPhase::kClosed && closed_ && (undelivered_.empty() || !read_)) {
      Task closed = std::move(closed_);
      closed_ = nullptr;
      closed();
    }
  }
  void subtract_unread(std::size_t bytes) {
    std::size_t left = link_->unread.fetch_sub(bytes) - bytes;
    if (left < kReadWindow / 2 && link_->read_stopped.load() && link_->read_stopped.exchange(false)) {
      core_->send(make_command(TransportCommand::Kind::kResumeReading, *link_), link_->transport);
    }
  }

  std::shared_ptr<Core> core_;
  std::shared_ptr<ExchangeLink> link_;
  const UnreadAccountPtr account_;
  Function<void(std::string_view)> read_;
  Task closed_, drained_;
  std::deque<std::string> undelivered_;
  Phase<ChannelPhase, ChannelEvent> phase_{ChannelPhase::kOpen};
  bool paused_ = false;      // as the owner asked, in any phase
  bool delivering_ = false;  // within deliver(): a loop run inside a callback must not deliver out of order
};

class LoopExchange final : public Exchange, public ExchangeHandler {
 public:
  LoopExchange(std::shared_ptr<Core> core, std::shared_ptr<ExchangeLink> link, std::unique_ptr<Request> request)
      : core_(std::move(core)),
        link_(std::move(link)),
        request_(std::move(request)),
        account_(core_->account(*link_, nullptr)) {
    link_->handler = this;
  }
  ~LoopExchange() override {
    if (link_->handler == this) link_->handler = nullptr;
    link_->open_exchanges->count.fetch_sub(1);
    // Also after kPeerGone, which may mean only that the peer sends no more: it may still read.
    if (phase_ != ExchangePhase::kDone)
      core_->send(make_command(TransportCommand::Kind::kAbandon, *link_), link_->transport);
  }

  const Request& request() const override { return *request_; }

  void charge_to(const std::string& user) override {
    account_ = core_->account(*link_, core_->users().find_or_add(user));
  }
  bool over_share() const override { return !request_->peer.unix_socket && core_->over_share(*account_); }
  SharedBytes shared(std::shared_ptr<const std::string> text, std::size_t bytes) const override {
    std::shared_ptr<const void> owner = charge_shared(*account_, text, bytes);
    return SharedBytes{std::move(owner), *text};
  }

  void respond(int status, Headers headers, std::vector<SharedBytes> body) override {
    if (!is_unanswered(phase_)) return;
    advance(ExchangeEvent::kAnswered);
    TransportCommand command = make_command(TransportCommand::Kind::kRespond, *link_);
    command.status = status;
    command.headers = std::move(headers);
    command.pieces = std::move(body);
    charge(account_, command.pieces);
    core_->send(std::move(command), link_->transport);
  }

  // For an exchange that is a head (ServerConfig::screen): the transport reads the body, and the handler gets another
  // exchange.
  void proceed() {
    if (!is_unanswered(phase_)) return;
    advance(ExchangeEvent::kAnswered);
    core_->send(make_command(TransportCommand::Kind::kProceed, *link_), link_->transport);
  }

  void start(int status, Headers headers) override {
    if (!is_unanswered(phase_)) return;
    advance(ExchangeEvent::kStarted);
    TransportCommand command = make_command(TransportCommand::Kind::kStart, *link_);
    command.status = status;
    command.headers = std::move(headers);
    core_->send(std::move(command), link_->transport);
  }

  bool write(std::vector<SharedBytes> pieces) override {
    if (!is_streaming(phase_)) return true;
    std::size_t size = size_of(pieces);
    if (size == 0) return true;
    std::size_t left = link_->backlog.fetch_add(size) + size;
    if (left > kLowWater && over_share()) {
      cut_off();
      return false;
    }
    TransportCommand command = make_command(TransportCommand::Kind::kWrite, *link_);
    command.pieces = std::move(pieces);
    charge(account_, command.pieces);
    core_->send(std::move(command), link_->transport);
    if (left <= kHighWater) return true;
    link_->wants_drain.store(true);
    // The transport may have sent everything before it could see wants_drain.
    return link_->backlog.load() <= kLowWater && link_->wants_drain.exchange(false);
  }

  void on_drain(Task drained) override { drained_ = std::move(drained); }

  void finish() override {
    if (!is_streaming(phase_)) return;
    advance(ExchangeEvent::kFinished);
    core_->send(make_command(TransportCommand::Kind::kFinish, *link_), link_->transport);
  }

  void on_close(Task closed) override {
    closed_ = std::move(closed);
    if (!is_peer_gone(phase_)) return;
    core_->runtime().post([core = core_, link = link_] {
      if (link->handler && core->open()) link->handler->closed();
    });
  }

  Result<std::unique_ptr<Channel>> upgrade(Headers headers) override {
    if (!link_->upgradable) {
      return error(Code::kBadRequest, "unable to upgrade: the request does not ask for it over HTTP/1.1");
    }
    if (!is_unanswered(phase_)) return error(Code::kInternal, "the request has been answered already");
    if (is_peer_gone(phase_)) return error(Code::kUnavailable, "the client is gone");
    advance(ExchangeEvent::kUpgraded);
    TransportCommand command = make_command(TransportCommand::Kind::kUpgrade, *link_);
    command.headers = std::move(headers);
    core_->send(std::move(command), link_->transport);
    return std::unique_ptr<Channel>(
        std::make_unique<LoopChannel>(core_, link_, request_->peer.unix_socket ? nullptr : account_));
  }

  // ExchangeHandler
  void drained() override {
    if (phase_ != ExchangePhase::kDone) call_member(*link_, this, drained_);
  }
  void closed() override {
    advance(ExchangeEvent::kPeerGone);
    if (phase_ != ExchangePhase::kDone) call_closed();
  }
  void data(std::string) override {}

 private:
  void advance(ExchangeEvent event) { phase_.apply(event); }
  // The peer reads too slowly, and its share of memory is used up: the rest of the answer is dropped.
  void cut_off() {
    advance(ExchangeEvent::kCutOff);
    core_->send(make_command(TransportCommand::Kind::kAbandon, *link_), link_->transport);
    if (!closed_) return;
    core_->runtime().post([core = core_, link = link_] {
      if (link->handler && core->open()) static_cast<LoopExchange*>(link->handler)->call_closed();
    });
  }
  void call_closed() {
    if (!closed_) return;
    Task closed = std::move(closed_);
    closed_ = nullptr;
    closed();
  }

  std::shared_ptr<Core> core_;
  std::shared_ptr<ExchangeLink> link_;
  std::unique_ptr<Request> request_;
  UnreadAccountPtr account_;
  Task drained_, closed_;
  Phase<ExchangePhase, ExchangeEvent> phase_{ExchangePhase::kUnanswered};
};

void Core::screen_head(TransportEvent& event) {
  LoopExchange head(shared_from_this(), event.link, std::move(event.request));
  auto screen = screen_;
  if ((*screen)(head)) head.proceed();
}

void Core::handle_request(TransportEvent& event, const Handler& handler) {
  auto exchange = std::make_shared<LoopExchange>(shared_from_this(), event.link, std::move(event.request));
  if (too_much_unread() && !exchange->request().peer.unix_socket) {
    exchange->respond(429, {{"content-type", busy_.content_type}, {"retry-after", "1"}}, {SharedBytes::of(busy_.body)});
    return;
  }
  handler(std::move(exchange));
}

void Core::handle(std::vector<TransportEvent>& events) {
  if (!open_) return;
  auto self = shared_from_this();
  auto handler = handler_;
  handling_ = true;
  for (TransportEvent& event : events) {
    if (!open_) break;
    ExchangeHandler* target = event.link->handler;
    switch (event.kind) {
      case TransportEvent::Kind::kHead: screen_head(event); break;
      case TransportEvent::Kind::kRequest: handle_request(event, *handler); break;
      case TransportEvent::Kind::kData:
        if (target) target->data(std::move(event.data));
        break;
      case TransportEvent::Kind::kDrained:
        if (target) target->drained();
        break;
      case TransportEvent::Kind::kClosed:
        if (target) target->closed();
        break;
    }
  }
  handling_ = false;
  flush();
}

class ServerImpl final : public Server {
 public:
  ServerImpl(Runtime& runtime, Handler handler, ServerConfig config)
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
      transports.push_back(
          std::make_unique<Transport>(static_cast<std::size_t>(i), config_, core_->totals,
                                      [core = core_](std::vector<TransportEvent> events, IoHelper& helper) {
                                        core->deliver(std::move(events), helper);
                                      }));
      BERTH_TRY(transports.back()->start());
    }
    core_->transports = std::move(transports);
    core_->opened();
    return ok_status();
  }

  ServerConfig config_;
  std::shared_ptr<Core> core_;
  std::vector<std::shared_ptr<Listener>> listeners_;
  std::vector<std::string> paths_;
};

}  // namespace

std::unique_ptr<Server> make_server(Runtime& runtime, Handler handler, ServerConfig config) {
  return std::make_unique<ServerImpl>(runtime, std::move(handler), std::move(config));
}

}  // namespace berth::http

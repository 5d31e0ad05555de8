#include "http/client.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstring>
#include <unordered_set>

#include "base/text.h"
#include "crypto/openssl_error.h"
#include "http/http1_parser.h"
#include "http/message.h"
#include "http/socket.h"
#include "http/socket_address.h"
#include "http/tls.h"

namespace berth::http {

namespace {

constexpr Duration kIdleTime = std::chrono::seconds(60);
constexpr std::size_t kIdleConnections = 8;
constexpr std::size_t kReadPerRound = 512u << 10;
constexpr std::size_t kScratch = 64u << 10;
constexpr std::size_t kChannelLowWater = 256u << 10;

class ClientImpl;
class Link;

// One request on its way. Whoever waits for it holds it; `live` ends when nobody wants to hear of it any more.
struct Job {
  ClientRequest request;
  Function<void(Result<Response>)> done;  // send
  Function<void(const Response&)> head;   // stream
  Function<void(std::string_view)> data;
  Function<void(Status)> end;
  Function<void(Result<Client::Upgraded>)> upgraded;  // upgrade
  TimerId timer = 0;
  Link* link = nullptr;
  bool live = true, again = false;  // again: may be sent once more on a new connection
  bool paused = false;
  bool streams() const { return static_cast<bool>(end); }
};

// One connection. Kept alive by its owner (the client, or the channel it became) and by the callback that runs.
class Link : public std::enable_shared_from_this<Link> {
 public:
  Link(ClientImpl* owner, Loop& loop) : owner_(owner), loop_(loop) {}
  ~Link() { close(); }

  Status open(const Endpoint& endpoint, SSL_CTX* context);
  void begin(std::shared_ptr<Job> job);
  void pump();
  void close();
  void forget_owner() { owner_ = nullptr; }
  bool closed() const { return closed_; }
  bool reused() const { return answers_ > 0; }
  Duration idle_since() const { return idle_since_; }

  // --- Raw mode
  struct Raw {
    Function<void(std::string_view)> read;
    Task closed, drained;
    bool paused = false, closing = false, over = false, was_high = false;
  };
  Raw* raw() { return raw_.get(); }
  OutQueue& out() { return out_; }
  Loop& loop() { return loop_; }
  void pump_later();

 private:
  void connected();
  bool ready();
  void write_output();
  void read_input();
  void parse(std::string_view bytes);
  void feed(std::string_view bytes);
  void answered();
  void switch_to_raw();
  void broken(const std::string& why);
  void raw_over();

  ClientImpl* owner_;
  Loop& loop_;
  std::unique_ptr<Socket> socket_;
  OutQueue out_;
  std::string input_;  // of an answer, not parsed yet; then of the raw channel
  std::unique_ptr<ResponseParser> parser_;
  std::shared_ptr<Job> job_;
  std::unique_ptr<Raw> raw_;
  std::string body_;
  TimerId connect_timer_ = 0;
  Duration idle_since_{};
  int answers_ = 0;
  bool connecting_ = false, handshaking_ = false, closed_ = false, write_failed_ = false;
  bool too_large_ = false, head_told_ = false, got_some_ = false;
  bool posted_ = false;
};

class ClientImpl final : public Client {
 public:
  ClientImpl(Loop& loop, Endpoint endpoint) : loop_(loop), endpoint_(std::move(endpoint)) {}
  ~ClientImpl() override {
    for (const auto& link : links_) {
      link->forget_owner();
      link->close();
    }
    for (const auto& job : jobs_) drop(*job);
  }

  void send(ClientRequest request, Function<void(Result<Response>)> done) override {
    auto job = std::make_shared<Job>();
    job->done = std::move(done);
    begin(std::move(job), std::move(request));
  }
  std::unique_ptr<Stream> stream(ClientRequest request, Function<void(const Response&)> head,
                                 Function<void(std::string_view)> data, Function<void(Status)> end) override;
  void upgrade(ClientRequest request, Function<void(Result<Upgraded>)> done) override {
    auto job = std::make_shared<Job>();
    job->upgraded = std::move(done);
    begin(std::move(job), std::move(request));
  }

  const Endpoint& endpoint() const { return endpoint_; }
  void abort(const std::shared_ptr<Job>& job);
  void fail(const std::shared_ptr<Job>& job, Error why);
  void retry(const std::shared_ptr<Job>& job);
  void done_with(const std::shared_ptr<Job>& job);  // before its last callback
  void idle(const std::shared_ptr<Link>& link);
  void remove(const std::shared_ptr<Link>& link);

 private:
  void begin(std::shared_ptr<Job> job, ClientRequest request);
  void dispatch(const std::shared_ptr<Job>& job);
  std::shared_ptr<Link> idle_link();
  void drop(Job& job) {
    job.live = false;
    if (job.timer != 0) loop_.cancel(job.timer);
    job.timer = 0;
    job.done = nullptr;
    job.head = nullptr;
    job.data = nullptr;
    job.end = nullptr;
    job.upgraded = nullptr;
  }

  Loop& loop_;
  const Endpoint endpoint_;
  SslContext context_;
  std::unordered_set<std::shared_ptr<Link>> links_;
  std::vector<std::shared_ptr<Link>> idle_;
  std::unordered_set<std::shared_ptr<Job>> jobs_;
  // The alive mark lets posted tasks find out that the client is gone.
  std::shared_ptr<ClientImpl*> self_ = std::make_shared<ClientImpl*>(this);

 public:
  std::weak_ptr<ClientImpl*> weak() { return self_; }
};

class StreamImpl final : public Stream {
 public:
  StreamImpl(std::weak_ptr<ClientImpl*> client, std::shared_ptr<Job> job)
      : client_(std::move(client)), job_(std::move(job)) {}
  ~StreamImpl() override {
    if (auto client = client_.lock()) (*client)->abort(job_);
  }
  void pause_reading(bool pause) override {
    job_->paused = pause;
    if (!pause && job_->live && job_->link) job_->link->pump_later();
  }

 private:
  std::weak_ptr<ClientImpl*> client_;
  std::shared_ptr<Job> job_;
};

class ClientChannel final : public Channel {
 public:
  explicit ClientChannel(std::shared_ptr<Link> link) : link_(std::move(link)) {}
  ~ClientChannel() override {
    Link::Raw& raw = *link_->raw();
    raw.read = nullptr;
    raw.closed = nullptr;
    raw.drained = nullptr;
    if (raw.over || link_->closed()) return;
    // What was written still goes out; the link keeps itself alive until then, but not for ever.
    raw.closing = true;
    raw.paused = false;
    link_->loop().after(std::chrono::seconds(30), [link = link_] { link->close(); });
    link_->pump_later();
  }
  void on_read(Function<void(std::string_view)> read) override {
    link_->raw()->read = std::move(read);
    link_->pump_later();
  }
  void on_close(Task closed) override {
    link_->raw()->closed = std::move(closed);
    if (link_->raw()->over) link_->pump_later();
  }
  void write(std::string bytes) override {
    if (link_->closed() || link_->raw()->closing || bytes.empty()) return;
    link_->out().push(SharedBytes::of(std::move(bytes)));
    if (link_->out().bytes() > kChannelLowWater) link_->raw()->was_high = true;
    link_->pump_later();
  }
  std::size_t backlog() const override { return link_->out().bytes(); }
  void on_drain(Task drained) override { link_->raw()->drained = std::move(drained); }
  void pause_reading(bool pause) override {
    link_->raw()->paused = pause;
    if (!pause) link_->pump_later();
  }
  void close() override {
    link_->raw()->closing = true;
    link_->pump_later();
  }

 private:
  std::shared_ptr<Link> link_;
};

// --- Link

Status Link::open(const Endpoint& endpoint, SSL_CTX* context) {
  BERTH_ASSIGN(SocketAddress to, parse_address(endpoint.address));
  Fd fd(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("socket");
  if (!to.is_unix()) {
    int on = 1;
    setsockopt(fd.get(), 6 /* TCP */, 1 /* TCP_NODELAY */, &on, sizeof on);
    setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to.storage), to.size) != 0) {
    if (errno != EINPROGRESS) return errno_error("connecting to " + endpoint.address);
    connecting_ = true;
  }
  socket_ = std::make_unique<Socket>(std::move(fd), !to.is_unix());
  if (context) {
    if (!socket_->start_tls(context)) return error(Code::kInternal, crypto::openssl_error_text());
    BERTH_TRY(prepare_client(socket_->ssl(), endpoint));
    handshaking_ = true;
  }
  std::weak_ptr<Link> weak = weak_from_this();
  BERTH_TRY(loop_.watch_fd(socket_->fd(), Socket::interest(), [weak](std::uint32_t events) {
    if (auto self = weak.lock()) {
      if (self->closed_) return;
      self->socket_->note(events);
      if (self->connecting_ && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) self->connected();
      self->pump();
    }
  }));
  if (endpoint.connect_timeout && (connecting_ || handshaking_)) {
    connect_timer_ = loop_.after(*endpoint.connect_timeout, [weak] {
      auto self = weak.lock();
      if (!self) return;
      self->connect_timer_ = 0;
      if (self->connecting_ || self->handshaking_) self->broken("timed out");
    });
  }
  return ok_status();
}

void Link::connected() {
  int failure = 0;
  socklen_t size = sizeof failure;
  getsockopt(socket_->fd(), SOL_SOCKET, SO_ERROR, &failure, &size);
  if (failure != 0) {
    broken(std::strerror(failure));
    return;
  }
  connecting_ = false;
}

void Link::begin(std::shared_ptr<Job> job) {
  job_ = std::move(job);
  job_->link = this;
  ClientRequest& request = job_->request;
  bool upgrade = static_cast<bool>(job_->upgraded);
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
  got_some_ = too_large_ = head_told_ = false;
  body_.clear();
  parser_ = std::make_unique<ResponseParser>(request.method == "HEAD", [this](std::string_view bytes) { feed(bytes); });
}

void Link::pump_later() {
  if (posted_) return;
  posted_ = true;
  loop_.post([self = shared_from_this()] {
    self->posted_ = false;
    self->pump();
  });
}

bool Link::ready() {
  if (connecting_) return false;
  if (handshaking_) {
    Socket::Io result = socket_->handshake();
    if (result == Socket::Io::kAgain) return false;
    if (result != Socket::Io::kDone) {
      broken("TLS handshake: " + socket_->failure());
      return false;
    }
    handshaking_ = false;
  }
  if (connect_timer_ != 0) loop_.cancel(connect_timer_);
  connect_timer_ = 0;
  return true;
}

void Link::pump() {
  auto self = shared_from_this();
  if (raw_ && raw_->over && raw_->closed) raw_over();
  if (closed_ || !ready()) return;
  write_output();
  if (!closed_) read_input();
  if (!closed_ && !out_.empty()) write_output();
}

void Link::write_output() {
  std::size_t written = 0;
  if (!write_failed_ && !out_.empty()) {
    Socket::Io result = socket_->write(out_, written);
    if (result != Socket::Io::kDone && result != Socket::Io::kAgain) {
      // The answer may already be on its way (413, say): reading decides.
      write_failed_ = true;
      out_.clear();
    }
  }
  if (!raw_) return;
  if (write_failed_) {
    raw_over();
    return;
  }
  if (raw_->was_high && out_.bytes() <= kChannelLowWater) {
    raw_->was_high = false;
    if (raw_->drained) {
      Task drained = std::move(raw_->drained);
      raw_->drained = nullptr;
      drained();
      if (!raw_->drained && !closed_) raw_->drained = std::move(drained);
    }
  }
  if (raw_->closing && out_.empty() && !raw_->over) {
    socket_->shutdown_write();
    raw_over();
  }
}

void Link::read_input() {
  std::size_t total = 0;
  // Not the client's: a callback may destroy that while the bytes are being parsed.
  static thread_local char scratch[kScratch];
  while (!closed_) {
    if (raw_ && (raw_->paused || !raw_->read) && !raw_->closing) return;
    if (raw_ && !input_.empty() && raw_->read) {
      std::string bytes;
      bytes.swap(input_);
      parse(bytes);
      continue;
    }
    if (job_ && job_->paused) return;
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
    if (raw_) {
      raw_over();
      return;
    }
    if (job_ && got_some_ && result == Socket::Io::kEnd) {
      parser_->end_of_input();
      if (parser_->complete()) {
        answered();
        return;
      }
    }
    broken(result == Socket::Io::kEnd ? "the server closed the connection" : socket_->failure());
    return;
  }
}

void Link::parse(std::string_view bytes) {
  if (raw_) {
    if (!raw_->read) return;
    auto read = std::move(raw_->read);
    raw_->read = nullptr;
    read(bytes);
    if (!raw_->read && !raw_->closing) raw_->read = std::move(read);
    return;
  }
  if (!job_) {  // nobody asked
    broken("the server sent something unasked");
    return;
  }
  got_some_ = true;
  std::string joined;
  if (!input_.empty()) {
    joined.swap(input_);
    joined.append(bytes);
    bytes = joined;
  }
  auto job = job_;
  while (!bytes.empty() && !parser_->complete() && !parser_->failed() && !closed_) {
    std::size_t used = parser_->feed(bytes);
    bytes.remove_prefix(used);
    if (parser_->head_complete() && !head_told_ && !parser_->failed()) {
      head_told_ = true;
      if (job->streams() && job->live && job->head) job->head(parser_->head());
      continue;
    }
    if (used == 0) break;
  }
  if (closed_) return;
  if (parser_->failed()) {
    broken(parser_->error_text());
  } else if (too_large_) {
    broken("the answer is larger than " + std::to_string(job->request.max_body) + " bytes");
  } else {
    input_.assign(bytes);
    if (parser_->complete()) answered();
  }
}

void Link::feed(std::string_view bytes) {
  if (too_large_ || closed_ || !job_ || !job_->live) return;
  if (job_->streams()) {
    auto job = job_;
    // Kept apart, since the callback may abort the job.
    auto data = std::move(job->data);
    data(bytes);
    if (job->live) job->data = std::move(data);
    return;
  }
  if (body_.size() + bytes.size() > job_->request.max_body) {
    too_large_ = true;
    return;
  }
  body_.append(bytes);
}

void Link::answered() {
  auto self = shared_from_this();
  auto job = std::move(job_);
  job_.reset();
  job->link = nullptr;
  ++answers_;
  Response response = std::move(parser_->head());
  response.body = std::move(body_);
  body_ = std::string();
  bool upgraded = job->upgraded && response.status == 101;
  bool reusable =
      !upgraded && response.status != 101 && parser_->keep_alive() && out_.empty() && input_.empty() && !write_failed_;
  owner_->done_with(job);
  auto done = std::move(job->done);
  auto end = std::move(job->end);
  auto on_upgrade = std::move(job->upgraded);
  job->live = false;
  if (upgraded) {
    owner_->remove(self);
    owner_ = nullptr;
    raw_ = std::make_unique<Raw>();
    on_upgrade(Client::Upgraded{std::move(response), std::make_unique<ClientChannel>(self)});
    return;
  }
  if (reusable) {
    idle_since_ = loop_.monotonic();
    parser_.reset();
    owner_->idle(self);
  } else {
    close();
  }
  if (done) done(std::move(response));
  if (end) end(ok_status());
  if (on_upgrade) on_upgrade(Client::Upgraded{std::move(response), nullptr});
}

void Link::broken(const std::string& why) {
  auto self = shared_from_this();
  if (raw_) {
    raw_over();
    return;
  }
  bool sent = !connecting_ && !handshaking_;
  auto job = std::move(job_);
  job_.reset();
  ClientImpl* owner = owner_;
  close();
  if (!job || !job->live || !owner) return;
  job->link = nullptr;
  bool harmless = job->request.method == "GET" || job->request.method == "HEAD";
  if (sent && reused() && !got_some_ && harmless && job->again) {
    owner->retry(job);
    return;
  }
  std::string text = job->request.method + " " + job->request.target + " at " + owner->endpoint().address + ": " + why;
  Code code = too_large_ ? Code::kTooLarge : sent ? Code::kUnknown : Code::kUnavailable;
  owner->fail(job, error(code, text));
}

void Link::raw_over() {
  raw_->over = true;
  close();
  if (!raw_->closed) return;
  Task closed = std::move(raw_->closed);
  raw_->closed = nullptr;
  closed();
}

void Link::close() {
  if (closed_) return;
  closed_ = true;
  if (connect_timer_ != 0) loop_.cancel(connect_timer_);
  connect_timer_ = 0;
  if (socket_) {
    loop_.unwatch_fd(socket_->fd());
    if (!connecting_ && !handshaking_ && out_.empty()) socket_->shutdown_write();
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
  auto job = std::make_shared<Job>();
  job->head = std::move(head);
  job->data = std::move(data);
  job->end = std::move(end);
  auto stream = std::make_unique<StreamImpl>(weak(), job);
  begin(std::move(job), std::move(request));
  return stream;
}

void ClientImpl::begin(std::shared_ptr<Job> job, ClientRequest request) {
  job->request = std::move(request);
  jobs_.insert(job);
  if (job->request.timeout) {
    job->timer = loop_.after(*job->request.timeout, [weak = weak(), job] {
      auto self = weak.lock();
      if (!self || !job->live) return;
      job->timer = 0;
      ClientImpl& client = **self;
      if (Link* link = job->link) link->close();
      client.fail(job, error(Code::kTimeout, job->request.method + " " + job->request.target + " at " +
                                                 client.endpoint_.address + ": no complete answer in time"));
    });
  }
  dispatch(job);
}

void ClientImpl::dispatch(const std::shared_ptr<Job>& job) {
  auto link = idle_link();
  job->again = link != nullptr;
  if (!link) {
    Status opened = ok_status();
    if (endpoint_.tls && !context_) {
      auto context = make_client_context(endpoint_);
      if (context.ok()) {
        context_ = *context;
      } else {
        opened = context.error();
      }
    }
    link = std::make_shared<Link>(this, loop_);
    if (opened.ok()) {
      opened = link->open(endpoint_, context_.get());
      links_.insert(link);
    }
    if (!opened.ok()) {
      link->close();
      // Not from within the caller's call.
      Error why = error(Code::kUnavailable, opened.error().message);
      loop_.post([weak = weak(), job, why] {
        auto self = weak.lock();
        if (self && job->live) (*self)->fail(job, why);
      });
      return;
    }
  }
  link->begin(job);
  link->pump_later();
}

std::shared_ptr<Link> ClientImpl::idle_link() {
  while (!idle_.empty()) {
    auto link = std::move(idle_.back());
    idle_.pop_back();
    if (link->closed()) continue;
    if (loop_.monotonic() - link->idle_since() < kIdleTime) return link;
    link->close();
  }
  return nullptr;
}

void ClientImpl::idle(const std::shared_ptr<Link>& link) {
  std::erase_if(idle_, [](const auto& other) { return other->closed(); });
  if (idle_.size() >= kIdleConnections) {
    auto oldest = idle_.front();
    idle_.erase(idle_.begin());
    oldest->close();
  }
  idle_.push_back(link);
}

void ClientImpl::remove(const std::shared_ptr<Link>& link) {
  links_.erase(link);
  std::erase(idle_, link);
}

void ClientImpl::retry(const std::shared_ptr<Job>& job) { dispatch(job); }

void ClientImpl::done_with(const std::shared_ptr<Job>& job) {
  jobs_.erase(job);
  if (job->timer != 0) loop_.cancel(job->timer);
  job->timer = 0;
}

void ClientImpl::fail(const std::shared_ptr<Job>& job, Error why) {
  if (!job->live) return;
  done_with(job);
  auto done = std::move(job->done);
  auto end = std::move(job->end);
  auto upgraded = std::move(job->upgraded);
  drop(*job);
  if (done) done(why);
  if (end) end(why);
  if (upgraded) upgraded(why);
}

void ClientImpl::abort(const std::shared_ptr<Job>& job) {
  if (!job->live) return;
  jobs_.erase(job);
  job->live = false;
  if (job->timer != 0) loop_.cancel(job->timer);
  job->timer = 0;
  if (Link* link = job->link) link->close();
}

}  // namespace

std::unique_ptr<Client> make_client(Loop& loop, Endpoint endpoint) {
  return std::make_unique<ClientImpl>(loop, std::move(endpoint));
}

}  // namespace berth::http

#include "agent/probes/network_probe.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "agent/probes/grpc_health.h"
#include "base/files.h"
#include "base/lifetime.h"
#include "base/text.h"
#include "http/http1_parser.h"

namespace berth::agent {
namespace {

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

Result<Address> resolve(const std::string& host, int port) {
  Address out;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&out.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&out.storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<std::uint16_t>(port));
    out.length = sizeof *v4;
  } else if (::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<std::uint16_t>(port));
    out.length = sizeof *v6;
  } else if (host == "localhost") {
    return resolve("127.0.0.1", port);
  } else {
    return error(Code::kInvalid, "lookup " + host + ": no such host");
  }
  return out;
}

// Go's text for a failed system call.
std::string go_error(int code) {
  switch (code) {
    case ECONNREFUSED: return "connect: connection refused";
    case EHOSTUNREACH: return "connect: no route to host";
    case ENETUNREACH: return "connect: network is unreachable";
    case ECONNRESET: return "connection reset by peer";
    case ETIMEDOUT: return "connect: connection timed out";
    default: return std::string("connect: ") + lower(std::strerror(code));
  }
}

// The connection; subclasses have the protocol.
class Connection : public ProbeConnection {
 public:
  Connection(Loop& loop, const ProbeAddress& address) : loop_(loop), address_(address) {}
  ~Connection() override {
    if (timer_) loop_.cancel(timer_);
    if (socket_) loop_.unwatch_fd(socket_.get());
  }

  void start(Duration timeout) {
    timer_ = loop_.after(timeout, [this] {
      timer_ = 0;
      timed_out();
    });
    auto address = resolve(address_.host, address_.port);
    if (!address.ok()) return later("dial tcp: " + address.error().message);
    socket_.reset(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_) return later("dial tcp: " + errno_error("socket").message);
    int one = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int result = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->length);
    if (result != 0 && errno != EINPROGRESS) return later("dial tcp " + where() + ": " + go_error(errno));
    auto watched = loop_.watch_fd(socket_.get(), EPOLLOUT, [this](std::uint32_t) { ready(); });
    if (!watched.ok()) later(watched.error().message);
  }

 protected:
  // Each may call back and so destroy this object: nothing may be used after the call.
  virtual void connected() = 0;  // may fill out_, which is then sent
  virtual void received(std::string_view bytes) = 0;
  virtual void ended() { failed("EOF"); }
  virtual void failed(std::string why) = 0;
  virtual void timed_out() = 0;

  std::string where() const {
    return (address_.host.find(':') == std::string::npos ? address_.host : "[" + address_.host + "]") + ":" +
           std::to_string(address_.port);
  }

  Loop& loop_;
  ProbeAddress address_;
  bool connected_ = false;
  std::string out_;

 private:
  void later(std::string why) {
    if (timer_) loop_.cancel(timer_);
    timer_ = loop_.after(Duration::zero(), [this, why = std::move(why)] {
      timer_ = 0;
      failed(why);
    });
  }

  void ready() {
    if (!connected_) {
      int code = 0;
      socklen_t size = sizeof code;
      ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &code, &size);
      if (code != 0) return failed("dial tcp " + where() + ": " + go_error(code));
      connected_ = true;
      // A TCP probe ends here, and its socket is closed with FIN: servers log a reset as an error.
      const auto alive = lifetime_.guard();
      connected();
      if (!alive) return;
    }
    while (!out_.empty()) {
      ssize_t n = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (n > 0) {
        out_.erase(0, static_cast<std::size_t>(n));
      } else if (errno == EAGAIN) {
        break;
      } else if (errno != EINTR) {
        return failed("write tcp " + where() + ": " + go_error(errno));
      }
    }
    (void)loop_.change_fd(socket_.get(), out_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
    read();
  }

  void read() {
    std::array<char, 4096> buffer;
    const auto alive = lifetime_.guard();
    for (;;) {
      ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return failed("read tcp " + where() + ": read: " + go_error(errno));
      if (n == 0) return ended();
      received({buffer.data(), static_cast<std::size_t>(n)});
      if (!alive) return;
      if (!out_.empty()) (void)loop_.change_fd(socket_.get(), EPOLLIN | EPOLLOUT);
    }
  }

  Fd socket_;
  TimerId timer_ = 0;
  Lifetime lifetime_;
};

class TcpProbe final : public Connection {
 public:
  TcpProbe(Loop& loop, const ProbeAddress& address, Function<void(ProbeResult)> done)
      : Connection(loop, address), done_(std::move(done)) {}

 private:
  void finish(ProbeResult result) {
    auto done = std::move(done_);
    done(std::move(result));
  }
  void connected() override { finish({true, ""}); }
  void received(std::string_view) override {}
  void failed(std::string why) override { finish({false, std::move(why)}); }
  void timed_out() override { finish({false, "dial tcp " + where() + ": i/o timeout"}); }
  Function<void(ProbeResult)> done_;
};

class GrpcProbe final : public Connection {
 public:
  GrpcProbe(Loop& loop, const ProbeAddress& address, std::string service, Function<void(ProbeResult)> done)
      : Connection(loop, address), service_(std::move(service)), done_(std::move(done)) {}

 private:
  void finish(ProbeResult result) {
    auto done = std::move(done_);
    done(std::move(result));
  }
  void connected() override {
    exchange_ = std::make_unique<GrpcHealthExchange>(where(), service_);
    out_ = exchange_->take_output();
  }
  void received(std::string_view bytes) override {
    if (auto verdict = exchange_->feed(bytes)) return finish(*verdict);
    out_ += exchange_->take_output();
  }
  void failed(std::string why) override { finish({false, std::move(why)}); }
  void timed_out() override { finish({false, "timeout: health rpc did not complete within the timeout"}); }
  std::string service_;
  Function<void(ProbeResult)> done_;
  std::unique_ptr<GrpcHealthExchange> exchange_;
};

class HttpExchange final : public Connection {
 public:
  HttpExchange(Loop& loop, const ProbeAddress& address, std::string request,
               Function<void(Result<http::Response>)> done)
      : Connection(loop, address), request_(std::move(request)), done_(std::move(done)) {}

 private:
  void finish(Result<http::Response> result) {
    auto done = std::move(done_);
    done(std::move(result));
  }
  void connected() override { out_ = std::move(request_); }
  void received(std::string_view bytes) override {
    while (!bytes.empty() && !parser_.complete() && !parser_.failed()) {
      std::size_t taken = parser_.feed(bytes);
      bytes.remove_prefix(std::min(taken, bytes.size()));
      if (taken == 0) break;
    }
    if (parser_.failed()) return finish(error(Code::kUnavailable, "malformed HTTP response: " + parser_.error_text()));
    if (parser_.complete() || body_.size() >= kMostProbeBody) complete();
  }
  void ended() override {
    parser_.end_of_input();
    if (parser_.complete()) return complete();
    if (parser_.head_complete()) return finish(error(Code::kUnknown, "unexpected EOF"));
    finish(error(Code::kUnavailable, "EOF"));
  }
  void complete() {
    http::Response answer = std::move(parser_.head());
    answer.body = std::move(body_);
    finish(std::move(answer));
  }
  void failed(std::string why) override {
    finish(error(parser_.head_complete() ? Code::kUnknown : Code::kUnavailable, std::move(why)));
  }
  void timed_out() override {
    if (!connected_)
      return finish(error(Code::kUnavailable,
                          "dial tcp " + where() + ": i/o timeout (Client.Timeout exceeded while awaiting headers)"));
    if (parser_.head_complete())
      return finish(error(Code::kUnknown,
                          "net/http: request canceled (Client.Timeout or context cancellation while reading body)"));
    finish(error(Code::kUnavailable, "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"));
  }
  std::string request_, body_;
  Function<void(Result<http::Response>)> done_;
  http::ResponseParser parser_{false, [this](std::string_view data) {
                                 body_.append(data.substr(0, kMostProbeBody - std::min(kMostProbeBody, body_.size())));
                               }};
};

template <class Kind, class... Arguments>
std::unique_ptr<ProbeConnection> begin(Duration timeout, Arguments&&... arguments) {
  auto connection = std::make_unique<Kind>(std::forward<Arguments>(arguments)...);
  connection->start(timeout);
  return connection;
}

}  // namespace

std::unique_ptr<ProbeConnection> start_tcp_probe(Loop& loop, const ProbeAddress& address, Duration timeout,
                                                 Function<void(ProbeResult)> done) {
  return begin<TcpProbe>(timeout, loop, address, std::move(done));
}

std::unique_ptr<ProbeConnection> start_grpc_probe(Loop& loop, const ProbeAddress& address, const std::string& service,
                                                  Duration timeout, Function<void(ProbeResult)> done) {
  return begin<GrpcProbe>(timeout, loop, address, service, std::move(done));
}

std::unique_ptr<ProbeConnection> start_http_exchange(Loop& loop, const ProbeAddress& address, std::string request,
                                                     Duration timeout, Function<void(Result<http::Response>)> done) {
  return begin<HttpExchange>(timeout, loop, address, std::move(request), std::move(done));
}

}  // namespace berth::agent

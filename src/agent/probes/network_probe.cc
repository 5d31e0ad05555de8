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
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::size_t kMostAnswer = 10 * 1024;

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

// Go's words for a failed system call.
std::string go_error(int code) {
  switch (code) {
    case ECONNREFUSED:
      return "connect: connection refused";
    case EHOSTUNREACH:
      return "connect: no route to host";
    case ENETUNREACH:
      return "connect: network is unreachable";
    case ECONNRESET:
      return "connection reset by peer";
    case ETIMEDOUT:
      return "connect: connection timed out";
    default:
      return std::string("connect: ") + lower(std::strerror(code));
  }
}

class Connection final : public ProbeConnection {
 public:
  Connection(Loop& loop, const NetworkProbe& probe, Function<void(ProbeResult)> done)
      : loop_(loop), probe_(probe), done_(std::move(done)) {}
  ~Connection() override {
    if (timer_) loop_.cancel(timer_);
    if (socket_) loop_.unwatch_fd(socket_.get());
  }

  void start(Duration timeout) {
    timer_ = loop_.after(timeout, [this] {
      timer_ = 0;
      fail_timeout();
    });
    auto address = resolve(probe_.host, probe_.port);
    if (!address.ok()) return later(wrap("dial tcp: " + address.error().message));
    socket_.reset(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_) return later(wrap("dial tcp: " + errno_error("socket").message));
    int one = 1;
    ::setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    // Closed with a reset: probes leave no connections in TIME_WAIT behind.
    linger none{1, 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
    int result = ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->length);
    if (result != 0 && errno != EINPROGRESS) return later(dial_failed(errno));
    auto watched = loop_.watch_fd(socket_.get(), EPOLLOUT, [this](std::uint32_t) { ready(); });
    if (!watched.ok()) later(wrap(watched.error().message));
  }

 private:
  std::string where() const {
    return (probe_.host.find(':') == std::string::npos ? probe_.host : "[" + probe_.host + "]") + ":" +
           std::to_string(probe_.port);
  }
  std::string wrap(const std::string& why) const {
    return probe_.kind == NetworkProbe::Kind::kHttp ? "Get " + quoted(probe_.url) + ": " + why : why;
  }
  ProbeResult dial_failed(int code) const { return {false, wrap("dial tcp " + where() + ": " + go_error(code))}; }

  void later(ProbeResult result) {
    if (timer_) loop_.cancel(timer_);
    timer_ = loop_.after(Duration::zero(), [this, result = std::move(result)] {
      timer_ = 0;
      finish(result);
    });
  }
  void later(std::string why) { later(ProbeResult{false, std::move(why)}); }

  void finish(ProbeResult result) {
    auto done = std::move(done_);
    done(std::move(result));  // destroys this
  }

  void fail_timeout() {
    if (probe_.kind == NetworkProbe::Kind::kGrpc)
      return finish({false, "timeout: health rpc did not complete within the timeout"});
    if (!connected_) {
      std::string tail = probe_.kind == NetworkProbe::Kind::kHttp
                             ? ": i/o timeout (Client.Timeout exceeded while awaiting headers)"
                             : ": i/o timeout";
      return finish({false, wrap("dial tcp " + where() + tail)});
    }
    finish({false, wrap("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")});
  }

  void ready() {
    if (!connected_) {
      int code = 0;
      socklen_t size = sizeof code;
      ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &code, &size);
      if (code != 0) return finish(dial_failed(code));
      connected_ = true;
      if (probe_.kind == NetworkProbe::Kind::kTcp) return finish({true, ""});
      out_ = probe_.request;
      if (probe_.kind == NetworkProbe::Kind::kGrpc) {
        grpc_ = std::make_unique<GrpcHealthExchange>(where(), probe_.service);
        out_ = grpc_->take_output();
      }
      (void)loop_.change_fd(socket_.get(), EPOLLIN | EPOLLOUT);
    }
    while (!out_.empty()) {
      ssize_t n = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (n > 0) {
        out_.erase(0, static_cast<std::size_t>(n));
      } else if (errno == EAGAIN) {
        break;
      } else if (errno != EINTR) {
        return finish({false, wrap("write tcp " + where() + ": " + go_error(errno))});
      }
    }
    (void)loop_.change_fd(socket_.get(), out_.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
    read();
  }

  void read() {
    std::array<char, 4096> buffer;
    for (;;) {
      ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return finish({false, wrap(n == 0 ? "EOF" : "read tcp " + where() + ": read: " + go_error(errno))});
      if (probe_.kind == NetworkProbe::Kind::kGrpc) {
        auto verdict = grpc_->feed({buffer.data(), static_cast<std::size_t>(n)});
        if (verdict) return finish(*verdict);
        out_ += grpc_->take_output();
        if (!out_.empty()) (void)loop_.change_fd(socket_.get(), EPOLLIN | EPOLLOUT);
        continue;
      }
      in_.append(buffer.data(), static_cast<std::size_t>(n));
      // The head decides; the body is not waited for.
      auto line = in_.find("\r\n");
      if (line != std::string::npos && (in_.find("\r\n\r\n") != std::string::npos || in_.size() > kMostAnswer))
        return judge(in_.substr(0, line));
      if (in_.size() > kMostAnswer) return finish({false, wrap("malformed HTTP response")});
    }
  }

  void judge(const std::string& line) {
    auto words = split(line, ' ');
    auto code = words.size() >= 2 && words[0].starts_with("HTTP/") ? parse_int(words[1])
                                                                   : Result<long>(error(Code::kInvalid, ""));
    if (!code.ok()) return finish({false, wrap("malformed HTTP response " + quoted(line))});
    if (*code >= 200 && *code < 400) return finish({true, ""});
    finish({false, "HTTP probe failed with statuscode: " + std::to_string(*code)});
  }

  Loop& loop_;
  NetworkProbe probe_;
  Function<void(ProbeResult)> done_;
  Fd socket_;
  TimerId timer_ = 0;
  bool connected_ = false;
  std::string out_, in_;
  std::unique_ptr<GrpcHealthExchange> grpc_;
};

}  // namespace

std::unique_ptr<ProbeConnection> start_network_probe(Loop& loop, const NetworkProbe& probe, Duration timeout,
                                                     Function<void(ProbeResult)> done) {
  auto connection = std::make_unique<Connection>(loop, probe, std::move(done));
  connection->start(timeout);
  return connection;
}

}  // namespace berth::agent

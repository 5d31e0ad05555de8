#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "agent/streams/pump.h"
#include "agent/streams/remote_work.h"
#include "base/text.h"
#include "net/netlink.h"

namespace berth::agent {
namespace {

// The words of other Kubernetes nodes for what a connect answered.
std::string connect_words(int failed) {
  std::string text = std::strerror(failed);
  return "connect: " + lower(text);
}

class PortWork final : public RemoteWork {
 public:
  PortWork(Loop& loop, std::string network_namespace, std::string pod, std::unique_ptr<http::ForwardedPort> port,
           Task over)
      : loop_(loop),
        network_namespace_(std::move(network_namespace)),
        pod_(std::move(pod)),
        port_(std::move(port)),
        over_(std::move(over)) {}
  ~PortWork() override { stop_waiting(); }

  void start() {
    port_->on_close([this] { end(); });
    connect(AF_INET);
  }

 private:
  void connect(int family) {
    Status made = open_socket(family);
    if (!made.ok()) return fail(made.error().message);
    sockaddr_storage to{};
    socklen_t size = 0;
    if (family == AF_INET) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(to);
      v4.sin_family = AF_INET;
      v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      v4.sin_port = htons(static_cast<std::uint16_t>(port_->port()));
      size = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
      v6.sin6_family = AF_INET6;
      v6.sin6_addr = in6addr_loopback;
      v6.sin6_port = htons(static_cast<std::uint16_t>(port_->port()));
      size = sizeof v6;
    }
    if (::connect(connecting_.get(), reinterpret_cast<sockaddr*>(&to), size) == 0) return join();
    if (errno != EINPROGRESS) return refused(family, errno);
    Status watched = loop_.watch_fd(connecting_.get(), EPOLLOUT, [this, family](std::uint32_t) {
      int failed = 0;
      socklen_t length = sizeof failed;
      ::getsockopt(connecting_.get(), SOL_SOCKET, SO_ERROR, &failed, &length);
      loop_.unwatch_fd(connecting_.get());
      waiting_ = false;
      if (failed != 0) return refused(family, failed);
      join();
    });
    if (!watched.ok()) return fail(watched.error().message);
    waiting_ = true;
  }

  Status open_socket(int family) {
    auto open = [this, family]() -> Status {
      connecting_ = Fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!connecting_) return errno_error("socket");
      int on = 1;
      ::setsockopt(connecting_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      return ok_status();
    };
    return network_namespace_.empty() ? open() : net::in_network_namespace(network_namespace_, open);
  }

  // A server may listen on the newer loopback address only.
  void refused(int family, int failed) {
    if (family == AF_INET) {
      refusal_ = "dial tcp4 127.0.0.1:" + std::to_string(port_->port()) + ": " + connect_words(failed);
      return connect(AF_INET6);
    }
    fail(refusal_);
  }

  void join() {
    Sink::Options half;
    half.end = Sink::End::kHalfClose;
    Result<Fd> reading = duplicate(connecting_.get());
    if (!reading.ok()) return fail(reading.error().message);
    sink_ = std::make_unique<Sink>(
        loop_, std::move(connecting_), half, [this](bool behind) { port_->pause_reading(behind); },
        [this] { settle(); });
    source_ = std::make_unique<Source>(
        loop_, std::move(*reading), [this](std::string_view bytes) { return port_->write(bytes); },
        [this] {
          port_->end();
          settle();
        });
    port_->on_drain([this] {
      if (source_ && source_->held()) source_->resume();
    });
    port_->on_read([this](std::string_view bytes) {
      if (sink_) sink_->write(bytes);
    });
    port_->on_end([this] {
      client_ended_ = true;
      if (sink_) sink_->end();
      settle();
    });
  }

  // Over once the pod has ended its direction, and either the client has too or nobody listens to it any more.
  void settle() {
    if (source_ && source_->over() && sink_ && (client_ended_ || sink_->over())) end();
  }

  void fail(const std::string& why) {
    std::string number = std::to_string(port_->port());
    port_->fail("error forwarding port " + number + " to pod " + pod_ +
                ", uid : failed to connect to localhost:" + number + " inside the pod's network namespace: " + why);
    end();
  }

  void stop_waiting() {
    if (waiting_) loop_.unwatch_fd(connecting_.get());
    waiting_ = false;
  }
  void end() {
    if (ended_) return;
    ended_ = true;
    stop_waiting();
    sink_.reset();
    source_.reset();
    over_();
  }

  Loop& loop_;
  const std::string network_namespace_, pod_;
  std::unique_ptr<http::ForwardedPort> port_;
  Task over_;
  Fd connecting_;
  bool waiting_ = false, client_ended_ = false, ended_ = false;
  std::string refusal_;
  std::unique_ptr<Sink> sink_;
  std::unique_ptr<Source> source_;
};

}  // namespace

std::unique_ptr<RemoteWork> forward_port(Loop& loop, const std::string& network_namespace, const std::string& pod,
                                         std::unique_ptr<http::ForwardedPort> port, Task over) {
  auto work = std::make_unique<PortWork>(loop, network_namespace, pod, std::move(port), std::move(over));
  work->start();
  return work;
}

}  // namespace berth::agent

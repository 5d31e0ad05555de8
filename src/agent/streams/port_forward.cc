// kubectl port-forward: one connection of the client and one to a port of the pod.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "agent/streams/pump.h"
#include "agent/streams/stream_session.h"
#include "base/text.h"
#include "net/netlink.h"

namespace berth::agent {
namespace {

// As kubelet words a failed connect().
std::string connect_words(int failed) {
  std::string text = std::strerror(failed);
  return "connect: " + lower(text);
}

class PortForwardSession final : public StreamSession {
 public:
  PortForwardSession(Loop& loop, std::string network_namespace, std::string pod,
                     std::unique_ptr<http::ForwardedPort> client, Task done)
      : loop_(loop),
        network_namespace_(std::move(network_namespace)),
        pod_(std::move(pod)),
        client_(std::move(client)),
        done_(std::move(done)) {}
  ~PortForwardSession() override { stop_connecting(); }

  void start() {
    client_->on_close([this] { close(); });
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
      v4.sin_port = htons(static_cast<std::uint16_t>(client_->port()));
      size = sizeof v4;
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
      v6.sin6_family = AF_INET6;
      v6.sin6_addr = in6addr_loopback;
      v6.sin6_port = htons(static_cast<std::uint16_t>(client_->port()));
      size = sizeof v6;
    }
    if (::connect(connecting_.get(), reinterpret_cast<sockaddr*>(&to), size) == 0) return connect_streams();
    if (errno != EINPROGRESS) return refused(family, errno);
    Status watched = loop_.watch_fd(connecting_.get(), EPOLLOUT, [this, family](std::uint32_t) {
      int failed = 0;
      socklen_t length = sizeof failed;
      ::getsockopt(connecting_.get(), SOL_SOCKET, SO_ERROR, &failed, &length);
      loop_.unwatch_fd(connecting_.get());
      watching_connect_ = false;
      if (failed != 0) return refused(family, failed);
      connect_streams();
    });
    if (!watched.ok()) return fail(watched.error().message);
    watching_connect_ = true;
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

  // A server may listen on ::1 only. If that is refused too, the client reads the first refusal, as from kubelet.
  void refused(int family, int failed) {
    if (family == AF_INET) {
      refusal_ = "dial tcp4 127.0.0.1:" + std::to_string(client_->port()) + ": " + connect_words(failed);
      return connect(AF_INET6);
    }
    fail(refusal_);
  }

  void connect_streams() {
    Sink::Options half;
    half.end = Sink::End::kHalfClose;
    Result<Fd> reading = duplicate(connecting_.get());
    if (!reading.ok()) return fail(reading.error().message);
    to_port_ = std::make_unique<Sink>(
        loop_, std::move(connecting_), half, [this](bool behind) { client_->pause_reading(behind); },
        [this] { finish_if_complete(); });
    from_port_ = std::make_unique<Source>(
        loop_, std::move(*reading), [this](std::string_view bytes) { return client_->write(bytes); },
        [this] {
          client_->end();
          finish_if_complete();
        });
    client_->on_drain([this] {
      if (from_port_ && from_port_->paused()) from_port_->resume();
    });
    client_->on_read([this](std::string_view bytes) {
      if (to_port_) to_port_->write(bytes);
    });
    client_->on_end([this] {
      client_ended_ = true;
      if (to_port_) to_port_->end();
      finish_if_complete();
    });
  }

  // Complete once the pod has ended its direction, and the client has too or the pod does not read any more.
  void finish_if_complete() {
    if (from_port_ && from_port_->ended() && to_port_ && (client_ended_ || to_port_->ended())) close();
  }

  void fail(const std::string& why) {
    std::string number = std::to_string(client_->port());
    client_->fail("error forwarding port " + number + " to pod " + pod_ +
                  ", uid : failed to connect to localhost:" + number + " inside the pod's network namespace: " + why);
    close();
  }

  void stop_connecting() {
    if (watching_connect_) loop_.unwatch_fd(connecting_.get());
    watching_connect_ = false;
  }
  void close() {
    if (closed_) return;
    closed_ = true;
    stop_connecting();
    to_port_.reset();
    from_port_.reset();
    done_();
  }

  Loop& loop_;
  const std::string network_namespace_, pod_;
  std::unique_ptr<http::ForwardedPort> client_;
  Task done_;
  Fd connecting_;
  bool watching_connect_ = false, client_ended_ = false, closed_ = false;
  std::string refusal_;
  std::unique_ptr<Sink> to_port_;
  std::unique_ptr<Source> from_port_;
};

}  // namespace

std::unique_ptr<StreamSession> start_port_forward(Loop& loop, const std::string& network_namespace,
                                                  const std::string& pod, std::unique_ptr<http::ForwardedPort> client,
                                                  Task done) {
  auto session = std::make_unique<PortForwardSession>(loop, network_namespace, pod, std::move(client), std::move(done));
  session->start();
  return session;
}

}  // namespace berth::agent

#include "net/dns/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/files.h"
#include "base/text.h"
#include "net/dns/answer.h"
#include "net/dns/forwarder.h"

namespace berth::net::dns {
namespace {

constexpr std::size_t kMaxConnections = 128;
constexpr int kTriesForAnyPort = 16;
constexpr Duration kConnectionTimeout = 10s;

Result<sockaddr_in> socket_address(const std::string& ip, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (::inet_pton(AF_INET, ip.c_str(), &address.sin_addr) != 1)
    return error(Code::kInvalid, quoted(ip) + " is no IPv4 address");
  return address;
}

struct Connection {
  Fd socket;
  in_addr_t peer = 0;
  std::string in, out;
  TimerId timer = 0;
};

class LoopServer final : public DnsServer {
 public:
  LoopServer(Loop& loop, std::string domain, DnsServerConfig config)
      : loop_(loop),
        zone_(std::move(domain)),
        config_(std::move(config)),
        forwarder_(loop, {config_.upstreams, config_.upstream_port}) {}

  ~LoopServer() override {
    if (udp_) loop_.unwatch_fd(udp_.get());
    if (tcp_) loop_.unwatch_fd(tcp_.get());
    for (auto& [id, connection] : connections_) {
      loop_.unwatch_fd(connection.socket.get());
      loop_.cancel(connection.timer);
    }
  }

  Status start() {
    Status bound = bind_sockets();
    // The kernel chose a free UDP port; the TCP port of that number may be in use.
    for (int tries = 1; !bound.ok() && config_.port == 0 && tries < kTriesForAnyPort; ++tries) bound = bind_sockets();
    BERTH_TRY(bound);
    BERTH_TRY(loop_.watch_fd(udp_.get(), EPOLLIN, [this](std::uint32_t) { read_datagrams(); }));
    return loop_.watch_fd(tcp_.get(), EPOLLIN, [this](std::uint32_t) { accept_connections(); });
  }

  Zone& zone() override { return zone_; }
  int port() const override { return port_; }

 private:
  Status bind_sockets() {
    BERTH_ASSIGN(sockaddr_in address, socket_address(config_.address, config_.port));
    udp_ = Fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    tcp_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int one = 1;
    ::setsockopt(tcp_.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    std::string where = config_.address + ":" + std::to_string(config_.port);
    if (::bind(udp_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      return errno_error("DNS on udp " + where);
    socklen_t length = sizeof address;
    ::getsockname(udp_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    if (::bind(tcp_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(tcp_.get(), 64) != 0) {
      return errno_error("DNS on tcp " + where);
    }
    return ok_status();
  }

  void read_datagrams() {
    char buffer[4096];
    for (int i = 0; i < 64; ++i) {  // then other tasks of the loop run
      sockaddr_in from{};
      socklen_t length = sizeof from;
      ssize_t size = ::recvfrom(udp_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (size < 0) return;
      std::string_view question(buffer, static_cast<std::size_t>(size));
      DnsReply reply = answer(zone_, question, false);
      if (reply.malformed) continue;
      if (!reply.wire.empty()) {
        send_datagram(from, reply.wire);
        continue;
      }
      forwarder_.forward(std::string(question), false, from.sin_addr.s_addr,
                         [this, from](std::string wire) { send_datagram(from, wire); });
    }
  }

  void send_datagram(const sockaddr_in& to, const std::string& wire) {
    if (!wire.empty())
      ::sendto(udp_.get(), wire.data(), wire.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }

  // --- TCP: each message follows its length in two bytes

  void accept_connections() {
    for (;;) {
      sockaddr_in from{};
      socklen_t length = sizeof from;
      Fd socket(::accept4(tcp_.get(), reinterpret_cast<sockaddr*>(&from), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!socket) return;
      const in_addr_t peer = from.sin_addr.s_addr;
      const auto own = std::count_if(connections_.begin(), connections_.end(),
                                     [peer](const auto& one) { return one.second.peer == peer; });
      if (connections_.size() + static_cast<std::size_t>(own) >= kMaxConnections)
        continue;  // one client gets no more connections than are left for all others
      // Connections are identified by number: a late answer must not reach a later connection with the same descriptor.
      const std::uint64_t id = ++last_connection_;
      const int fd = socket.get();
      Connection& connection = connections_[id];
      connection.socket = std::move(socket);
      connection.peer = peer;
      connection.timer = loop_.after(kConnectionTimeout, [this, id] { close_connection(id); });
      if (!loop_.watch_fd(fd, EPOLLIN, [this, id](std::uint32_t events) { serve_connection(id, events); }).ok())
        close_connection(id);
    }
  }

  void serve_connection(std::uint64_t id, std::uint32_t events) {
    auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    if ((events & EPOLLOUT) != 0) {
      flush(id);
      if (!connections_.contains(id)) return;
    }
    char buffer[4096];
    for (;;) {
      ssize_t size = ::read(connection.socket.get(), buffer, sizeof buffer);
      if (size < 0 && (errno == EAGAIN || errno == EINTR)) break;
      if (size <= 0) return close_connection(id);
      connection.in.append(buffer, static_cast<std::size_t>(size));
      if (connection.in.size() > 128 * 1024) return close_connection(id);
    }
    while (connection.in.size() >= 2) {
      std::size_t length = static_cast<std::size_t>(static_cast<unsigned char>(connection.in[0])) << 8 |
                           static_cast<unsigned char>(connection.in[1]);
      if (connection.in.size() < length + 2) break;
      std::string question = connection.in.substr(2, length);
      connection.in.erase(0, length + 2);
      DnsReply reply = answer(zone_, question, true);
      if (reply.malformed) return close_connection(id);
      if (!reply.wire.empty()) {
        send_on(id, reply.wire);
      } else {
        forwarder_.forward(std::move(question), true, connection.peer,
                           [this, id](std::string wire) { send_on(id, wire); });
      }
      if (!connections_.contains(id)) return;
    }
  }

  void send_on(std::uint64_t id, const std::string& wire) {
    auto found = connections_.find(id);
    if (found == connections_.end() || wire.empty()) return;
    found->second.out += static_cast<char>(wire.size() >> 8);
    found->second.out += static_cast<char>(wire.size() & 255);
    found->second.out += wire;
    flush(id);
  }

  void flush(std::uint64_t id) {
    auto found = connections_.find(id);
    if (found == connections_.end()) return;
    Connection& connection = found->second;
    while (!connection.out.empty()) {
      ssize_t size = ::send(connection.socket.get(), connection.out.data(), connection.out.size(), MSG_NOSIGNAL);
      if (size < 0 && errno == EAGAIN) break;
      if (size < 0) return close_connection(id);
      connection.out.erase(0, static_cast<std::size_t>(size));
    }
    (void)loop_.change_fd(connection.socket.get(), connection.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
  }

  void close_connection(std::uint64_t id) {
    auto found = connections_.find(id);
    if (found == connections_.end()) return;
    loop_.unwatch_fd(found->second.socket.get());
    loop_.cancel(found->second.timer);
    connections_.erase(found);
  }

  Loop& loop_;
  Zone zone_;
  DnsServerConfig config_;
  Fd udp_, tcp_;
  int port_ = 0;
  std::uint64_t last_connection_ = 0;
  std::map<std::uint64_t, Connection> connections_;
  Forwarder forwarder_;
};

}  // namespace

Result<std::unique_ptr<DnsServer>> start_server(Loop& loop, std::string domain, DnsServerConfig config) {
  auto server = std::make_unique<LoopServer>(loop, std::move(domain), std::move(config));
  BERTH_TRY(server->start());
  return std::unique_ptr<DnsServer>(std::move(server));
}

std::vector<std::string> nameservers_of(std::string_view resolv_conf) {
  std::vector<std::string> out;
  for (std::string_view line : split(resolv_conf, '\n')) {
    line = trim(line);
    if (!line.starts_with("nameserver")) continue;
    std::string_view address = trim(line.substr(10));
    if (!address.empty()) out.emplace_back(address);
  }
  return out;
}

}  // namespace berth::net::dns

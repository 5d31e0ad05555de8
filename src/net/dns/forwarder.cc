#include "net/dns/forwarder.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "net/dns/answer.h"

namespace berth::net::dns {
namespace {

constexpr std::size_t kMaxInFlight = 512;  // questions in flight
constexpr Duration kTestInterval = 1s;
constexpr std::size_t kNamesUntilSilent = 3;  // number of names that must time out
constexpr std::size_t kHeader = 12;

// Errors of connect() or send() that mean that there is no route to this address.
bool no_route(int why) {
  return why == ENETUNREACH || why == ENETDOWN || why == EADDRNOTAVAIL || why == EAFNOSUPPORT || why == EINVAL;
}

unsigned number_at(std::string_view wire, std::size_t at) {
  return static_cast<unsigned>(static_cast<unsigned char>(wire[at])) << 8 | static_cast<unsigned char>(wire[at + 1]);
}

// Name, type and class of the only question, in lower case (length bytes are not letters). Empty unless there is
// exactly one question.
std::string question_of(std::string_view wire) {
  if (wire.size() < kHeader || number_at(wire, 4) != 1) return "";
  std::size_t at = kHeader;
  while (at < wire.size() && wire[at] != 0) {
    // a compression pointer, which has no target before the question
    if ((static_cast<unsigned char>(wire[at]) & 0xc0) != 0) return "";
    at += 1 + static_cast<unsigned char>(wire[at]);
  }
  if (at + 5 > wire.size()) return "";
  return lower(wire.substr(kHeader, at + 5 - kHeader));
}

std::string name_of(std::string_view wire) {
  std::string question = question_of(wire);
  if (question.size() >= 4) question.resize(question.size() - 4);
  return question;
}

enum class Reply { kForeign, kTake, kFailure };
Reply classify_reply(std::string_view reply, std::uint16_t id, std::string_view question) {
  if (reply.size() < kHeader || number_at(reply, 0) != id || (reply[2] & 0x80) == 0) return Reply::kForeign;
  const unsigned code = static_cast<unsigned char>(reply[3]) & 15;
  const bool fails = code == 2 || code == 4 || code == 5;  // SERVFAIL, NOTIMP, REFUSED: another upstream may answer
  const std::string wanted = question_of(question);
  if (!wanted.empty() && question_of(reply) == wanted) return fails ? Reply::kFailure : Reply::kTake;
  // Servers that cannot parse a question do not repeat it in their reply.
  return code != 0 && number_at(reply, 4) == 0 ? Reply::kFailure : Reply::kForeign;
}

void set_id(std::string& wire, unsigned id) {
  wire[0] = static_cast<char>(id >> 8);
  wire[1] = static_cast<char>(id & 255);
}

}  // namespace

Result<UpstreamAddress> upstream_address(std::string_view text, int port) {
  const auto invalid = [text] { return error(Code::kInvalid, quoted(text) + " is no address of a name server"); };
  std::string_view host = text, port_text;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return invalid();
    host = text.substr(1, end - 1);
    port_text = text.substr(end + 1);
    if (!port_text.empty() && !port_text.starts_with(':')) return invalid();
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':'));
    port_text = text.substr(host.size());
  }
  if (!port_text.empty()) {
    Result<long> number = parse_int(port_text.substr(1));
    if (!number.ok() || *number < 1 || *number > 65535) return invalid();
    port = static_cast<int>(*number);
  }
  UpstreamAddress address;
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, std::string(host).c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<std::uint16_t>(port));
    address.length = sizeof v4;
    std::memcpy(&address.storage, &v4, sizeof v4);
    return address;
  }
  sockaddr_in6 v6{};
  if (const std::size_t percent = host.find('%'); percent != std::string_view::npos) {
    const std::string scope(host.substr(percent + 1));
    Result<long> number = parse_int(scope);
    v6.sin6_scope_id =
        number.ok() && *number > 0 ? static_cast<std::uint32_t>(*number) : ::if_nametoindex(scope.c_str());
    if (v6.sin6_scope_id == 0) return error(Code::kInvalid, quoted(text) + " names an interface that is not there");
    host = host.substr(0, percent);
  }
  if (::inet_pton(AF_INET6, std::string(host).c_str(), &v6.sin6_addr) != 1) return invalid();
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(static_cast<std::uint16_t>(port));
  address.length = sizeof v6;
  std::memcpy(&address.storage, &v6, sizeof v6);
  return address;
}

bool is_loopback(std::string_view upstream) {
  Result<UpstreamAddress> address = upstream_address(upstream, 53);
  if (!address.ok()) return false;
  if (address->storage.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address->storage, sizeof v4);
    return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
  }
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address->storage, sizeof v6);
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) != 0;
}

Forwarder::Forwarder(Loop& loop, ForwarderConfig config) : loop_(loop), config_(std::move(config)) {
  for (const std::string& name : config_.upstreams) upstreams_.push_back({.name = name});
}

Forwarder::~Forwarder() {
  for (auto& [number, forwarded] : in_flight_) {
    loop_.unwatch_fd(forwarded.socket.get());
    loop_.cancel(forwarded.timer);
  }
}

void Forwarder::forward(std::string question, bool tcp, std::uint32_t client, Function<void(std::string)> answered) {
  ForwardedQuestion forwarded;
  forwarded.tcp = tcp;
  forwarded.client = client;
  forwarded.question = std::move(question);
  forwarded.answered = std::move(answered);
  forwarded.until = loop_.monotonic() + 2 * config_.timeout;
  auto own = per_client_.find(client);
  if (in_flight_.size() + (own == per_client_.end() ? 0 : own->second) >= kMaxInFlight)
    return forwarded.answered(server_failure(forwarded.question));
  try_upstream(std::move(forwarded));
}

bool Forwarder::is_skipped(Upstream& upstream, std::uint32_t client) const {
  const Duration now = loop_.monotonic();
  if (now >= upstream.silent_until) return false;
  Duration& next = upstream.next_test.try_emplace(client, upstream.silent_since + kTestInterval).first->second;
  if (now < next) return true;
  next = now + kTestInterval;
  return false;
}

void Forwarder::on_timeout(const ForwardedQuestion& forwarded) {
  Upstream& upstream = upstreams_[forwarded.upstream];
  if (upstream.last_message >= forwarded.sent) return;
  if (upstream.timed_out_names.size() < kNamesUntilSilent) upstream.timed_out_names.insert(name_of(forwarded.question));
  if (upstream.timed_out_names.size() < kNamesUntilSilent) return;
  const Duration now = loop_.monotonic();
  if (now >= upstream.silent_until) {
    upstream.silent_since = now;
    upstream.next_test.clear();
  }
  upstream.silent_until = now + config_.skip_time;
}

void Forwarder::on_message(const ForwardedQuestion& forwarded) {
  Upstream& upstream = upstreams_[forwarded.upstream];
  upstream.last_message = loop_.monotonic();
  upstream.silent_until = {};
  upstream.next_test.clear();
  upstream.timed_out_names.clear();
}

// kNotFound: there is no route.
Status Forwarder::send(ForwardedQuestion& forwarded) const {
  BERTH_ASSIGN(const UpstreamAddress address, upstream_address(upstreams_[forwarded.upstream].name, config_.port));
  const auto failed = [] {
    return error(no_route(errno) ? Code::kNotFound : Code::kUnavailable, std::strerror(errno));
  };
  forwarded.socket = Fd(::socket(address.storage.ss_family,
                                 (forwarded.tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!forwarded.socket) return failed();
  if (::connect(forwarded.socket.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.length) != 0 &&
      errno != EINPROGRESS)
    return failed();
  forwarded.id = static_cast<std::uint16_t>(loop_.random());
  std::string wire = forwarded.question;
  set_id(wire, forwarded.id);
  if (forwarded.tcp) {
    forwarded.out = std::string{static_cast<char>(wire.size() >> 8), static_cast<char>(wire.size() & 255)} + wire;
    forwarded.in.clear();
    return ok_status();
  }
  if (::send(forwarded.socket.get(), wire.data(), wire.size(), 0) < 0) return failed();
  return ok_status();
}

void Forwarder::try_upstream(ForwardedQuestion forwarded) {
  for (; forwarded.upstream < upstreams_.size() && loop_.monotonic() < forwarded.until; ++forwarded.upstream) {
    if (is_skipped(upstreams_[forwarded.upstream], forwarded.client)) {
      forwarded.reachable = true;
      continue;
    }
    forwarded.sent = loop_.monotonic();
    Status sent = send(forwarded);
    forwarded.reachable |= sent.ok() || sent.failed_with(Code::kUnavailable);
    if (!sent.ok()) continue;
    const Id number = ++last_;
    const int fd = forwarded.socket.get();
    const bool tcp = forwarded.tcp;
    forwarded.timer = loop_.after(std::min(config_.timeout, forwarded.until - loop_.monotonic()), [this, number] {
      on_timeout(in_flight_.at(number));
      next_upstream(number);
    });
    ++per_client_[forwarded.client];
    in_flight_.emplace(number, std::move(forwarded));
    // If watching the socket fails, the timeout handles it.
    (void)loop_.watch_fd(fd, tcp ? EPOLLIN | EPOLLOUT : EPOLLIN,
                         [this, number, tcp](std::uint32_t) { tcp ? exchange_tcp(number) : read(number); });
    return;
  }
  forwarded.answered(forwarded.reachable ? server_failure(forwarded.question) : name_error(forwarded.question));
}

void Forwarder::read(Id number) {
  static thread_local char buffer[65536];
  for (;;) {
    auto found = in_flight_.find(number);
    if (found == in_flight_.end()) return;
    ForwardedQuestion& forwarded = found->second;
    const ssize_t size = ::recv(forwarded.socket.get(), buffer, sizeof buffer, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size < 0) return next_upstream(number);  // the port is closed
    on_message(forwarded);
    std::string reply(buffer, static_cast<std::size_t>(size));
    if (classify_reply(reply, forwarded.id, forwarded.question) != Reply::kForeign)
      return handle_reply(number, std::move(reply));
  }
}

void Forwarder::exchange_tcp(Id number) {
  auto found = in_flight_.find(number);
  if (found == in_flight_.end()) return;
  ForwardedQuestion& forwarded = found->second;
  while (!forwarded.out.empty()) {
    const ssize_t size = ::send(forwarded.socket.get(), forwarded.out.data(), forwarded.out.size(), MSG_NOSIGNAL);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size < 0) return next_upstream(number);
    forwarded.out.erase(0, static_cast<std::size_t>(size));
    if (forwarded.out.empty()) (void)loop_.change_fd(forwarded.socket.get(), EPOLLIN);
  }
  char buffer[4096];
  while (forwarded.in.size() < 2 || forwarded.in.size() < 2 + number_at(forwarded.in, 0)) {
    const ssize_t size = ::recv(forwarded.socket.get(), buffer, sizeof buffer, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return next_upstream(number);
    on_message(forwarded);
    forwarded.in.append(buffer, static_cast<std::size_t>(size));
  }
  std::string reply = forwarded.in.substr(2, number_at(forwarded.in, 0));
  // The connection carries one question only.
  if (classify_reply(reply, forwarded.id, forwarded.question) == Reply::kForeign) return next_upstream(number);
  handle_reply(number, std::move(reply));
}

void Forwarder::handle_reply(Id number, std::string reply) {
  const ForwardedQuestion& forwarded = in_flight_.at(number);
  const bool failed = classify_reply(reply, forwarded.id, forwarded.question) == Reply::kFailure,
             last = forwarded.upstream + 1 == upstreams_.size();
  if (failed && (!last || question_of(reply).empty())) return next_upstream(number);
  ForwardedQuestion done = release(number);
  set_id(reply, number_at(done.question, 0));
  done.answered(std::move(reply));
}

void Forwarder::next_upstream(Id number) {
  ForwardedQuestion forwarded = release(number);
  ++forwarded.upstream;
  try_upstream(std::move(forwarded));
}

Forwarder::ForwardedQuestion Forwarder::release(Id number) {
  auto found = in_flight_.find(number);
  ForwardedQuestion forwarded = std::move(found->second);
  in_flight_.erase(found);
  if (auto own = per_client_.find(forwarded.client); --own->second == 0) per_client_.erase(own);
  loop_.unwatch_fd(forwarded.socket.get());
  loop_.cancel(forwarded.timer);
  return forwarded;
}

}  // namespace berth::net::dns

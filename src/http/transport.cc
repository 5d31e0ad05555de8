#include "http/transport.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/fault.h"
#include "base/log.h"
#include "http/connection.h"
#include "http/message.h"

namespace berth::http {

namespace {

constexpr int kUnsentInKernel = 256 << 10;  // bytes of one connection
constexpr std::uint64_t kWakeTag = 0;
constexpr std::uint64_t kListenerTag = std::uint64_t{1} << 63;
constexpr Millis kAcceptPause = 100;
constexpr int kAcceptsPerRound = 64;

Millis clock_millis() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return Millis{t.tv_sec} * 1000 + t.tv_nsec / 1'000'000;
}

std::string address_text(const sockaddr_storage& from) {
  char host[INET6_ADDRSTRLEN] = "";
  if (from.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(from);
    inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
    return std::string(host) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  if (from.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(from);
    inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
    return "[" + std::string(host) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  return "unix";
}

}  // namespace

Transport::Transport(std::size_t index, const ServerConfig& config, std::shared_ptr<ServerTotals> totals,
                     Deliver deliver)
    : index_(index), config_(config), totals_(std::move(totals)), deliver_(std::move(deliver)) {}

Transport::~Transport() {
  if (!thread_.joinable()) return;
  BERTH_CHECK(thread_.get_id() != std::this_thread::get_id(), "a server is destroyed by one of its own threads");
  stop_ = true;
  wake();
  thread_.join();
}

Status Transport::start() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  wake_.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!epoll_ || !wake_) return errno_error("starting a transport thread");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kWakeTag;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) return errno_error("epoll_ctl");
  scratch_ = std::make_unique<char[]>(kScratch);
  now_ = clock_millis();
  thread_ = std::thread([this] { run(); });
  return ok_status();
}

void Transport::wake() {
  std::uint64_t one = 1;
  [[maybe_unused]] ssize_t n = ::write(wake_.get(), &one, sizeof one);
}

void Transport::add_listener(std::shared_ptr<Listener> listener) {
  bool asleep;
  {
    std::lock_guard lock(mutex_);
    new_listeners_.push_back(std::move(listener));
    asleep = !std::exchange(awake_, true);
  }
  if (asleep) wake();
}

void Transport::send(std::vector<TransportCommand> commands) {
  bool asleep;
  {
    std::lock_guard lock(mutex_);
    if (commands_.empty()) {
      commands_.swap(commands);
    } else {
      commands_.insert(commands_.end(), std::make_move_iterator(commands.begin()),
                       std::make_move_iterator(commands.end()));
    }
    asleep = !std::exchange(awake_, true);
  }
  if (asleep) wake();
}

const std::string& Transport::date() {
  std::time_t seconds = ::time(nullptr);
  if (seconds != date_at_) {
    date_at_ = seconds;
    date_ = http_date(seconds);
  }
  return date_;
}

void Transport::run() {
  while (!stop_) round();
  finish_work();
  for (Slot& slot : slots_) {
    if (slot.connection) slot.connection->announce_end();
  }
  slots_.clear();
  dead_.clear();
}

int Transport::wait_timeout() const {
  if (!again_.empty() || !events_.empty()) return 0;
  Millis at = timers_.empty() ? 0 : timers_.top().at;
  if (accept_again_ != 0 && (at == 0 || accept_again_ < at)) at = accept_again_;
  if (at == 0) return -1;
  return static_cast<int>(std::clamp<Millis>(at - now_, 0, 3'600'000));
}

void Transport::round() {
  epoll_event ready[256];
  now_ = clock_millis();
  int n = epoll_wait(epoll_.get(), ready, 256, fall_asleep(wait_timeout()));
  now_ = clock_millis();
  std::vector<std::uint64_t> again;
  again.swap(again_);
  bool woken = false;
  for (int i = 0; i < n; ++i) {
    std::uint64_t tag = ready[i].data.u64;
    if (tag == kWakeTag) {
      std::uint64_t count = 0;
      [[maybe_unused]] ssize_t got = ::read(wake_.get(), &count, sizeof count);
      woken = true;
    } else if (tag & kListenerTag) {
      accept_from(*listeners_[tag & ~kListenerTag]);
    } else if (Connection* connection = find(tag)) {
      connection->on_events(ready[i].events);
    }
  }
  for (std::uint64_t id : again) {
    if (Connection* connection = find(id)) connection->on_events(0);
  }
  run_commands();
  fire_timers();
  bool ran_tasks = !events_.empty();
  if (ran_tasks) {
    deliver_(std::move(events_), *this);
    events_.clear();
  }
  if (new_work_ || (woken && !work_.empty())) {
    if (ran_tasks) run_commands();  // answers before work: their clients wait
    run_work();
    ran_tasks = true;
  }
  if (ran_tasks) run_commands();  // answers of tasks that ran on this thread
  dead_.clear();
}

void Transport::add_work(Work work) {
  work_.push_back(std::move(work));
  new_work_ = true;
}

void Transport::run_work() {
  do {
    new_work_ = false;
    std::vector<Work> work;
    work.swap(work_);
    for (Work& item : work) {
      if (!item()) work_.push_back(std::move(item));
    }
    if (new_work_) run_commands();  // answers before work: their clients wait
  } while (new_work_);
}

// Work is completed even at the end: threads elsewhere wait for it (a commit that is being made durable).
void Transport::finish_work() {
  while (!work_.empty()) {
    pollfd woken{wake_.get(), POLLIN, 0};
    if (::poll(&woken, 1, -1) != 1) continue;
    std::uint64_t count = 0;
    [[maybe_unused]] ssize_t got = ::read(wake_.get(), &count, sizeof count);
    run_work();
  }
}

// Returns the milliseconds to wait: 0 where commands have come since the last round. Under the same lock awake_ becomes
// false, so that the next command wakes the thread.
int Transport::fall_asleep(int timeout) {
  std::lock_guard lock(mutex_);
  awake_ = timeout == 0 || !commands_.empty() || !new_listeners_.empty();
  return awake_ ? 0 : timeout;
}

void Transport::run_commands() {
  std::vector<TransportCommand> commands;
  std::vector<std::shared_ptr<Listener>> added;
  {
    std::lock_guard lock(mutex_);
    awake_ = true;
    commands.swap(commands_);
    added.swap(new_listeners_);
  }
  for (auto& listener : added) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    event.data.u64 = kListenerTag | listeners_.size();
    epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listener->fd(), &event);
    listeners_.push_back(std::move(listener));
  }
  // All commands first, so that each connection writes to its socket once.
  for (TransportCommand& command : commands) {
    if (Connection* connection = find(command.connection)) connection->on_command(command);
  }
  for (TransportCommand& command : commands) {
    if (Connection* connection = find(command.connection)) connection->after_commands();
  }
}

void Transport::accept_from(Listener& listener) {
  for (int i = 0; i < kAcceptsPerRound; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    Fd fd;
    if (fault::hit("http.accept")) {
      errno = EMFILE;
    } else {
      fd.reset(accept4(listener.fd(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    }
    if (!fd) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        if (make_room()) continue;
        // The pending connection would end each epoll_wait at once, in vain.
        log_warning("http", "cannot accept connections for now", {{"error", errno_error("accept").message}});
        accept_again_ = now_ + kAcceptPause;
        watch_listeners(false);
      }
      return;
    }
    if (totals_->connections.load() >= config_.max_connections && !make_room()) continue;
    adopt(std::move(fd), listener.unix_socket() ? "unix" : address_text(from), listener);
  }
}

// Closes one waiting connection: of the next few slots, the one that has waited longest. A connection whose request is
// being answered, or whose answer is being written, is not closed.
bool Transport::make_room() {
  constexpr std::size_t kExamined = 64;
  Connection* oldest = nullptr;
  for (std::size_t left = std::min(kExamined, slots_.size()); left > 0; --left) {
    examined_ = (examined_ + 1) % slots_.size();
    Connection* connection = slots_[examined_].connection.get();
    if (connection == nullptr || !connection->is_waiting()) continue;
    if (oldest == nullptr || connection->waiting_since() < oldest->waiting_since()) oldest = connection;
  }
  if (oldest == nullptr) return false;
  oldest->abort();
  // Closes its descriptor now: accept4() needs it.
  dead_.clear();
  return true;
}

bool Transport::adopt(Fd fd, const std::string& address, Listener& listener) {
  bool tcp = address != "unix";
  if (tcp) {
    int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // Unread bytes wait in the output queue, where they are counted, instead of megabytes in the kernel.
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentInKernel, sizeof kUnsentInKernel);
    setsockopt(fd.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    int idle = 30, interval = 10, count = 4;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd.get(), IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  }
  SslContext context = listener.context();
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  std::uint32_t index = free_slots_.back();
  Slot& slot = slots_[index];
  // Never 0 (the wake-up), and the top bit stays clear (the listeners).
  std::uint64_t id = (std::uint64_t{slot.generation & 0x7fffffff} << 32) | index;
  Peer peer;
  peer.address = address;
  peer.unix_socket = listener.unix_socket();
  epoll_event event{};
  event.events = Socket::interest();
  event.data.u64 = id;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) != 0) return false;
  auto connection = std::make_unique<Connection>(*this, id, std::move(fd), tcp, std::move(peer));
  if (context) connection->accept_tls(std::move(context));
  free_slots_.pop_back();
  slot.connection = std::move(connection);
  totals_->connections.fetch_add(1);
  slot.connection->on_events(0);
  return true;
}

void Transport::watch_listeners(bool on) {
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    if (on) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLEXCLUSIVE;
      event.data.u64 = kListenerTag | i;
      epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, listeners_[i]->fd(), &event);
    } else {
      epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, listeners_[i]->fd(), nullptr);
    }
  }
}

void Transport::fire_timers() {
  if (accept_again_ != 0 && accept_again_ <= now_) {
    accept_again_ = 0;
    watch_listeners(true);
  }
  while (!timers_.empty() && timers_.top().at <= now_) {
    std::uint64_t id = timers_.top().connection;
    timers_.pop();
    if (Connection* connection = find(id)) connection->on_timer();
  }
}

Connection* Transport::find(std::uint64_t id) {
  std::size_t index = id & 0xffffffff;
  if (index >= slots_.size()) return nullptr;
  Slot& slot = slots_[index];
  return slot.connection && (id >> 32) == (slot.generation & 0x7fffffff) ? slot.connection.get() : nullptr;
}

void Transport::remove(std::uint64_t id) {
  if (!find(id)) return;
  std::uint32_t index = static_cast<std::uint32_t>(id & 0xffffffff);
  Slot& slot = slots_[index];
  dead_.push_back(std::move(slot.connection));
  if ((++slot.generation & 0x7fffffff) == 0) ++slot.generation;
  free_slots_.push_back(index);
  totals_->connections.fetch_sub(1);
}

}  // namespace berth::http

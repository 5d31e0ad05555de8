#pragma once
// A transport thread: one epoll instance with its listeners and connections, fed with commands by the loop.
//
// Everything here belongs to that thread except where a comment says "any thread". It sleeps in epoll_wait without a
// timeout while no connection has a deadline, so an idle server costs nothing.

#include <atomic>
#include <ctime>
#include <functional>
#include <memory>
#include <mutex>
#include <queue>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "http/exchange_link.h"
#include "http/tls.h"

namespace berth::http {

class Connection;

// Shared by the transports that accept from it. The context is null for plain text.
class Listener {
 public:
  Listener(Fd fd, bool unix_socket, bool tls) : fd_(std::move(fd)), unix_socket_(unix_socket), tls_(tls) {}
  int fd() const { return fd_.get(); }
  bool unix_socket() const { return unix_socket_; }
  bool tls() const { return tls_; }
  SslContext context() const {  // any thread
    std::lock_guard lock(mutex_);
    return context_;
  }
  void set_context(SslContext context) {  // any thread
    std::lock_guard lock(mutex_);
    context_.swap(context);
  }

 private:
  Fd fd_;
  bool unix_socket_, tls_;
  mutable std::mutex mutex_;
  SslContext context_;
};

using Millis = std::int64_t;  // on the monotonic clock

class Transport : public IoHelper {
 public:
  // Called on the transport thread, at most once a round.
  using Deliver = std::function<void(std::vector<TransportEvent>, IoHelper&)>;

  Transport(std::size_t index, const ServerConfig& config, std::shared_ptr<ServerTotals> totals, Deliver deliver);
  ~Transport();  // announces the end to every peer and joins the thread

  Status start();                                         // once, before anything else
  void add_listener(std::shared_ptr<Listener> listener);  // any thread
  void send(std::vector<TransportCommand> commands);      // any thread

  // IoHelper
  void add_work(Work work) override;
  int wake_fd() const override { return wake_.get(); }

  // --- For connections.
  const ServerConfig& config() const { return config_; }
  ServerTotals& totals() { return *totals_; }
  std::size_t index() const { return index_; }
  Millis now() const { return now_; }
  const std::string& date();  // for the Date header
  void emit(TransportEvent event) { events_.push_back(std::move(event)); }
  // Input is read here first: 64 KiB that all connections share.
  char* scratch() { return scratch_.get(); }
  static constexpr std::size_t kScratch = 64u << 10;
  void run_again(std::uint64_t connection) { again_.push_back(connection); }  // in the next round
  void schedule(Millis at, std::uint64_t connection) { timers_.push({at, connection}); }
  void remove(std::uint64_t connection);  // destroyed at the end of the round

 private:
  struct Slot {
    std::unique_ptr<Connection> connection;
    std::uint32_t generation = 1;
  };
  struct Timer {
    Millis at;
    std::uint64_t connection;
    bool operator>(const Timer& other) const { return at > other.at; }
  };

  void run();
  void round();
  int wait_timeout() const;
  int fall_asleep(int timeout);
  void wake();
  void run_commands();
  void run_work();
  void finish_work();
  void accept_from(Listener& listener);
  bool adopt(Fd fd, const std::string& address, Listener& listener);
  void watch_listeners(bool on);
  bool make_room();
  void fire_timers();
  Connection* find(std::uint64_t id);

  const std::size_t index_;
  const ServerConfig config_;
  const std::shared_ptr<ServerTotals> totals_;  // of all transports of the server
  const Deliver deliver_;
  Fd epoll_, wake_;
  std::unique_ptr<char[]> scratch_;
  Millis now_ = 0;
  std::time_t date_at_ = 0;
  std::string date_;

  std::vector<std::shared_ptr<Listener>> listeners_;
  Millis accept_again_ = 0;  // when to accept again after a shortage of descriptors; 0: accepting
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::size_t examined_ = 0;  // the slot that make_room() examined last
  std::vector<std::unique_ptr<Connection>> dead_;
  std::vector<TransportEvent> events_;
  std::vector<std::uint64_t> again_;  // connections to be run in the next round without an event (run_again)
  std::vector<Work> work_;
  bool new_work_ = false;  // some of work_ has never run
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;

  std::mutex mutex_;  // guards the next three
  std::vector<TransportCommand> commands_;
  std::vector<std::shared_ptr<Listener>> new_listeners_;
  bool awake_ = true;  // the thread will read the two above before it sleeps, so send() need not wake() it
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace berth::http

#pragma once
// One accepted connection: its socket, what waits to be written, and the protocol spoken on it. Transport thread only.

#include <memory>

#include "http/socket.h"
#include "http/transport.h"

namespace berth::http {

// A protocol on a connection. It queues output through Connection::out() and never writes by itself.
class Session {
 public:
  virtual ~Session() = default;
  virtual void input(std::string_view bytes) = 0;
  virtual bool wants_input() const = 0;  // false: leave the rest with the kernel for now
  virtual void end_of_input() = 0;       // the peer sends no more
  virtual void command(TransportCommand& command) = 0;
  virtual void fill() {}                    // there is room to queue more output
  virtual void wrote(std::size_t bytes) {}  // the socket has taken so many bytes
  virtual bool idle() const = 0;            // nothing in flight: the idle time-out counts
  // What it is in the middle of receiving, which has to end some time.
  enum class Receiving { kNothing, kHead, kBody };
  virtual Receiving receiving() const { return Receiving::kNothing; }
  virtual bool had_request() const { return true; }
  // When a whole answer that is on its way out must have been taken; 0: there is none.
  virtual Millis answer_deadline() const { return 0; }
  // When to look after the parts of the session that have deadlines of their own; 0: never. By look_after().
  virtual Millis look_at() const { return 0; }
  virtual void look_after() {}
  virtual void lost() = 0;   // the connection is gone; tell the loop
  virtual void goodbye() {}  // the server ends; queue what the protocol says at the end
};

class Connection {
 public:
  Connection(Transport& transport, std::uint64_t id, Fd fd, bool tcp, Peer peer);
  ~Connection();

  // Whether it only waits for a request (or for the rest of one's head), and since when.
  bool waits() const;
  Millis waits_since() const { return progress_; }

  void accept_tls(std::shared_ptr<SSL_CTX> context) {
    handshaking_ = true;
    socket_.accept_tls(std::move(context));
  }

  // --- From the transport.
  void on_events(std::uint32_t events);
  void on_command(TransportCommand& command);
  void after_commands();
  void on_timer();
  void goodbye();

  // --- For the session.
  Transport& transport() { return transport_; }
  const Config& config() const { return transport_.config(); }
  std::uint64_t id() const { return id_; }
  const Peer& peer() const { return peer_; }
  OutQueue& out() { return out_; }
  const std::shared_ptr<OpenExchanges>& load() const { return load_; }
  std::shared_ptr<ExchangeLink> make_link(std::uint32_t stream) const;
  // After what is queued has been written. `linger`: the peer may still be sending; read and forget that for a moment,
  // since a reset would take the answer from it.
  void close_after_output(bool linger);
  void abort();
  bool input_ended() const { return input_ended_; }
  // From within the session's own calls: takes effect when they return.
  void become(std::unique_ptr<Session> session) { next_session_ = std::move(session); }

 private:
  void pump();
  void shake_hands();
  void choose_session();
  void read_input();
  void take_over();
  void write_output();
  void finish_output();
  void drain_input();
  void update_deadline();
  Millis next_deadline();
  void die();

  Transport& transport_;
  const std::uint64_t id_;
  Peer peer_;
  Socket socket_;
  OutQueue out_;
  std::unique_ptr<Session> session_, next_session_;
  std::shared_ptr<OpenExchanges> load_ = std::make_shared<OpenExchanges>();
  std::string first_bytes_;  // plain connections, until it is clear which HTTP they speak
  bool handshaking_ = false, closing_ = false, linger_ = false, lingering_ = false, input_ended_ = false;
  bool dead_ = false, input_waits_ = false, all_written_ = true;
  // progress_: bytes went either way. wrote_: the socket took some, or output began to wait for it.
  Millis born_, progress_, wrote_, received_ = 0, deadline_ = 0, timer_at_ = 0;
  Session::Receiving receiving_ = Session::Receiving::kNothing;
};

std::unique_ptr<Session> make_http1_session(Connection& connection);
std::unique_ptr<Session> make_http2_session(Connection& connection);
// What is left after an upgrade: bytes. `link` is the exchange's.
std::unique_ptr<Session> make_raw_session(Connection& connection, std::shared_ptr<ExchangeLink> link);

}  // namespace berth::http

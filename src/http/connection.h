#pragma once
// One accepted connection: its socket, what waits to be written, and the protocol spoken on it. Transport thread only.

#include <memory>

#include "base/check.h"
#include "http/connection_phase.h"
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

  // Before the first event.
  void accept_tls(std::shared_ptr<SSL_CTX> context) {
    advance(ConnectionEvent::kTlsExpected);
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
  // Closes once the output queue is written. `drain`: the peer may still be sending; that is read and discarded for a
  // moment, since closing with unread input makes the kernel reset the connection, and a reset discards what the peer
  // has not read of the answer.
  void close_after_output(bool drain);
  void abort();
  bool input_ended() const { return phase_ == ConnectionPhase::kHalfClosed; }
  // From within the session's own calls: takes effect when they return.
  void become(std::unique_ptr<Session> session) { next_session_ = std::move(session); }

 private:
  void advance(ConnectionEvent event) {
    const auto next = next_phase(phase_, event);
    BERTH_CHECK(next, "a connection has no such transition");
    phase_ = *next;
  }
  bool closed() const { return phase_ == ConnectionPhase::kClosed; }
  void pump();
  void shake_hands();
  void choose_session();
  bool read_input();
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
  ConnectionPhase phase_ = ConnectionPhase::kDetecting;
  const Millis born_;
  Millis progress_;          // when bytes last went either way
  Millis output_waits_ = 0;  // since when the socket has taken none of the output queue; 0: the queue is empty
  Millis received_ = 0;      // when the peer began what receiving_ says
  Millis deadline_ = 0;      // 0: none
  Millis timer_at_ = 0;      // of the transport's timer for this connection; 0: there is none
  Session::Receiving receiving_ = Session::Receiving::kNothing;
};

std::unique_ptr<Session> make_http1_session(Connection& connection);
std::unique_ptr<Session> make_http2_session(Connection& connection);
// What is left after an upgrade: bytes. `link` is the exchange's.
std::unique_ptr<Session> make_raw_session(Connection& connection, std::shared_ptr<ExchangeLink> link);

}  // namespace berth::http

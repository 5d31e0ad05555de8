#pragma once
// One accepted connection: its socket, its output queue, and its session (the protocol). Transport thread only.

#include <memory>

#include "base/phase.h"
#include "http/connection_phase.h"
#include "http/socket.h"
#include "http/transport.h"

namespace berth::http {

// A protocol on a connection. It appends output to Connection::out(); only the Connection writes to the socket.
class Session {
 public:
  virtual ~Session() = default;
  virtual void input(std::string_view bytes) = 0;
  virtual bool wants_input() const = 0;  // false: read no more from the socket for now
  virtual void end_of_input() = 0;       // the peer sends no more
  virtual void command(TransportCommand& command) = 0;
  virtual void fill() {}                    // the output queue has room
  virtual void wrote(std::size_t bytes) {}  // the socket has taken so many bytes
  virtual bool idle() const = 0;            // no request in flight: ServerConfig::idle_timeout counts
  // The part of a request that is incomplete, which has a deadline.
  enum class Receiving { kNothing, kHead, kBody };
  virtual Receiving receiving() const { return Receiving::kNothing; }
  virtual bool had_request() const { return true; }
  // When the socket must have taken all of a complete answer; 0: there is none.
  virtual Millis answer_deadline() const { return 0; }
  // When to call check_deadlines(), for streams that have deadlines of their own; 0: never.
  virtual Millis next_check() const { return 0; }
  virtual void check_deadlines() {}
  virtual void lost() = 0;        // the connection is gone; emit kClosed
  virtual void announce_end() {}  // the server or the connection ends; queue what the protocol sends then
};

class Connection {
 public:
  Connection(Transport& transport, std::uint64_t id, Fd fd, bool tcp, Peer peer);
  ~Connection();

  // Waiting for a request or for the rest of its head, and since when.
  bool is_waiting() const;
  Millis waiting_since() const { return progress_; }

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
  void announce_end();

  // --- For the session.
  Transport& transport() { return transport_; }
  const ServerConfig& config() const { return transport_.config(); }
  std::uint64_t id() const { return id_; }
  const Peer& peer() const { return peer_; }
  OutQueue& out() { return out_; }
  const std::shared_ptr<OpenExchanges>& open_exchanges() const { return open_exchanges_; }
  std::shared_ptr<ExchangeLink> make_link(std::uint32_t stream) const;
  // Closes once the output queue is written. `drain`: the peer may still be sending; that is read and discarded for a
  // moment, since closing with unread input makes the kernel reset the connection, and a reset discards what the peer
  // has not read of the answer.
  void close_after_output(bool drain);
  void abort();
  bool input_ended() const { return phase_ == ConnectionPhase::kHalfClosed; }
  // Called by the session that is replaced, so it takes effect when its call returns.
  void replace_session(std::unique_ptr<Session> session) { next_session_ = std::move(session); }

 private:
  void advance(ConnectionEvent event) { phase_.apply(event); }
  bool closed() const { return phase_ == ConnectionPhase::kClosed; }
  void pump();
  void continue_handshake();
  void choose_session();
  bool read_input();
  void adopt_next_session();
  void write_output();
  void finish_output();
  void drain_input();
  void update_deadline();
  Millis next_deadline();

  Transport& transport_;
  const std::uint64_t id_;
  Peer peer_;
  Socket socket_;
  OutQueue out_;
  std::unique_ptr<Session> session_, next_session_;
  std::shared_ptr<OpenExchanges> open_exchanges_ = std::make_shared<OpenExchanges>();
  std::string first_bytes_;  // in kDetecting
  Phase<ConnectionPhase, ConnectionEvent> phase_{ConnectionPhase::kDetecting};
  const Millis opened_at_;
  Millis progress_;             // when bytes last went either way
  Millis output_waits_ = 0;     // since when the socket has taken none of the output queue; 0: the queue is empty
  Millis receiving_since_ = 0;  // when the peer began to send the part of a request that receiving_ names
  Millis deadline_ = 0;         // 0: none
  Millis timer_at_ = 0;         // of the transport's timer for this connection; 0: there is none
  Session::Receiving receiving_ = Session::Receiving::kNothing;
};

std::unique_ptr<Session> make_http1_session(Connection& connection);
std::unique_ptr<Session> make_http2_session(Connection& connection);
// After an upgrade: passes bytes between the socket and the channel that has the exchange's `link`.
std::unique_ptr<Session> make_raw_session(Connection& connection, std::shared_ptr<ExchangeLink> link);

}  // namespace berth::http

#pragma once
// The server's side of kubectl exec, attach and port-forward. Callers see standard streams and ports, whatever the wire
// protocol is (SPDY/3.1 or WebSocket, any version). Loop thread only.
//
// Ownership of the bytes, from the request to the session ("->": owns; "~": shares the ExchangeLink with):
//
//     transport thread                              loop thread
//   1 Connection -> Http1Session  ~ ExchangeLink ~  handler -> Exchange
//     Exchange::upgrade() ends the exchange and returns a Channel for the same link. The transport answers 101 and
//     replaces the session by a RawSession, which gets the bytes that Http1Session has read but not parsed.
//   2 Connection -> RawSession    ~ ExchangeLink ~  Channel
//     accept_spdy() or accept_websocket() have the Channel only until make_spdy_connection() or make_websocket().
//   3 Connection -> RawSession    ~ ExchangeLink ~  RemoteSession -> SpdyConnection or WebSocket -> Channel
//     The RemoteSession owns itself until the peer has opened all streams, then `ready` gets it.
//
// Input: RawSession copies it into an event; the Channel has it until on_read() delivers (ExchangeLink::unread, at most
// kReadWindow, then the socket is not read), then the RemoteSession while pause_input() holds. Output: each write() is
// copied into a frame or message and is the Channel's backlog until the socket takes it (ExchangeLink::backlog).
// Destroying the RemoteSession destroys the Channel, and the Connection closes after what was written. In the API
// server there is no step 3: apiserver/rest/stream_proxy.cc copies between the client's Channel and one to the node's
// agent.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/function.h"
#include "base/result.h"
#include "base/runtime.h"
#include "http/server.h"

namespace berth::http {

struct RemoteOptions {
  bool standard_input = false, standard_output = false, standard_error = false;
  bool tty = false;  // then there is no standard error, and sizes may come
};
// From the query: stdin, stdout, stderr, tty, each "1" or "true".
RemoteOptions remote_options(const Request& request);

// One remote process. Destroying it closes the connection. Callbacks may destroy it. A callback that is set late is
// called for all that came before, except for sizes: only for the last one.
class RemoteSession {
 public:
  virtual ~RemoteSession() = default;
  virtual void on_input(Function<void(std::string_view)> input) = 0;
  virtual void on_input_end(Task end) = 0;  // the peer closed standard input
  virtual void on_resize(Function<void(int columns, int rows)> resize) = 0;
  virtual void on_close(Task closed) = 0;  // the peer is gone; what is written from here on is discarded
  virtual void pause_input(bool pause) = 0;

  // False: the peer is behind by more than the high-water mark; stop until on_drain.
  virtual bool write_output(std::string_view bytes) = 0;
  virtual bool write_error(std::string_view bytes) = 0;
  virtual void on_drain(Task drained) = 0;

  // Sends the status after everything written and closes. The session can be destroyed right after.
  virtual void finish(int exit_code) = 0;
  virtual void fail(const Error& why) = 0;
};

// Negotiates and upgrades; answers the exchange itself where that fails. `ready` is called once the peer has opened all
// streams, within 30 seconds or never.
void serve_remote_command(Runtime& runtime, std::shared_ptr<Exchange> exchange, const RemoteOptions& options,
                          Function<void(std::unique_ptr<RemoteSession>)> ready);

// One forwarded connection. Destroying it resets it unless both directions have ended.
class ForwardedPort {
 public:
  virtual ~ForwardedPort() = default;
  virtual int port() const = 0;
  virtual void on_read(Function<void(std::string_view)> read) = 0;
  virtual void on_end(Task end) = 0;               // the peer sends no more
  virtual void on_close(Task closed) = 0;          // the connection, or this port's stream, is gone
  virtual bool write(std::string_view bytes) = 0;  // false: behind; wait for on_drain
  virtual void on_drain(Task drained) = 0;
  virtual void end() = 0;                             // this side sends no more
  virtual void fail(const std::string& message) = 0;  // writes it to the error stream; ends both directions
  // All ports of one connection share its flow: pausing one pauses all of them.
  virtual void pause_reading(bool pause) = 0;
};

// Serves until the peer leaves. `opened` is called for every connection that the peer forwards.
void serve_port_forward(std::shared_ptr<Exchange> exchange, Function<void(std::unique_ptr<ForwardedPort>)> opened);

}  // namespace berth::http

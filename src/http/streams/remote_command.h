#pragma once
// The server's side of kubectl exec, attach and port-forward: what the wire protocol is (SPDY/3.1 or WebSocket, any
// version) does not show. Loop thread only.

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

// One remote process. Destroying it closes the connection. Callbacks may destroy it. Those that are set late get what
// came before, except sizes, of which the last one counts.
class RemoteSession {
 public:
  virtual ~RemoteSession() = default;
  virtual void on_input(Function<void(std::string_view)> input) = 0;
  virtual void on_input_end(Task end) = 0;  // the peer closed standard input
  virtual void on_resize(Function<void(int columns, int rows)> resize) = 0;
  virtual void on_close(Task closed) = 0;  // the peer is gone; nothing that is written arrives any more
  virtual void pause_input(bool pause) = 0;

  // False: the peer is behind by more than the high-water mark; stop until on_drain says so.
  virtual bool write_output(std::string_view bytes) = 0;
  virtual bool write_error(std::string_view bytes) = 0;
  virtual void on_drain(Task drained) = 0;

  // The end, after everything written. The session can be destroyed right after.
  virtual void finish(int exit_code) = 0;
  virtual void fail(const Error& why) = 0;
};

// Negotiates and upgrades; answers the exchange itself where that fails. `ready` is called once all streams are there,
// within 30 seconds or never.
void serve_remote_command(Runtime& runtime, std::shared_ptr<Exchange> exchange, const RemoteOptions& options,
                          Function<void(std::unique_ptr<RemoteSession>)> ready);

// One forwarded connection. Destroying it resets it unless both directions have ended.
class ForwardedPort {
 public:
  virtual ~ForwardedPort() = default;
  virtual int port() const = 0;
  virtual void on_read(Function<void(std::string_view)> read) = 0;
  virtual void on_end(Task end) = 0;               // the peer sends no more
  virtual void on_close(Task closed) = 0;          // the connection is gone
  virtual bool write(std::string_view bytes) = 0;  // false: behind; wait for on_drain
  virtual void on_drain(Task drained) = 0;
  virtual void end() = 0;                             // we send no more
  virtual void fail(const std::string& message) = 0;  // told on the error stream; ends both directions
  // All ports of one connection share its flow: pausing one pauses all of them.
  virtual void pause_reading(bool pause) = 0;
};

// Serves until the peer leaves. `opened` is called for every connection that the peer forwards.
void serve_port_forward(std::shared_ptr<Exchange> exchange, Function<void(std::unique_ptr<ForwardedPort>)> opened);

}  // namespace berth::http

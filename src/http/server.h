#pragma once
// An HTTP server: TLS or plain, HTTP/1.1 and HTTP/2 (ALPN), on TCP or Unix sockets; complete answers, streams and
// upgrades.
//
// Sockets, TLS, parsing and framing belong to the server's own transport threads (transport.h). A handler runs on the
// Runtime given at construction (the role's loop) and answers through its Exchange on that thread. Between the threads
// go commands, events and immutable bytes (exchange_link.h).

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/function.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::http {

using Bytes = std::shared_ptr<const std::string>;

// Bytes, and a share of what owns them: an answer can point into an object that a cache holds.
struct SharedBytes {
  std::shared_ptr<const void> owner;
  std::string_view bytes;
  bool made_for_answer = false;  // no cache has these bytes: they count as memory of unread answers (unread.h)
  static SharedBytes of(std::string text);
};

using Headers = std::vector<std::pair<std::string, std::string>>;        // names in lower case in requests
std::string_view header(const Headers& headers, std::string_view name);  // case-insensitive; empty where absent

struct Peer {
  std::string address;  // "127.0.0.1:1234", "unix"
  // Subject of a client certificate that TlsConfig::client_ca_pem signed; empty otherwise.
  std::string common_name;
  std::vector<std::string> organizations;
  std::string certificate_sha256;  // of that certificate's DER form, in hex
  Time certificate_ends{};         // it was valid when the connection was made
  bool bad_certificate = false;    // sent one that none of these CAs signed, or that was not valid then
  bool unix_socket = false;        // connected to a socket that only root can open
};

struct Request {
  std::string method;
  std::string target;                                      // as sent: path?query
  std::string path;                                        // percent-decoded
  std::vector<std::pair<std::string, std::string>> query;  // decoded, in order
  Headers headers;
  std::string body;  // complete; larger than ServerConfig::max_body is answered 413 before the handler runs
  bool http2 = false;
  Peer peer;
  std::string_view parameter(std::string_view name) const;  // first value, or empty
  bool has_parameter(std::string_view name) const;
};

// A two-way byte stream: a connection after an upgrade. All calls on the handler's Runtime. Its ownership
// is drawn in streams/remote_command.h.
class Channel {
 public:
  virtual ~Channel() = default;                                     // closes
  virtual void on_read(Function<void(std::string_view)> read) = 0;  // bytes in order
  virtual void on_close(Task closed) = 0;                           // once: the peer is gone or close() is complete
  virtual void write(std::string bytes) = 0;
  virtual std::size_t backlog() const = 0;     // bytes written here that the socket has not taken yet
  virtual void on_drain(Task drained) = 0;     // called each time the backlog falls below the low-water mark
  virtual void pause_reading(bool pause) = 0;  // for on_read(); a paused channel holds the peer back by its socket
  virtual void close() = 0;                    // after what was written
};

// One request and its answer. The handler owns it; destroying it unanswered sends a 500, in a stream cuts that off.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const Request& request() const = 0;

  // A complete answer. `connection: close` among the headers ends the connection after it, of HTTP/2 too.
  virtual void respond(int status, Headers headers, std::vector<SharedBytes> body) = 0;
  void respond(int status, std::string content_type, std::string body);

  // Counts the answer for this user: each has a share of all unread bytes (unread.h). Without it, the answer is bounded
  // by the total only.
  virtual void charge_to(const std::string& user) { (void)user; }
  // Whether that user, or this connection, has more unread than its share. Never for peers at Unix sockets.
  virtual bool over_share() const { return false; }
  // A piece of a text that other answers contain too. It counts once for each user, as `bytes`: more than the size of
  // the text where its owner keeps more in memory.
  virtual SharedBytes shared(std::shared_ptr<const std::string> text, std::size_t bytes) const;

  // A stream: start, any number of writes, finish. write() returns false while the peer is behind by more than the
  // high-water mark (128 KiB); on_drain is called below the low-water mark. No bytes are dropped, but a peer that reads
  // nothing for ServerConfig::idle_timeout, or while too many bytes are unread in all or by its user, loses its
  // connection (in HTTP/2: its stream).
  virtual void start(int status, Headers headers) = 0;
  virtual bool write(std::vector<SharedBytes> pieces) = 0;
  virtual void on_drain(Task drained) = 0;
  virtual void finish() = 0;

  // Called once when the peer goes away before the answer is finished.
  virtual void on_close(Task closed) = 0;

  // HTTP/1.1 only: answers 101 with these headers and hands over the connection. Error where that is impossible.
  virtual Result<std::unique_ptr<Channel>> upgrade(Headers headers) = 0;
};
using Handler = std::function<void(std::shared_ptr<Exchange>)>;

struct TlsConfig {
  std::string certificate_pem, key_pem;  // chain and key
  std::string client_ca_pem;             // where not empty, client certificates are asked for (not required)
};

struct ServerConfig {
  std::size_t max_body = 3u << 20;
  int transport_threads = 1;
  Duration idle_timeout = std::chrono::minutes(5);   // without a request in flight, or without progress of a write
  Duration head_timeout = std::chrono::seconds(32);  // from the connection to the first request, and for each head
  Duration body_timeout = std::chrono::seconds(75);  // for one complete request
  // For the peer to read a complete answer: this, and a second for each such number of its bytes.
  Duration answer_timeout = std::chrono::seconds(60);
  std::size_t answer_bytes_per_second = 256u << 10;
  std::size_t max_header = 64u << 10;  // more is answered 431
  int max_connections = 16384;         // beyond, one that waits for a request is closed for each new one
  // Bytes of all requests that are not answered yet, and of all answers that are not read yet (without what they share
  // with a cache). Beyond, requests are answered 429 (not those from Unix sockets), and streams that are behind are cut
  // off.
  std::size_t max_unanswered = 256u << 20, max_unread = 256u << 20;
  // Body and content type of answers made without the handler (400, 413, 431, 500...); plain text where absent.
  // Called on transport threads.
  struct Rendered {
    std::string content_type, body;
  };
  std::function<Rendered(int status, std::string_view message)> render_error;
  // Where set: called on the handler's Runtime with the head of a request whose body has not come, before the body is
  // read. True: read it, and call the handler with the complete request. False: the exchange has been answered.
  std::function<bool(Exchange&)> screen;
};

class Server {
 public:
  // Closes everything; no handler runs afterwards. It joins threads that run tasks of the loop (Runtime::run_or_post),
  // so only the loop's owner may destroy it, not one of those tasks.
  virtual ~Server() = default;
  // "127.0.0.1:0" or "unix:/path" (mode 0600, an old socket file is replaced). Answers with the real address.
  virtual Result<std::string> listen(const std::string& address, std::optional<TlsConfig> tls) = 0;
  // Takes over an already listening socket (made in another network namespace, say).
  virtual Result<void> listen_fd(int fd, std::optional<TlsConfig> tls) = 0;
  // For new connections; open ones keep their certificate.
  virtual Status replace_certificate(const TlsConfig& tls) = 0;
};
std::unique_ptr<Server> make_server(Runtime& runtime, Handler handler, ServerConfig config = {});

}  // namespace berth::http

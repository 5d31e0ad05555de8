#pragma once
// An HTTP/1.1 client on the caller's Loop: TLS or plain, TCP or Unix sockets, keep-alive, streamed answers, upgrades.

#include <memory>
#include <optional>
#include <string>

#include "base/loop.h"
#include "http/server.h"

namespace berth::http {

struct Endpoint {
  std::string address;  // "127.0.0.1:6443" or "unix:/path"
  bool tls = false;
  std::string server_name;               // SNI and the name the certificate must have
  std::string ca_pem;                    // authorities for the server's certificate; empty with insecure
  bool insecure = false;                 // do not verify (probes)
  std::string certificate_pem, key_pem;  // the client's, optional
  std::optional<Duration> connect_timeout = std::chrono::seconds(5);
};

struct Response {
  int status = 0;
  Headers headers;
  std::string body;
};

struct ClientRequest {
  std::string method = "GET";
  std::string target = "/";
  Headers headers;  // Host and Content-Length are added
  std::string body;
  std::optional<Duration> timeout;  // of the whole exchange
  std::size_t max_body = 64u << 20;
};

class Stream {  // destroying it aborts the request; no callback follows
 public:
  virtual ~Stream() = default;
  virtual void pause_reading(bool pause) = 0;  // the answer; a paused one holds the server back by its socket
};

// Keeps idle connections to one endpoint and opens more as needed. Loop thread only. Destroying it aborts everything.
// Callbacks never run inside the call that set them, and may destroy the client, the stream or the channel.
class Client {
 public:
  virtual ~Client() = default;
  // Errors: kUnavailable (nothing was sent), kUnknown (the request was sent, no complete answer came), kTimeout,
  // kTooLarge (more than max_body). A GET or HEAD is sent again where an idle connection turns out to be closed.
  virtual void send(ClientRequest request, Function<void(Result<Response>)> done) = 0;
  // `head` once, then `data` any number of times, then `end` (ok: complete).
  virtual std::unique_ptr<Stream> stream(ClientRequest request, Function<void(const Response& head)> head,
                                         Function<void(std::string_view)> data, Function<void(Status)> end) = 0;
  // Sends an upgrade request. Returns the channel with the answer's head for 101, and any other answer complete.
  struct Upgraded {
    Response head;
    std::unique_ptr<Channel> channel;  // null unless head.status is 101
  };
  virtual void upgrade(ClientRequest request, Function<void(Result<Upgraded>)> done) = 0;
};
std::unique_ptr<Client> make_client(Loop& loop, Endpoint endpoint);

}  // namespace berth::http

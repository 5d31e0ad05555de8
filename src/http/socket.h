#pragma once
// One connected, non-blocking socket, with or without TLS. Knows from edge-triggered epoll events whether it is worth
// asking the kernel, so a small request costs one read and one write. One thread; not movable (OpenSSL points at it).

#include <openssl/ssl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/files.h"
#include "http/out_queue.h"

namespace berth::http {

class Socket {
 public:
  enum class Io {
    kDone,   // something was read, written, or the handshake is complete
    kAgain,  // wait for events
    kEnd,    // the peer sends no more
    kFailed  // the connection is of no use; failure() says why
  };

  explicit Socket(Fd fd, bool tcp) : fd_(std::move(fd)), tcp_(tcp) {}
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // As a client. False where OpenSSL has no memory.
  bool start_tls(SSL_CTX* context) { return make_ssl(context, false); }
  // As a server. A peer that says nothing costs no memory of OpenSSL's: there is an ssl() once its first bytes are
  // there.
  void accept_tls(std::shared_ptr<SSL_CTX> context) {
    accepting_ = std::move(context);
    readable_ = false;  // an event says so, also of what is there already
  }
  SSL* ssl() const { return ssl_; }
  int fd() const { return fd_.get(); }
  // epoll events to register once: edge-triggered, both directions.
  static std::uint32_t interest();
  void note(std::uint32_t events);

  Io handshake();
  Io read(char* to, std::size_t room, std::size_t& got);
  // Writes as much of the queue as the socket takes now. kDone: all of it. `written` counts even when kAgain or
  // kFailed.
  Io write(OutQueue& queue, std::size_t& written);
  bool may_read() const { return readable_ || (ssl_ && SSL_has_pending(ssl_)); }
  const std::string& failure() const { return failure_; }
  // Says goodbye: close_notify and FIN, as far as the socket takes them now.
  void shutdown_write();

 private:
  friend struct SocketBio;
  bool make_ssl(SSL_CTX* context, bool server);
  Io tls_result(int result);
  Io write_plain(OutQueue& queue, std::size_t& written);
  Fd fd_;
  SSL* ssl_ = nullptr;
  std::shared_ptr<SSL_CTX> accepting_;  // until the peer says something
  bool tcp_;
  bool readable_ = true, writable_ = true;
  bool hang_up_ = false;  // the end of the stream has been announced: a short read is not the last one
  bool ended_ = false;
  std::string failure_;
};

}  // namespace berth::http

#pragma once
// One connected, non-blocking socket, with or without TLS. Edge-triggered epoll events tell it whether a system call
// can succeed, so a small request costs one read and one write. One thread; not movable (OpenSSL has a pointer to it).

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
    kFailed  // the connection is broken; failure() says why
  };

  explicit Socket(Fd fd, bool tcp) : fd_(std::move(fd)), tcp_(tcp) {}
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // As a client. False where OpenSSL has no memory.
  bool start_tls(SSL_CTX* context) { return make_ssl(context, false); }
  // As a server. ssl() is null until the first bytes have come, so a silent peer costs no memory of OpenSSL.
  void accept_tls(std::shared_ptr<SSL_CTX> context) {
    accepting_ = std::move(context);
    readable_ = false;  // epoll reports an event even for bytes that have come already
  }
  SSL* ssl() const { return ssl_; }
  int fd() const { return fd_.get(); }
  // epoll events to register once: edge-triggered, both directions.
  static std::uint32_t interest();
  void on_events(std::uint32_t events);

  Io handshake();
  Io read(char* to, std::size_t room, std::size_t& got);
  // Writes as much of the queue as the socket takes now. kDone: all of it. `written` counts even when kAgain or
  // kFailed.
  Io write(OutQueue& queue, std::size_t& written);
  // Neither direction works any more: what the peer has sent can still be read, nothing can be written.
  bool peer_gone() const { return peer_gone_; }
  bool may_read() const { return readable_ || (ssl_ && SSL_has_pending(ssl_)); }
  const std::string& failure() const { return failure_; }
  // Sends close_notify and FIN, as far as the socket takes them now.
  void shutdown_write();

 private:
  friend struct SocketBio;
  bool make_ssl(SSL_CTX* context, bool server);
  Io tls_result(int result);
  Io write_plain(OutQueue& queue, std::size_t& written);
  Fd fd_;
  SSL* ssl_ = nullptr;
  std::shared_ptr<SSL_CTX> accepting_;  // until the first bytes have come
  bool tcp_;
  bool readable_ = true, writable_ = true;
  bool hang_up_ = false;  // epoll has reported the end of the stream: after a short read, the next one returns 0
  bool peer_gone_ = false;
  bool ended_ = false;
  std::string failure_;
};

}  // namespace berth::http

#include "http/socket.h"

#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "crypto/openssl_error.h"
#include "http/tls.h"

namespace berth::http {

// A BIO without SIGPIPE, and without system calls that cannot succeed before the next event.
struct SocketBio {
  static int write(BIO* bio, const char* data, int size) {
    auto* socket = static_cast<Socket*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    if (!socket->writable_) {
      BIO_set_retry_write(bio);
      return -1;
    }
    ssize_t n;
    do {
      n = ::send(socket->fd_.get(), data, static_cast<std::size_t>(size), MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) return static_cast<int>(n);
    if (errno == EAGAIN) {
      socket->writable_ = false;
      BIO_set_retry_write(bio);
    } else if (socket->failure_.empty()) {
      socket->failure_ = std::strerror(errno);
    }
    return -1;
  }

  static int read(BIO* bio, char* to, int size) {
    auto* socket = static_cast<Socket*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    ssize_t n = receive(*socket, to, static_cast<std::size_t>(size));
    if (n < 0 && errno == EAGAIN) BIO_set_retry_read(bio);
    return static_cast<int>(n);
  }

  // Like recv, but fails with EAGAIN without a call while no bytes can be there: after a read that filled less than its
  // buffer, edge-triggered epoll reports the next bytes (epoll(7), questions and answers).
  static ssize_t receive(Socket& socket, char* to, std::size_t room) {
    if (!socket.readable_) {
      errno = EAGAIN;
      return -1;
    }
    ssize_t n;
    do {
      n = ::recv(socket.fd_.get(), to, room, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      if (errno == EAGAIN) {
        socket.readable_ = false;
      } else if (socket.failure_.empty()) {
        int saved = errno;
        socket.failure_ = std::strerror(saved);
        errno = saved;
      }
    } else if (n == 0) {
      socket.ended_ = true;
    } else if (static_cast<std::size_t>(n) < room && socket.tcp_ && !socket.hang_up_) {
      socket.readable_ = false;
    }
    return n;
  }

  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static const BIO_METHOD* method() {
    static BIO_METHOD* method = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "berth socket");
      BIO_meth_set_write(m, write);
      BIO_meth_set_read(m, read);
      BIO_meth_set_ctrl(m, control);
      BIO_meth_set_create(m, [](BIO* bio) {
        BIO_set_init(bio, 1);
        return 1;
      });
      return m;
    }();
    return method;
  }
};

Socket::~Socket() {
  if (ssl_) SSL_free(ssl_);
}

bool Socket::make_ssl(SSL_CTX* context, bool server) {
  ssl_ = SSL_new(context);
  BIO* bio = ssl_ ? BIO_new(SocketBio::method()) : nullptr;
  if (!bio) return false;
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  if (server) {
    SSL_set_accept_state(ssl_);
  } else {
    SSL_set_connect_state(ssl_);
  }
  return true;
}

std::uint32_t Socket::interest() {
  return static_cast<std::uint32_t>(EPOLLIN) | EPOLLOUT | EPOLLRDHUP | static_cast<std::uint32_t>(EPOLLET);
}

void Socket::on_events(std::uint32_t events) {
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) hang_up_ = true;
  if (events & (EPOLLHUP | EPOLLERR)) peer_gone_ = true;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable_ = true;
}

Socket::Io Socket::tls_result(int result) {
  int kind = SSL_get_error(ssl_, result);
  switch (kind) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return Io::kAgain;
    case SSL_ERROR_ZERO_RETURN: ended_ = true; return Io::kEnd;
    default: break;
  }
  if (failure_.empty()) {
    if (kind == SSL_ERROR_SYSCALL && ended_) {
      failure_ = "the peer closed the connection";
    } else {
      long verdict = SSL_get_verify_result(ssl_);
      failure_ = crypto::openssl_error_text();
      if (!SSL_is_server(ssl_) && verdict != X509_V_OK) {
        failure_ += std::string(": ") + X509_verify_cert_error_string(verdict);
      }
    }
  }
  ERR_clear_error();
  return Io::kFailed;
}

Socket::Io Socket::handshake() {
  if (accepting_) {
    if (!readable_) return Io::kAgain;
    if (!make_ssl(std::exchange(accepting_, nullptr).get(), true)) {
      failure_ = crypto::openssl_error_text();
      return Io::kFailed;
    }
  }
  if (!ssl_) return Io::kDone;
  ERR_clear_error();
  int result = SSL_do_handshake(ssl_);
  return result == 1 ? Io::kDone : tls_result(result);
}

Socket::Io Socket::read(char* to, std::size_t room, std::size_t& got) {
  got = 0;
  if (ssl_) {
    ERR_clear_error();
    int result = SSL_read_ex(ssl_, to, room, &got);
    return result == 1 ? Io::kDone : tls_result(result);
  }
  ssize_t n = SocketBio::receive(*this, to, room);
  if (n > 0) {
    got = static_cast<std::size_t>(n);
    return Io::kDone;
  }
  if (n == 0) return Io::kEnd;
  return errno == EAGAIN ? Io::kAgain : Io::kFailed;
}

Socket::Io Socket::write(OutQueue& queue, std::size_t& written) {
  written = 0;
  if (!ssl_) return write_plain(queue, written);
  constexpr std::size_t kRecord = 16384;
  static thread_local char gathered[kRecord];
  while (!queue.empty()) {
    std::string_view run = queue.front();
    const char* data = run.data();
    std::size_t size = std::min(run.size(), kRecord);
    if (size < kRecord && queue.bytes() > size) {
      size = queue.copy_prefix(gathered, kRecord);
      data = gathered;
    }
    ERR_clear_error();
    std::size_t n = 0;
    int result = SSL_write_ex(ssl_, data, size, &n);
    if (result != 1) return tls_result(result);
    queue.consume(n);
    written += n;
  }
  return Io::kDone;
}

Socket::Io Socket::write_plain(OutQueue& queue, std::size_t& written) {
  while (!queue.empty()) {
    if (!writable_) return Io::kAgain;
    iovec runs[64];
    msghdr message{};
    message.msg_iov = runs;
    message.msg_iovlen = static_cast<std::size_t>(queue.gather(runs, 64));
    ssize_t n = ::sendmsg(fd_.get(), &message, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) {
        writable_ = false;
        return Io::kAgain;
      }
      failure_ = std::strerror(errno);
      return Io::kFailed;
    }
    queue.consume(static_cast<std::size_t>(n));
    written += static_cast<std::size_t>(n);
  }
  return Io::kDone;
}

void Socket::shutdown_write() {
  if (ssl_ && SSL_is_init_finished(ssl_)) {
    ERR_clear_error();
    SSL_shutdown(ssl_);
    ERR_clear_error();
  }
  ::shutdown(fd_.get(), SHUT_WR);
}

}  // namespace berth::http

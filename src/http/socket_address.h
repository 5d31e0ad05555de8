#pragma once
// Socket addresses as text: "127.0.0.1:6443", "[::1]:0", "unix:/path". Names are not resolved.

#include <sys/socket.h>

#include <string>

#include "base/files.h"

namespace berth::http {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  bool is_unix() const { return storage.ss_family == AF_UNIX; }
  std::string unix_path() const;
};

Result<SocketAddress> parse_address(const std::string& text);
// A listening, non-blocking socket. A Unix socket gets mode 0600 and replaces an old socket file (nothing else).
Result<Fd> bind_and_listen(const SocketAddress& address);
Result<std::string> local_address(int fd);
Status make_non_blocking(int fd);

}  // namespace berth::http

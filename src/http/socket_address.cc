#include "http/socket_address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "base/text.h"

namespace berth::http {

std::string SocketAddress::unix_path() const { return reinterpret_cast<const sockaddr_un&>(storage).sun_path; }

Result<SocketAddress> parse_address(const std::string& text) {
  SocketAddress address;
  if (text.starts_with("unix:")) {
    auto& to = reinterpret_cast<sockaddr_un&>(address.storage);
    std::string path = text.substr(5);
    if (path.empty() || path.size() >= sizeof to.sun_path) {
      return error(Code::kInvalid, "socket path " + quoted(path) + " must have 1 to " +
                                       std::to_string(sizeof to.sun_path - 1) + " bytes");
    }
    to.sun_family = AF_UNIX;
    std::memcpy(to.sun_path, path.c_str(), path.size() + 1);
    address.size = sizeof to;
    return address;
  }
  std::size_t colon = text.rfind(':');
  auto port = colon == std::string::npos ? Result<long>(error(Code::kInvalid, "")) : parse_int(text.substr(colon + 1));
  Error bad = error(Code::kInvalid, "address " + quoted(text) + " must be IP:PORT or unix:PATH");
  if (!port.ok() || *port < 0 || *port > 65535) return bad;
  std::string host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
  if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(static_cast<std::uint16_t>(*port));
    address.size = sizeof v4;
  } else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(static_cast<std::uint16_t>(*port));
    address.size = sizeof v6;
  } else {
    return bad;
  }
  return address;
}

Result<Fd> bind_and_listen(const SocketAddress& address) {
  Fd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error("socket");
  if (address.is_unix()) {
    struct stat found {};
    std::string path = address.unix_path();
    if (::lstat(path.c_str(), &found) == 0) {
      if (!S_ISSOCK(found.st_mode)) return error(Code::kAlreadyExists, path + " exists and is no socket");
      if (::unlink(path.c_str()) != 0) return errno_error("removing the old socket " + path);
    }
  } else {
    int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    return errno_error("bind");
  }
  // No peer can connect before listen(), so none connects while the mode is wrong.
  if (address.is_unix() && ::chmod(address.unix_path().c_str(), 0600) != 0) return errno_error("chmod of the socket");
  if (::listen(fd.get(), 4096) != 0) return errno_error("listen");
  return fd;
}

Result<std::string> local_address(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) != 0) return errno_error("getsockname");
  char host[INET6_ADDRSTRLEN] = "";
  if (name.ss_family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(name);
    inet_ntop(AF_INET, &v4.sin_addr, host, sizeof host);
    return std::string(host) + ":" + std::to_string(ntohs(v4.sin_port));
  }
  if (name.ss_family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(name);
    inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof host);
    return "[" + std::string(host) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  return "unix:" + std::string(reinterpret_cast<sockaddr_un&>(name).sun_path);
}

Status make_non_blocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return errno_error("fcntl");
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  return ok_status();
}

}  // namespace berth::http

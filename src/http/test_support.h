#pragma once
// For the tests of this folder: a loop driven until something holds, a raw socket, certificates.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "base/files.h"
#include "base/fs/test_directory.h"
#include "base/loop.h"
#include "crypto/pki.h"
#include "http/client.h"
#include "http/server.h"
#include "http/socket_address.h"

namespace berth::http::testing {

inline bool drive(Loop& loop, const std::function<bool()>& until, Duration limit = std::chrono::seconds(20)) {
  Duration end = loop.monotonic() + limit;
  while (!until()) {
    if (loop.monotonic() > end) return false;
    loop.run_once(std::chrono::milliseconds(2));
  }
  return true;
}

// A plain client socket that never blocks.
struct RawSocket {
  Fd fd;
  std::string got;
  bool ended = false;

  explicit RawSocket(const std::string& address) {
    auto to = parse_address(address);
    EXPECT_TRUE(to.ok());
    fd.reset(::socket(to->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(0, ::connect(fd.get(), reinterpret_cast<sockaddr*>(&to->storage), to->size));
    EXPECT_TRUE(make_non_blocking(fd.get()).ok());
  }
  // How many bytes were taken.
  std::size_t send(std::string_view bytes) {
    ssize_t n = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return n < 0 ? 0 : static_cast<std::size_t>(n);
  }
  void poll(std::size_t most = 1u << 20) {
    char room[65536];
    for (std::size_t total = 0; total < most && !ended;) {
      ssize_t n = ::recv(fd.get(), room, std::min(sizeof room, most - total), 0);
      if (n > 0) {
        got.append(room, static_cast<std::size_t>(n));
        total += static_cast<std::size_t>(n);
      } else {
        if (n == 0 || errno != EAGAIN) ended = true;
        return;
      }
    }
  }
  bool has(std::string_view text) {
    poll();
    return got.find(text) != std::string::npos;
  }
  bool over() {
    poll();
    return ended;
  }
};

struct Pki {
  crypto::KeyPair authority;
  explicit Pki(const std::string& name = "test-ca") {
    authority = crypto::make_authority(name, std::chrono::system_clock::now()).value();
  }
  crypto::KeyPair server(const std::string& name = "localhost") const {
    crypto::CertificateRequest request;
    request.common_name = name;
    request.dns_names = {name};
    request.addresses = {"127.0.0.1", "::1"};
    request.server = true;
    request.not_before = std::chrono::system_clock::now();
    return crypto::issue(authority, request).value();
  }
  crypto::KeyPair client(const std::string& name, std::vector<std::string> organizations) const {
    crypto::CertificateRequest request;
    request.common_name = name;
    request.organizations = std::move(organizations);
    request.client = true;
    request.not_before = std::chrono::system_clock::now();
    return crypto::issue(authority, request).value();
  }
  TlsConfig tls() const {
    crypto::KeyPair pair = server();
    return TlsConfig{pair.certificate_pem, pair.key_pem, authority.certificate_pem};
  }
  Endpoint endpoint(const std::string& address) const {
    Endpoint e;
    e.address = address;
    e.tls = true;
    e.server_name = "localhost";
    e.ca_pem = authority.certificate_pem;
    return e;
  }
};

}  // namespace berth::http::testing

// A server that answers GETs with one small JSON object and POSTs with 201, for wrk and h2load:
//   http_bench [plain]   prints its address, and a line of figures when standard input ends.
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <thread>

#include "base/loop.h"
#include "crypto/pki.h"
#include "http/server.h"

using namespace berth;

int main(int argc, char** argv) {
  bool plain = argc > 1 && std::strcmp(argv[1], "plain") == 0;
  Loop loop;
  auto body = std::make_shared<const std::string>(R"({"apiVersion":"v1","data":{"k":")" + std::string(900, 'x') +
                                                  R"("},"kind":"ConfigMap","metadata":{"name":"a"}})");
  long answered = 0;
  auto server = http::make_server(loop, [&](std::shared_ptr<http::Exchange> exchange) {
    ++answered;
    int status = exchange->request().method == "GET" ? 200 : 201;
    if (exchange->request().path == "/watch") {
      static std::vector<std::shared_ptr<http::Exchange>> watches;
      exchange->start(200, {{"content-type", "application/json"}});
      exchange->write({http::SharedBytes{body, *body}});
      watches.push_back(std::move(exchange));
      return;
    }
    exchange->respond(status, {{"content-type", "application/json"}}, {http::SharedBytes{body, *body}});
  });
  std::optional<http::TlsConfig> tls;
  if (!plain) {
    auto authority = crypto::make_authority("bench", loop.now());
    crypto::CertificateRequest request;
    request.common_name = "bench";
    request.addresses = {"127.0.0.1"};
    request.server = true;
    request.not_before = loop.now();
    auto pair = authority.ok() ? crypto::issue(*authority, request) : authority;
    if (!pair.ok()) return 1;
    tls = http::TlsConfig{pair->certificate_pem, pair->key_pem, authority->certificate_pem};
  }
  auto address = server->listen("127.0.0.1:0", tls);
  if (!address.ok()) {
    std::fprintf(stderr, "%s\n", address.error().message.c_str());
    return 1;
  }
  std::printf("%s\n", address->c_str());
  std::fflush(stdout);
  // Closed standard input means that the caller is done.
  std::thread stdin_reader([&] {
    char c;
    while (::read(0, &c, 1) > 0) {}
    loop.stop();
  });
  loop.run();
  stdin_reader.join();
  std::printf("answered %ld\n", answered);
}

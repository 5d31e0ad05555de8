#pragma once
// For the tests of this folder: a whole API server in this process, with clients on its loop.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "apiserver/registry/registry.h"
#include "apiserver/rest/node_usage.h"
#include "apiserver/rest/rest_server.h"
#include "base/loop.h"
#include "http/client.h"
#include "http/test_support.h"

namespace berth::apiserver::rest::testing {

struct Answered {
  int status = 0;
  http::Headers headers;
  std::string body;
  Value json() const {
    Result<Value> parsed = json::parse(body);
    EXPECT_TRUE(parsed.ok()) << body.substr(0, 200);
    return parsed.ok() ? *parsed : Value();
  }
  std::string header(std::string_view name) const { return std::string(http::header(headers, name)); }
};

// A streamed answer, gathered as it comes.
struct Watching {
  std::unique_ptr<http::Stream> stream;
  int status = 0;
  http::Headers headers;
  std::string text;
  bool ended = false;
  // The complete lines so far.
  std::vector<Value> events() const {
    std::vector<Value> out;
    std::size_t at = 0;
    for (std::size_t end; (end = text.find('\n', at)) != text.npos; at = end + 1) {
      Result<Value> line = json::parse(std::string_view(text).substr(at, end - at));
      EXPECT_TRUE(line.ok());
      if (line.ok()) out.push_back(*line);
    }
    return out;
  }
};

class TestServer {
 public:
  explicit TestServer(store::StoreLimits limits = {}) {
    store_ = store::open_memory_store(loop_, limits);
    registry::RegistryConfig registry_config;
    registry_config.token_signer = [](const Value& claims) -> Result<std::string> {
      return "signed." + claims["sub"].str();
    };
    registry_ = std::make_unique<registry::Registry>(loop_, *store_, api::schema::builtin(), registry_config);
    RestConfig config;
    config.authenticate_token = [](std::string_view token,
                                   const std::vector<std::string>& audiences) -> Result<TokenHolder> {
      if (token == "admin-token") return TokenHolder{{"admin", {"system:masters"}, "admin-uid"}, audiences};
      if (token == "joe-token") return TokenHolder{{"joe", {"staff"}}, audiences};
      if (token == "old-token") return error(Code::kUnauthorized, "service account token has expired");
      return error(Code::kUnauthorized, "");
    };
    config.max_in_flight = 4;
    config.max_in_flight_of_user = 3;
    config.node_endpoint = [this](std::string_view node) -> Result<http::Endpoint> {
      if (node != "node-1") {
        return error(Code::kUnavailable, "node " + std::string(node) + " is not connected to this server");
      }
      http::Endpoint endpoint;
      endpoint.address = agent_address_;
      return endpoint;
    };
    agent_http_ =
        http::make_server(loop_, [this](std::shared_ptr<http::Exchange> exchange) { agent_(std::move(exchange)); });
    agent_address_ = agent_http_->listen("unix:" + folder_.path() + "/agent.sock", std::nullopt).value();
    usage_ = std::make_unique<NodeUsage>(loop_, config.node_endpoint);
    config.usage = usage_.get();
    config.ready = [this] { return ready_; };
    config.issuer = "https://issuer.test";
    config.jwks = R"({"keys":[{"alg":"ES256"},{"alg":"RS256"}]})";
    config.address = "10.0.0.1:6443";
    rest_ = std::make_unique<RestServer>(loop_, *registry_, config);
    http::ServerConfig front = server_config();
    front.screen = rest_->screen();
    http_ = http::make_server(loop_, rest_->handler(), std::move(front));
    http::Endpoint admin, anonymous;
    admin.address = http_->listen("unix:" + folder_.path() + "/api.sock", std::nullopt).value();
    anonymous.address = address_ = http_->listen("127.0.0.1:0", std::nullopt).value();
    admin_ = http::make_client(loop_, admin);
    anonymous_ = http::make_client(loop_, anonymous);
    bool ready = false;
    registry_->bootstrap([&] { ready = true; });
    EXPECT_TRUE(http::testing::drive(loop_, [&] { return ready; }));
  }

  // As system:masters, through the Unix socket.
  Answered ask(std::string method, std::string target, std::string body = "", http::Headers headers = {}) {
    return send(*admin_, std::move(method), std::move(target), std::move(body), std::move(headers));
  }
  // Over TCP: anonymous, unless the headers authenticate.
  Answered ask_from_outside(std::string method, std::string target, std::string body = "", http::Headers headers = {}) {
    return send(*anonymous_, std::move(method), std::move(target), std::move(body), std::move(headers));
  }
  Answered create(std::string target, const Value& object) {
    return ask("POST", std::move(target), json::encode(object), kJson);
  }

  std::shared_ptr<Watching> watch(std::string target, http::Headers headers = {}) {
    auto watching = std::make_shared<Watching>();
    http::ClientRequest outgoing;
    outgoing.target = std::move(target);
    outgoing.headers = std::move(headers);
    // What is watched owns the stream, so the stream's callbacks must not own it; after it no callback follows.
    Watching* raw = watching.get();
    watching->stream = admin_->stream(
        std::move(outgoing),
        [raw](const http::Response& head) {
          raw->status = head.status;
          raw->headers = head.headers;
        },
        [raw](std::string_view bytes) { raw->text += bytes; }, [raw](Status) { raw->ended = true; });
    return watching;
  }

  void set_ready(bool ready) { ready_ = ready; }
  // What the agent of node-1 does with requests.
  void set_agent(http::Handler agent) { agent_ = std::move(agent); }
  http::Client& admin() { return *admin_; }
  const std::string& address() const { return address_; }  // of the TCP listener

  bool drive(const std::function<bool()>& until) { return http::testing::drive(loop_, until); }
  store::Store& store() { return *store_; }
  Loop& loop() { return loop_; }

  inline static const http::Headers kJson = {{"content-type", "application/json"}};

 private:
  Answered send(http::Client& client, std::string method, std::string target, std::string body, http::Headers headers) {
    http::ClientRequest outgoing;
    outgoing.method = std::move(method);
    outgoing.target = std::move(target);
    outgoing.headers = std::move(headers);
    outgoing.body = std::move(body);
    std::optional<Result<http::Response>> got;
    client.send(std::move(outgoing), [&](Result<http::Response> response) { got.emplace(std::move(response)); });
    EXPECT_TRUE(drive([&] { return got.has_value(); }));
    if (!got || !got->ok()) {
      ADD_FAILURE() << (got ? got->error().message : std::string("no answer in time"));
      return {};
    }
    return {(*got)->status, std::move((*got)->headers), std::move((*got)->body)};
  }

  berth::testing::TestDirectory folder_;
  Loop loop_{1};
  std::unique_ptr<store::Store> store_;
  std::unique_ptr<registry::Registry> registry_;
  std::unique_ptr<NodeUsage> usage_;
  std::unique_ptr<RestServer> rest_;
  std::unique_ptr<http::Server> http_, agent_http_;
  std::string agent_address_, address_;
  bool ready_ = true;
  http::Handler agent_;
  std::unique_ptr<http::Client> admin_, anonymous_;
};

// A WebSocket that only listens.
struct SocketWatching {
  http::testing::RawSocket socket;
  SocketWatching(TestServer& server, const std::string& target, const std::string& headers) : socket(server.address()) {
    socket.send("GET " + target +
                " HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
                headers + "\r\n");
    EXPECT_TRUE(server.drive([&] { return socket.has("\r\n\r\n"); }));
  }
  struct Message {
    int opcode;
    std::string text;
  };
  // The complete ones so far.
  std::vector<Message> messages() {
    socket.poll();
    std::vector<Message> out;
    std::size_t at = socket.got.find("\r\n\r\n") + 4;
    auto byte = [&](std::size_t i) { return static_cast<unsigned char>(socket.got[i]); };
    while (at + 4 <= socket.got.size() || at + 2 == socket.got.size()) {
      std::size_t size = byte(at + 1), head = 2;
      if (size == 126) {
        size = byte(at + 2) * 256u + byte(at + 3);
        head = 4;
      }
      if (at + head + size > socket.got.size()) break;
      out.push_back({byte(at) & 15, socket.got.substr(at + head, size)});
      at += head + size;
    }
    return out;
  }
};

}  // namespace berth::apiserver::rest::testing

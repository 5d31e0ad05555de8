// log, exec and attach through the server, with a node's agent played by the test.
#include <algorithm>

#include "apiserver/rest/test_server.h"
#include "base/text.h"

namespace berth::apiserver::rest::testing {
namespace {

const std::string kPods = "/api/v1/namespaces/default/pods";

class NodeProxyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    make("one", "node-1", R"([{"name":"c","image":"i"}])");
    make("two", "node-1", R"([{"name":"a","image":"i"},{"name":"b","image":"i"}])");
    make("lost", "node-2", R"([{"name":"c","image":"i"}])");
    make("unbound", "", R"([{"name":"c","image":"i"}])");
  }
  void make(const std::string& name, const std::string& node, const std::string& containers) {
    std::string text = R"({"metadata":{"name":")" + name + R"("},"spec":{"nodeName":")" + node + R"(","containers":)" +
                       containers + "}}";
    ASSERT_EQ(server_.ask("POST", kPods, text, TestServer::kJson).status, 201);
  }
  std::string message(const std::string& target) { return server_.ask("GET", kPods + target).json()["message"].str(); }

  TestServer server_;
};

TEST_F(NodeProxyTest, LogsComeFromTheAgent) {
  std::string asked, uid;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) {
    asked = exchange->request().target;
    uid = http::header(exchange->request().headers, "x-berth-pod-uid");
    exchange->start(200, {{"content-type", "text/plain"}});
    exchange->write({http::SharedBytes::of("one\n")});
    exchange->write({http::SharedBytes::of("two\n")});
    exchange->finish();
  });
  Answered log = server_.ask("GET", kPods + "/one/log?tailLines=2");
  EXPECT_EQ(log.status, 200);
  EXPECT_EQ(log.body, "one\ntwo\n");
  EXPECT_EQ(log.header("content-type"), "text/plain");
  EXPECT_EQ(asked, "/containerLogs/default/one?tailLines=2&container=c");
  EXPECT_EQ(uid, server_.ask("GET", kPods + "/one").json()["metadata"]["uid"].as_string());
}

TEST_F(NodeProxyTest, LogsAsAWebSocket) {
  std::shared_ptr<http::Exchange> inside;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) {
    EXPECT_EQ(http::header(exchange->request().headers, "upgrade"), "");
    inside = std::move(exchange);
    inside->start(200, {{"content-type", "text/plain"}});
  });
  struct Case {
    const char* protocol;
    int opcode;
    std::string text;
  };
  const std::string as_admin = "Authorization: Bearer admin-token\r\n", target = kPods + "/one/log?follow=true";
  for (const Case& one : {Case{"", 2, "line\n"}, Case{"binary.k8s.io", 2, "line\n"},
                          Case{"base64.binary.k8s.io", 1, base64_encode("line\n")}}) {
    const std::string protocol =
        one.protocol[0] == '\0' ? "" : std::string("Sec-WebSocket-Protocol: ") + one.protocol + "\r\n";
    inside.reset();
    SocketWatching log(server_, target, as_admin + protocol);
    ASSERT_TRUE(log.socket.got.starts_with("HTTP/1.1 101 ")) << log.socket.got;
    // An empty message first: the connection stands.
    ASSERT_TRUE(server_.drive([&] { return inside && log.messages().size() == 1; }));
    EXPECT_EQ(log.messages()[0].text, "");
    inside->write({http::SharedBytes::of("line\n")});
    ASSERT_TRUE(server_.drive([&] { return log.messages().size() == 2; }));
    EXPECT_EQ(log.messages()[1].opcode, one.opcode);
    EXPECT_EQ(log.messages()[1].text, one.text);
    inside->finish();
    ASSERT_TRUE(server_.drive([&] { return log.socket.over(); }));
    EXPECT_EQ(log.messages().back().opcode, 8);
  }
  // The agent learns of a client that leaves, and of one that speaks something else.
  bool left = false;
  {
    SocketWatching log(server_, target, as_admin);
    ASSERT_TRUE(server_.drive([&] { return inside && log.messages().size() == 1; }));
    inside->on_close([&] { left = true; });
  }
  EXPECT_TRUE(server_.drive([&] { return left; }));
  left = false;
  inside.reset();
  SocketWatching other(server_, target, as_admin + "Sec-WebSocket-Protocol: v4.channel.k8s.io\r\n");
  EXPECT_TRUE(other.socket.got.starts_with("HTTP/1.1 400 ")) << other.socket.got;
  inside->on_close([&] { left = true; });
  EXPECT_TRUE(server_.drive([&] { return left; }));
  // What is refused is refused as ever.
  EXPECT_TRUE(SocketWatching(server_, kPods + "/none/log", as_admin).socket.got.starts_with("HTTP/1.1 404 "));
}

TEST_F(NodeProxyTest, TheAgentsRefusalIsOurs) {
  server_.set_agent([](std::shared_ptr<http::Exchange> exchange) {
    exchange->respond(400, "application/json",
                      R"({"kind":"Status","code":400,"reason":"BadRequest","message":"not started"})");
  });
  Answered log = server_.ask("GET", kPods + "/one/log");
  EXPECT_EQ(log.status, 400);
  EXPECT_EQ(log.json()["message"].as_string(), "not started");
}

TEST_F(NodeProxyTest, RefusesBeforeAskingTheAgent) {
  server_.set_agent([](std::shared_ptr<http::Exchange>) { ADD_FAILURE() << "nobody should ask the agent"; });
  EXPECT_EQ(message("/two/log"), "a container name must be specified for pod two, choose one of: [a b]");
  EXPECT_EQ(message("/one/log?container=x"), "container x is not valid for pod one");
  EXPECT_EQ(message("/none/log"), "pods \"none\" not found");
  EXPECT_EQ(message("/lost/log"), "node node-2 is not connected to this server");
  EXPECT_EQ(message("/unbound/exec?command=ls"), "pod unbound does not have a host assigned");
  EXPECT_EQ(message("/one/exec?command=ls"), "Upgrade request required");
  Answered empty = server_.ask("GET", kPods + "/unbound/log");
  EXPECT_EQ(empty.status, 204);
  EXPECT_EQ(empty.body, "");
  EXPECT_EQ(message("/one/log?tailLines=x"), "strconv.ParseInt: parsing \"x\": invalid syntax");
  EXPECT_EQ(message("/one/log?limitBytes=0"),
            "PodLogOptions \"one\" is invalid: limitBytes: Invalid value: 0: must be greater than 0");
  EXPECT_EQ(
      message("/one/log?sinceSeconds=1&sinceTime=2020-01-01T00:00:00Z"),
      "PodLogOptions \"one\" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified");
}

TEST_F(NodeProxyTest, ARefusedUpgradeIsPassedOnAsItIs) {
  server_.set_agent([](std::shared_ptr<http::Exchange> exchange) {
    exchange->respond(500, "text/plain; charset=utf-8", "container not found (\"c\")");
  });
  http::ClientRequest outgoing;
  outgoing.method = "POST";
  outgoing.target = kPods + "/one/exec?command=ls&stdout=true";
  outgoing.headers = {{"upgrade", "SPDY/3.1"}, {"connection", "Upgrade"}};
  std::optional<http::Response> answer;
  server_.admin().upgrade(std::move(outgoing), [&](Result<http::Client::Upgraded> upgraded) {
    ASSERT_TRUE(upgraded.ok());
    EXPECT_FALSE(upgraded->channel);
    answer = std::move(upgraded->head);
  });
  ASSERT_TRUE(server_.drive([&] { return answer.has_value(); }));
  EXPECT_EQ(answer->status, 500);
  EXPECT_EQ(http::header(answer->headers, "content-type"), "text/plain; charset=utf-8");
  EXPECT_EQ(answer->body, "container not found (\"c\")");
}

TEST_F(NodeProxyTest, TheAgentLearnsOfAClientThatLeftWhileItWasBehind) {
  std::unique_ptr<http::Channel> inside;
  bool inside_closed = false;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) {
    auto channel = exchange->upgrade({{"upgrade", "SPDY/3.1"}, {"connection", "Upgrade"}});
    ASSERT_TRUE(channel.ok());
    inside = std::move(*channel);
    inside->pause_reading(true);
    inside->on_read([](std::string_view) {});
    inside->on_close([&] { inside_closed = true; });
  });
  http::ClientRequest outgoing;
  outgoing.method = "POST";
  outgoing.target = kPods + "/one/exec?command=cat&stdin=true";
  outgoing.headers = {{"upgrade", "SPDY/3.1"}, {"connection", "Upgrade"}};
  std::unique_ptr<http::Channel> outside;
  server_.admin().upgrade(std::move(outgoing), [&](Result<http::Client::Upgraded> upgraded) {
    ASSERT_TRUE(upgraded.ok() && upgraded->channel);
    const http::Headers& head = upgraded->head.headers;
    EXPECT_EQ(std::count_if(head.begin(), head.end(), [](const auto& header) { return header.first == "date"; }), 1);
    outside = std::move(upgraded->channel);
    outside->write(std::string(16u << 20, 'x'));
  });
  ASSERT_TRUE(server_.drive([&] { return inside && outside && outside->backlog() < (16u << 20); }));
  outside.reset();
  inside->pause_reading(false);
  EXPECT_TRUE(server_.drive([&] { return inside_closed; }));
}

// An agent that never answers the upgrade holds nothing once the client has gone.
TEST_F(NodeProxyTest, TheAgentLearnsOfAClientThatLeftBeforeItAnswered) {
  std::shared_ptr<http::Exchange> inside;
  bool inside_closed = false;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) {
    inside = std::move(exchange);
    inside->on_close([&] { inside_closed = true; });
  });
  http::Endpoint endpoint;
  endpoint.address = server_.address();
  auto client = http::make_client(server_.loop(), endpoint);
  http::ClientRequest outgoing;
  outgoing.method = "POST";
  outgoing.target = kPods + "/one/exec?command=cat&stdin=true";
  outgoing.headers = {{"upgrade", "SPDY/3.1"}, {"connection", "Upgrade"}, {"authorization", "Bearer admin-token"}};
  client->upgrade(std::move(outgoing), [](Result<http::Client::Upgraded>) { ADD_FAILURE() << "nobody answers"; });
  ASSERT_TRUE(server_.drive([&] { return inside != nullptr; }));
  client.reset();
  EXPECT_TRUE(server_.drive([&] { return inside_closed; }));
}

// The client's token is the server's business, in whichever header it comes.
TEST_F(NodeProxyTest, TheAgentIsNotToldTheToken) {
  http::Headers asked;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) {
    asked = exchange->request().headers;
    exchange->respond(500, "text/plain", "no");
  });
  const std::string token = "base64url.bearer.authorization.k8s.io.YWRtaW4tdG9rZW4";
  for (const char* verb : {"exec?command=ls&", "attach?", "portforward?", "log?"}) {
    for (const std::string& protocols :
         {token + ", v5.channel.k8s.io,v4.channel.k8s.io", "v5.channel.k8s.io, v4.channel.k8s.io, " + token}) {
      asked.clear();
      SocketWatching socket(server_, kPods + "/one/" + verb + "stdout=true",
                            "Sec-WebSocket-Protocol: " + protocols + "\r\n");
      ASSERT_FALSE(asked.empty()) << socket.socket.got;
      for (const auto& [name, value] : asked) EXPECT_EQ(value.find("YWRtaW4"), std::string::npos) << verb << name;
      EXPECT_EQ(http::header(asked, "sec-websocket-protocol"),
                std::string_view(verb) == "log?" ? "" : "v5.channel.k8s.io, v4.channel.k8s.io")
          << verb;
    }
    asked.clear();
    SocketWatching socket(server_, kPods + "/one/" + verb + "stdout=true", "Sec-WebSocket-Protocol: " + token + "\r\n");
    ASSERT_FALSE(asked.empty()) << socket.socket.got;
    EXPECT_EQ(http::header(asked, "sec-websocket-protocol"), "") << verb;
  }
}

// Headers that the server sets for its agents are not taken from the client.
TEST_F(NodeProxyTest, AClientSetsNoHeaderOfTheServer) {
  http::Headers asked;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) {
    asked = exchange->request().headers;
    exchange->respond(200, "text/plain", "");
  });
  server_.ask(
      "GET", kPods + "/one/log", "",
      {{"x-berth-client", "forged"}, {"x-berth-pod-uid", "forged"}, {"x-berth-other", "forged"}, {"x-mine", "kept"}});
  EXPECT_EQ(http::header(asked, "x-mine"), "kept");
  for (const auto& [name, value] : asked) EXPECT_NE(value, "forged") << name;
}

TEST_F(NodeProxyTest, EphemeralContainersHaveStreamsToo) {
  std::string asked;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) {
    asked = exchange->request().target;
    exchange->respond(200, "text/plain", "");
  });
  ASSERT_EQ(server_
                .ask("PATCH", kPods + "/one/ephemeralcontainers",
                     R"({"spec":{"ephemeralContainers":[{"name":"debug","image":"i"}]}})",
                     {{"content-type", "application/strategic-merge-patch+json"}})
                .status,
            200);
  EXPECT_EQ(server_.ask("GET", kPods + "/one/log?container=debug").status, 200);
  EXPECT_EQ(asked, "/containerLogs/default/one?container=debug");
}

TEST_F(NodeProxyTest, ExecPassesBytesBothWaysAndEnds) {
  std::unique_ptr<http::Channel> inside;
  std::string target;
  server_.set_agent([&](std::shared_ptr<http::Exchange> exchange) {
    target = exchange->request().target;
    Result<std::unique_ptr<http::Channel>> channel =
        exchange->upgrade({{"upgrade", "SPDY/3.1"}, {"connection", "Upgrade"}});
    ASSERT_TRUE(channel.ok());
    inside = std::move(*channel);
    inside->on_read([&](std::string_view bytes) { inside->write("<" + std::string(bytes) + ">"); });
  });
  http::ClientRequest outgoing;
  outgoing.method = "POST";
  outgoing.target = kPods + "/one/exec?command=ls&command=-l&stdout=true";
  outgoing.headers = {{"upgrade", "SPDY/3.1"}, {"connection", "Upgrade"}};
  std::unique_ptr<http::Channel> outside;
  std::string got;
  bool closed = false;
  server_.admin().upgrade(std::move(outgoing), [&](Result<http::Client::Upgraded> upgraded) {
    ASSERT_TRUE(upgraded.ok());
    ASSERT_EQ(upgraded->head.status, 101) << upgraded->head.body;
    EXPECT_EQ(http::header(upgraded->head.headers, "upgrade"), "SPDY/3.1");
    outside = std::move(upgraded->channel);
    outside->on_read([&](std::string_view bytes) { got += bytes; });
    outside->on_close([&] { closed = true; });
    outside->write("hello");
  });
  ASSERT_TRUE(server_.drive([&] { return got == "<hello>"; })) << got;
  EXPECT_EQ(target, "/exec/default/one?command=ls&command=-l&stdout=true&container=c");
  // What the agent wrote last still arrives, however much it is, and then the end.
  const std::string much(3u << 20, 'x');
  inside->write(much);
  inside->close();
  ASSERT_TRUE(server_.drive([&] { return closed; }));
  EXPECT_EQ(got.size(), 7 + much.size());
  // Both ends of the splice are let go.
  outside.reset();
  for (int i = 0; i < 20; ++i) server_.loop().run_once(1ms);
}

}  // namespace
}  // namespace berth::apiserver::rest::testing

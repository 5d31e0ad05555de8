#include <algorithm>

#include "apiserver/rest/test_server.h"
#include "base/metrics.h"
#include "base/text.h"

namespace berth::apiserver::rest::testing {
namespace {

constexpr const char* kConfigMaps = "/api/v1/namespaces/default/configmaps";
constexpr const char* kTable = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

Value config_map(const std::string& name, const std::string& value = "1") {
  return Value::object({{"metadata", Value::object({{"name", name}})}, {"data", Value::object({{"k", value}})}});
}

class WatchTest : public ::testing::Test {
 protected:
  std::shared_ptr<Watching> watch(const std::string& query, http::Headers headers = {}) {
    return server_.watch(std::string(kConfigMaps) + "?watch=true" + query, std::move(headers));
  }
  std::vector<Value> wait_for(const std::shared_ptr<Watching>& watching, std::size_t count) {
    EXPECT_TRUE(server_.drive([&] { return watching->events().size() >= count; })) << watching->text;
    return watching->events();
  }
  std::string now() { return server_.ask("GET", kConfigMaps).json()["metadata"]["resourceVersion"].str(); }

  TestServer server_;
};

TEST_F(WatchTest, StartsWithThePresentAndFollows) {
  server_.create(kConfigMaps, config_map("a"));
  auto watching = watch("");
  ASSERT_EQ(wait_for(watching, 1).size(), 1u);
  EXPECT_EQ(watching->status, 200);
  EXPECT_EQ(http::header(watching->headers, "content-type"), "application/json");
  server_.ask("PUT", std::string(kConfigMaps) + "/a", json::encode(config_map("a", "2")), TestServer::kJson);
  server_.ask("DELETE", std::string(kConfigMaps) + "/a");
  std::vector<Value> events = wait_for(watching, 3);
  const char* types[] = {"ADDED", "MODIFIED", "DELETED"};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(events[i]["type"].as_string(), types[i]);
    EXPECT_EQ(events[i]["object"]["kind"].as_string(), "ConfigMap");
  }
  EXPECT_EQ(events[1]["object"]["data"]["k"].as_string(), "2");
  EXPECT_FALSE(watching->ended);
}

TEST_F(WatchTest, AsAWebSocketEachEventIsOneTextMessage) {
  server_.create(kConfigMaps, config_map("a"));
  // A browser names its token as a protocol, beside one that it wants to be answered with.
  const std::string token = "base64url.bearer.authorization.k8s.io." + base64url_encode("admin-token");
  SocketWatching watching(server_, std::string(kConfigMaps) + "?watch=true",
                          "Sec-WebSocket-Protocol: " + token + ", base64.binary.k8s.io\r\n");
  EXPECT_TRUE(watching.socket.got.starts_with("HTTP/1.1 101 ")) << watching.socket.got;
  EXPECT_TRUE(watching.socket.has("Sec-Websocket-Protocol: base64.binary.k8s.io\r\n"));
  server_.create(kConfigMaps, config_map("b"));
  ASSERT_TRUE(server_.drive([&] { return watching.messages().size() == 2; }));
  for (int i : {0, 1}) {
    const SocketWatching::Message message = watching.messages()[static_cast<std::size_t>(i)];
    EXPECT_EQ(message.opcode, 1);
    // What the protocol is called makes no difference to a watch.
    Result<Value> event = json::parse(message.text);
    EXPECT_EQ((*event)["object"]["metadata"]["name"].as_string(), i == 0 ? "a" : "b");
  }
  SocketWatching nobody(server_, std::string(kConfigMaps) + "?watch=true", "");
  EXPECT_TRUE(nobody.socket.got.starts_with("HTTP/1.1 403 "));
  SocketWatching short_one(server_, std::string(kConfigMaps) + "?watch=true&timeoutSeconds=1",
                           "Authorization: Bearer admin-token\r\n");
  ASSERT_TRUE(server_.drive([&] { return short_one.socket.over(); }));
  EXPECT_EQ(short_one.messages().back().opcode, 8);
}

TEST_F(WatchTest, AWebSocketIsJsonWhateverIsAccepted) {
  server_.create(kConfigMaps, config_map("a"));
  SocketWatching watching(
      server_, std::string(kConfigMaps) + "?watch=true",
      "Authorization: Bearer admin-token\r\nAccept: application/vnd.kubernetes.protobuf;stream=watch\r\n");
  ASSERT_TRUE(server_.drive([&] { return watching.messages().size() == 1; }));
  const Result<Value> event = json::parse(watching.messages()[0].text);
  ASSERT_TRUE(event.ok()) << watching.messages()[0].text;
  EXPECT_EQ((*event)["object"]["metadata"]["name"].as_string(), "a");
}

// An Upgrade to another protocol than WebSocket is ignored.
TEST_F(WatchTest, AnotherUpgradeChangesNothing) {
  server_.create(kConfigMaps, config_map("a"));
  for (const char* protocol : {"h2c", "SPDY/3.1"}) {
    auto watching = watch("", {{"upgrade", protocol},
                               {"connection", "Upgrade"},
                               {"accept", "application/vnd.kubernetes.protobuf;stream=watch"}});
    ASSERT_TRUE(server_.drive([&] { return !watching->text.empty(); }));
    EXPECT_EQ(watching->status, 200);
    EXPECT_EQ(http::header(watching->headers, "content-type"), "application/vnd.kubernetes.protobuf;stream=watch")
        << protocol;
    EXPECT_NE(watching->text.find(std::string("k8s\0", 4)), std::string::npos);
  }
}

// Twenty that watch cost as much as one: the views of a version are made once.
TEST_F(WatchTest, TheTableOfAVersionIsMadeOnce) {
  metrics::Counter& made = metrics::counter("berth_watch_views_made_total", "");
  std::vector<std::shared_ptr<Watching>> all;
  for (int i = 0; i < 20; ++i) all.push_back(watch("&includeObject=Object", {{"accept", kTable}}));
  auto partial = watch("", {{"accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}});
  ASSERT_TRUE(server_.drive([&] { return partial->status == 200 && all.back()->status == 200; }));
  auto everybody_has = [&](std::size_t count) {
    return server_.drive([&] {
      return partial->events().size() == count &&
             std::all_of(all.begin(), all.end(), [&](const auto& one) { return one->events().size() == count; });
    });
  };
  std::uint64_t before = made.value();
  server_.create(kConfigMaps, config_map("a"));
  ASSERT_TRUE(everybody_has(1));
  EXPECT_LE(made.value() - before,
            4u);  // a table with columns, and partial metadata; each again where a second begins in between
  EXPECT_EQ(all[0]->text, all[19]->text);
  EXPECT_FALSE(all[0]->events()[0]["object"]["columnDefinitions"].empty());
  before = made.value();
  server_.ask("PUT", std::string(kConfigMaps) + "/a", json::encode(config_map("a", "2")), TestServer::kJson);
  ASSERT_TRUE(everybody_has(2));
  EXPECT_LE(made.value() - before, 4u);
  EXPECT_TRUE(all[7]->events()[1]["object"]["columnDefinitions"].empty());
  EXPECT_EQ(all[7]->events()[1]["object"]["rows"][0]["object"]["data"]["k"].as_string(), "2");
}

// A text is a fraction of its version's value, which goes when the store needs it no more.
TEST_F(WatchTest, WhatIsUnreadHoldsTheTextOfAVersionAlone) {
  const std::string text(2u << 20, 'x');  // more than sockets take
  struct Case {
    std::string query, accept;
    bool before;  // the version is there when it is asked for
  };
  for (const Case& c :
       {Case{"?watch=true", "application/json", false}, Case{"?watch=true&includeObject=Object", kTable, false},
        Case{"", "application/json", true}, Case{"/big", "application/json", true}}) {
    auto put = [&] {
      Value object = config_map("big", text);
      object.mut("metadata").set("namespace", "default");
      object.set("kind", "ConfigMap").set("apiVersion", "v1");
      server_.store().write({store::Write::Kind::kPut, "/registry/core/configmaps/default/big", object},
                            [](const Result<store::RecordPtr>&) {});
      EXPECT_TRUE(
          server_.drive([&] { return server_.store().get("/registry/core/configmaps/default/big") != nullptr; }));
    };
    if (c.before) put();
    auto watching = server_.watch(kConfigMaps + c.query, {{"accept", c.accept}});
    ASSERT_TRUE(server_.drive([&] { return watching->status == 200; }));
    watching->stream->pause_reading(true);
    if (!c.before) put();
    std::weak_ptr<const store::Record> version = server_.store().get("/registry/core/configmaps/default/big");
    server_.ask("DELETE", std::string(kConfigMaps) + "/big");
    server_.store().compact(server_.store().revision());
    EXPECT_TRUE(server_.drive([&] { return version.expired(); })) << c.query << " " << c.accept;
    EXPECT_LT(watching->text.size(), text.size()) << "is unread";
    watching->stream->pause_reading(false);
    EXPECT_TRUE(server_.drive([&] { return watching->text.find(text) != watching->text.npos; }))
        << c.query << " " << c.accept;
  }
}

TEST_F(WatchTest, ContinuesAfterAVersion) {
  server_.create(kConfigMaps, config_map("old"));
  auto watching = watch("&resourceVersion=" + now());
  server_.create(kConfigMaps, config_map("new"));
  std::vector<Value> events = wait_for(watching, 1);
  EXPECT_EQ(events[0]["object"]["metadata"]["name"].as_string(), "new");
}

TEST_F(WatchTest, OfOneNameSeesOnlyIt) {
  server_.create(kConfigMaps, config_map("a"));
  server_.create(kConfigMaps, config_map("b"));
  auto by_path = server_.watch("/api/v1/watch/namespaces/default/configmaps/b");
  auto by_selector = watch("&fieldSelector=metadata.name%3Db");
  EXPECT_EQ(wait_for(by_path, 1)[0]["object"]["metadata"]["name"].as_string(), "b");
  EXPECT_EQ(wait_for(by_selector, 1)[0]["object"]["metadata"]["name"].as_string(), "b");
}

TEST_F(WatchTest, EndsWhenItsTimeIsUp) {
  auto watching = watch("&timeoutSeconds=1");
  EXPECT_TRUE(server_.drive([&] { return watching->ended; }));
  EXPECT_EQ(watching->status, 200);
  EXPECT_EQ(watching->text, "");
}

TEST_F(WatchTest, InitialEventsEndWithAnAnnotatedBookmark) {
  server_.create(kConfigMaps, config_map("a"));
  auto watching = watch("&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan");
  std::vector<Value> events = wait_for(watching, 2);
  EXPECT_EQ(events[0]["type"].as_string(), "ADDED");
  EXPECT_EQ(events[1]["type"].as_string(), "BOOKMARK");
  EXPECT_EQ(events[1]["object"]["kind"].as_string(), "ConfigMap");
  EXPECT_EQ(events[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"].as_string(), "true");
  EXPECT_EQ(events[1]["object"]["metadata"]["resourceVersion"].as_string(), now());
}

TEST_F(WatchTest, BookmarksOfPartialMetadataArePartialMetadata) {
  auto watching = watch("&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan",
                        {{"accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}});
  const Value bookmark = wait_for(watching, 1)[0];
  EXPECT_EQ(bookmark["type"].as_string(), "BOOKMARK");
  EXPECT_EQ(bookmark["object"]["kind"].as_string(), "PartialObjectMetadata");
  EXPECT_EQ(bookmark["object"]["apiVersion"].as_string(), "meta.k8s.io/v1");
  EXPECT_EQ(bookmark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"].as_string(), "true");
  EXPECT_EQ(bookmark["object"]["metadata"]["resourceVersion"].as_string(), now());
}

TEST_F(WatchTest, TheStateOfAVersionThatIsNotThereYetIsRefused) {
  server_.create(kConfigMaps, config_map("a"));
  auto watching = watch(
      "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan&resourceVersion=999999999");
  const std::vector<Value> events = wait_for(watching, 1);
  EXPECT_EQ(watching->status, 200);
  EXPECT_EQ(events[0]["type"].as_string(), "ERROR");
  EXPECT_EQ(events[0]["object"]["code"].as_int(), 504);
  EXPECT_EQ(events[0]["object"]["message"].as_string(),
            "Timeout: Too large resource version: 999999999, current: " + now());
  EXPECT_TRUE(server_.drive([&] { return watching->ended; }));
}

TEST_F(WatchTest, OfAForgottenVersionIsGone) {
  for (int i = 0; i < 4; ++i) server_.create(kConfigMaps, config_map("c" + std::to_string(i)));
  server_.store().compact(server_.store().revision());
  auto watching = watch("&resourceVersion=1");
  std::vector<Value> events = wait_for(watching, 1);
  EXPECT_EQ(watching->status, 200);
  EXPECT_EQ(events[0]["type"].as_string(), "ERROR");
  EXPECT_EQ(events[0]["object"]["kind"].as_string(), "Status");
  EXPECT_EQ(events[0]["object"]["code"].as_int(), 410);
  EXPECT_EQ(events[0]["object"]["reason"].as_string(), "Expired");
  EXPECT_TRUE(server_.drive([&] { return watching->ended; }));
}

TEST_F(WatchTest, ThatFallsOutOfTheHistoryEndsWithAnError) {
  auto watching = watch("");
  ASSERT_TRUE(server_.drive([&] { return watching->status == 200; }));
  watching->stream->pause_reading(true);
  for (int i = 0; i < 20; ++i)
    server_.create(kConfigMaps, config_map("c" + std::to_string(i), std::string(200'000, 'x')));
  server_.store().compact(server_.store().revision());
  watching->stream->pause_reading(false);
  ASSERT_TRUE(server_.drive([&] { return watching->ended; }));
  const std::vector<Value> events = watching->events();
  EXPECT_LT(events.size(), 20u);
  EXPECT_EQ(events.back()["type"].as_string(), "ERROR");
  EXPECT_EQ(events.back()["object"]["code"].as_int(), 410);
}

TEST_F(WatchTest, TablesHaveColumnsOnlyOnce) {
  server_.create(kConfigMaps, config_map("a"));
  server_.create(kConfigMaps, config_map("b"));
  auto watching = watch("", {{"accept", kTable}});
  std::vector<Value> events = wait_for(watching, 2);
  EXPECT_EQ(events[0]["object"]["kind"].as_string(), "Table");
  EXPECT_EQ(events[0]["object"]["columnDefinitions"][0]["name"].as_string(), "Name");
  EXPECT_TRUE(events[1]["object"]["columnDefinitions"].empty());
  EXPECT_EQ(events[1]["object"]["rows"][0]["cells"][0].as_string(), "b");
  EXPECT_EQ(events[1]["object"]["rows"][0]["object"]["kind"].as_string(), "PartialObjectMetadata");
}

TEST_F(WatchTest, PartialMetadata) {
  server_.create(kConfigMaps, config_map("a"));
  auto watching = watch("", {{"accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"}});
  Value event = wait_for(watching, 1)[0];
  EXPECT_EQ(event["object"]["kind"].as_string(), "PartialObjectMetadata");
  EXPECT_FALSE(event["object"].contains("data"));
}

TEST_F(WatchTest, RefusesWhatItCannotRead) {
  EXPECT_EQ(server_.ask("GET", std::string(kConfigMaps) + "?watch=1&resourceVersion=x").status, 500);
  EXPECT_EQ(server_.ask("GET", std::string(kConfigMaps) + "?watch=1&labelSelector=a%20b%20c").status, 400);
  EXPECT_EQ(server_.ask("GET", std::string(kConfigMaps) + "?watch=1&fieldSelector=spec.no%3Dx").status, 400);
}

TEST_F(WatchTest, AWatcherThatGoesLeavesNothingBehind) {
  auto watching = watch("");
  server_.create(kConfigMaps, config_map("a"));
  wait_for(watching, 1);
  watching->stream.reset();
  server_.create(kConfigMaps, config_map("b"));
  EXPECT_EQ(watching->events().size(), 1u);
  EXPECT_EQ(server_.ask("GET", std::string(kConfigMaps) + "/b").status, 200);
}

}  // namespace
}  // namespace berth::apiserver::rest::testing

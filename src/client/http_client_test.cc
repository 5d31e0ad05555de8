#include "client/http_client.h"

#include <optional>

#include "http/test_support.h"

namespace berth::client {
namespace {

using http::testing::drive;

struct Events : WatchHandler {
  std::vector<std::string> seen;
  std::optional<Error> ended;
  Function<void()> after_event;
  void on_event(std::string_view type, const Value& object) override {
    seen.push_back(std::string(type) + " " + object["metadata"]["name"].str());
    if (after_event) after_event();
  }
  void on_end(const Error& error) override { ended = error; }
};

class HttpApiClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_ = http::make_server(loop_, [this](std::shared_ptr<http::Exchange> exchange) {
      last_ = exchange->request();
      handler_(std::move(exchange));
    });
    http::Endpoint endpoint;
    endpoint.address = server_->listen("unix:" + folder_.path() + "/api.sock", std::nullopt).value();
    client_ = make_http_client(loop_, endpoint, "tester", "t0ken");
    answer(200, R"({"kind":"ConfigMap","metadata":{"name":"c"}})");
  }
  void answer(int status, std::string body) {
    handler_ = [status, body](std::shared_ptr<http::Exchange> exchange) {
      exchange->respond(status, "application/json", body);
    };
  }
  template <class Start>
  Result<Value> wait(Start start) {
    std::optional<Result<Value>> got;
    start([&](Result<Value> value) { got.emplace(std::move(value)); });
    EXPECT_FALSE(got.has_value()) << "called back from inside the call";
    EXPECT_TRUE(drive(loop_, [&] { return got.has_value(); }));
    return got ? std::move(*got) : Result<Value>(error(Code::kInternal, "no answer"));
  }
  Result<Value> get() {
    return wait([&](Client::Done done) { client_->get(api::resources::kConfigMaps, {"ns", "c"}, std::move(done)); });
  }
  std::string asked() const { return last_.method + " " + last_.target; }

  berth::testing::TestDirectory folder_;
  Loop loop_{1};
  http::Handler handler_;
  http::Request last_;
  std::unique_ptr<http::Server> server_;
  std::unique_ptr<Client> client_;
};

TEST(ResourcePath, LeavesOutWhatIsEmpty) {
  EXPECT_EQ(resource_path(api::resources::kPods, "ns", "p", "status"), "/api/v1/namespaces/ns/pods/p/status");
  EXPECT_EQ(resource_path(api::resources::kStatefulSets, "", "", ""), "/apis/apps/v1/statefulsets");
  EXPECT_EQ(resource_path(api::resources::kNodes, "", "a/b", ""), "/api/v1/nodes/a%2Fb");
}

TEST_F(HttpApiClientTest, SaysWhoItIs) {
  ASSERT_TRUE(get().ok());
  EXPECT_EQ(asked(), "GET /api/v1/namespaces/ns/configmaps/c");
  EXPECT_EQ(http::header(last_.headers, "authorization"), "Bearer t0ken");
  EXPECT_EQ(http::header(last_.headers, "user-agent"), "tester");
}

TEST_F(HttpApiClientTest, Writes) {
  Value object = Value::object({{"metadata", Value::object({{"namespace", "ns"}, {"name", "c"}})}});
  WriteOptions options;
  options.field_manager = "m n";
  options.dry_run = true;
  EXPECT_TRUE(wait([&](Client::Done done) {
                client_->create(api::resources::kConfigMaps, object, options, std::move(done));
              }).ok());
  EXPECT_EQ(asked(), "POST /api/v1/namespaces/ns/configmaps?fieldManager=m%20n&dryRun=All");
  EXPECT_EQ(json::parse(last_.body).value(), object);
  WriteOptions status;
  status.subresource = "status";
  EXPECT_TRUE(wait([&](Client::Done done) {
                client_->update(api::resources::kConfigMaps, object, status, std::move(done));
              }).ok());
  EXPECT_EQ(asked(), "PUT /api/v1/namespaces/ns/configmaps/c/status");
  WriteOptions force;
  force.force = true;
  EXPECT_TRUE(
      wait([&](Client::Done done) {
        client_->patch(api::resources::kConfigMaps, {"ns", "c"}, PatchType::kApply, object, force, std::move(done));
      }).ok());
  EXPECT_EQ(asked(), "PATCH /api/v1/namespaces/ns/configmaps/c?force=true");
  EXPECT_EQ(http::header(last_.headers, "content-type"), "application/apply-patch+yaml");
  WriteOptions eviction;
  eviction.subresource = "eviction";
  EXPECT_TRUE(wait([&](Client::Done done) {
                client_->create_sub(api::resources::kPods, {"ns", "p"}, object, eviction, std::move(done));
              }).ok());
  EXPECT_EQ(asked(), "POST /api/v1/namespaces/ns/pods/p/eviction");
}

TEST_F(HttpApiClientTest, Deletes) {
  DeleteOptions options;
  options.grace_seconds = 0;
  options.uid = "u";
  options.propagation = "Orphan";
  EXPECT_TRUE(wait([&](Client::Done done) {
                client_->remove(api::resources::kConfigMaps, {"ns", "c"}, options, std::move(done));
              }).ok());
  EXPECT_EQ(asked(), "DELETE /api/v1/namespaces/ns/configmaps/c");
  EXPECT_EQ(
      last_.body,
      R"({"apiVersion":"v1","gracePeriodSeconds":0,"kind":"DeleteOptions","preconditions":{"uid":"u"},"propagationPolicy":"Orphan"})");
}

TEST_F(HttpApiClientTest, ReadsStatusAnswers) {
  answer(409, R"({"kind":"Status","code":409,"reason":"AlreadyExists","message":"there"})");
  Result<Value> refused = get();
  EXPECT_TRUE(refused.failed_with(Code::kAlreadyExists));
  EXPECT_EQ(refused.error().message, "there");
  answer(404, "no JSON at all");
  EXPECT_TRUE(get().failed_with(Code::kNotFound));
  answer(200, "{");
  EXPECT_TRUE(get().failed_with(Code::kUnknown));
}

TEST_F(HttpApiClientTest, Lists) {
  answer(
      200,
      R"({"kind":"ConfigMapList","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"a"}},{"metadata":{"name":"b"}}]})");
  std::optional<Result<List>> got;
  client_->list(api::resources::kConfigMaps, {"", "a in (b,c)", "metadata.name=x"},
                [&](Result<List> list) { got.emplace(std::move(list)); });
  ASSERT_TRUE(drive(loop_, [&] { return got.has_value(); }));
  ASSERT_TRUE(got->ok());
  EXPECT_EQ((*got)->items.size(), 2u);
  EXPECT_EQ((*got)->resource_version, "7");
  EXPECT_EQ(last_.path, "/api/v1/configmaps");
  EXPECT_EQ(last_.parameter("labelSelector"), "a in (b,c)");
  EXPECT_EQ(last_.parameter("fieldSelector"), "metadata.name=x");
}

class WatchingTest : public HttpApiClientTest {
 protected:
  void SetUp() override {
    HttpApiClientTest::SetUp();
    handler_ = [this](std::shared_ptr<http::Exchange> exchange) {
      exchange->start(200, {{"content-type", "application/json"}});
      stream_ = std::move(exchange);
    };
    watch_ = client_->watch(api::resources::kConfigMaps, {"ns", "", ""}, "5", &events_);
    ASSERT_TRUE(drive(loop_, [&] { return stream_ != nullptr; }));
  }
  void say(std::string text) { stream_->write({http::SharedBytes::of(std::move(text))}); }

  Events events_;
  std::shared_ptr<http::Exchange> stream_;
  std::unique_ptr<WatchHandle> watch_;
};

TEST_F(WatchingTest, EventsThatComeInPieces) {
  EXPECT_EQ(last_.parameter("resourceVersion"), "5");
  EXPECT_EQ(last_.parameter("watch"), "true");
  say(R"({"type":"ADDED","object":{"metadata":{"na)");
  for (int i = 0; i < 3; ++i) loop_.run_once(1ms);
  say("me\":\"a\"}}}\n{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"b\"}}}\n");
  ASSERT_TRUE(drive(loop_, [&] { return events_.seen.size() == 2; }));
  EXPECT_EQ(events_.seen[0], "ADDED a");
  EXPECT_EQ(events_.seen[1], "DELETED b");
  stream_->finish();
  ASSERT_TRUE(drive(loop_, [&] { return events_.ended.has_value(); }));
  EXPECT_EQ(events_.ended->code, Code::kUnavailable);
}

TEST_F(WatchingTest, AnErrorEventEndsIt) {
  say("{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"old\"}}\n"
      "{\"type\":\"ADDED\",\"object\":{}}\n");
  ASSERT_TRUE(drive(loop_, [&] { return events_.ended.has_value(); }));
  EXPECT_EQ(events_.ended->code, Code::kExpired);
  say("{\"type\":\"ADDED\",\"object\":{}}\n");
  stream_->finish();
  for (int i = 0; i < 20; ++i) loop_.run_once(1ms);
  EXPECT_TRUE(events_.seen.empty());
}

TEST_F(WatchingTest, NonsenseEndsIt) {
  say("nonsense\n");
  ASSERT_TRUE(drive(loop_, [&] { return events_.ended.has_value(); }));
  EXPECT_EQ(events_.ended->code, Code::kUnavailable);
}

TEST_F(WatchingTest, TheHandlerMayEndItInTheMiddle) {
  events_.after_event = [&] { watch_.reset(); };
  say("{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"ADDED\",\"object\":{}}\n");
  ASSERT_TRUE(drive(loop_, [&] { return !events_.seen.empty(); }));
  for (int i = 0; i < 20; ++i) loop_.run_once(1ms);
  EXPECT_EQ(events_.seen.size(), 1u);
  EXPECT_FALSE(events_.ended.has_value());
}

TEST_F(HttpApiClientTest, AWatchThatIsRefused) {
  answer(403, R"({"kind":"Status","code":403,"reason":"Forbidden","message":"no"})");
  Events events;
  auto watch = client_->watch(api::resources::kConfigMaps, {}, "", &events);
  ASSERT_TRUE(drive(loop_, [&] { return events.ended.has_value(); }));
  EXPECT_EQ(events.ended->code, Code::kForbidden);
  EXPECT_EQ(events.ended->message, "no");
}

}  // namespace
}  // namespace berth::client

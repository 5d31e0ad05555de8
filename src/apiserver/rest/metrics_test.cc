// metrics.k8s.io, with a node's agent played by the test.
#include "apiserver/rest/test_server.h"

namespace berth::apiserver::rest::testing {
namespace {

const std::string kMetrics = "/apis/metrics.k8s.io/v1beta1";

class MetricsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    EXPECT_EQ(server_.create("/api/v1/nodes", parsed(R"({"metadata":{"name":"node-1","labels":{"zone":"a"}}})")).status,
              201);
    web_ = make("web", "node-1");
    make("lost", "node-2");
    make("unbound", "");
    server_.set_agent([this](std::shared_ptr<http::Exchange> exchange) {
      ++asked_;
      EXPECT_EQ(exchange->request().path, "/usage");
      Value report =
          parsed(R"({"node":{"timestamp":"2026-01-01T00:00:00Z","window":"15s","usage":{"cpu":"1500m","memory":"1Gi"}},
          "pods":[{"namespace":"default","name":"web","uid":"UID","timestamp":"2026-01-01T00:00:00Z","window":"15s",
                   "containers":[{"name":"a","usage":{"cpu":"1500n","memory":"5Ki"}},{"name":"b","usage":{"cpu":"500n","memory":"1Ki"}}]}]})");
      report.mut("pods").mut(0).set("uid", web_);
      exchange->respond(200, "application/json", json::encode(report));
    });
  }
  static Value parsed(std::string_view text) { return json::parse(text).value(); }
  std::string make(const std::string& name, const std::string& node) {
    Value pod = parsed(R"({"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"a","image":"i"}]}})");
    pod.mut("metadata").set("name", name);
    pod.mut("spec").set("nodeName", node);
    return server_.create("/api/v1/namespaces/default/pods", pod).json()["metadata"]["uid"].str();
  }
  Value get(const std::string& path) { return server_.ask("GET", kMetrics + path).json(); }

  TestServer server_;
  std::string web_;
  int asked_ = 0;
};

TEST_F(MetricsTest, OfNodes) {
  Value list = get("/nodes");
  EXPECT_EQ(list["kind"].as_string(), "NodeMetricsList");
  ASSERT_EQ(list["items"].size(), 1u);
  EXPECT_EQ(list["items"][0]["metadata"]["labels"]["zone"].as_string(), "a");
  EXPECT_EQ(list["items"][0]["usage"]["cpu"].as_string(), "1500m");
  EXPECT_EQ(get("/nodes/node-1")["kind"].as_string(), "NodeMetrics");
  EXPECT_EQ(get("/nodes/none")["message"].as_string(), "nodemetrics.metrics.k8s.io \"none\" not found");
  EXPECT_EQ(get("/nodes?labelSelector=zone%3Db")["items"].size(), 0u);
}

TEST_F(MetricsTest, OfPods) {
  Value list = get("/namespaces/default/pods?labelSelector=app%3Dweb");
  EXPECT_EQ(list["kind"].as_string(), "PodMetricsList");
  ASSERT_EQ(list["items"].size(), 1u);  // the others are not measured
  const Value& item = list["items"][0];
  EXPECT_EQ(item["metadata"]["namespace"].as_string(), "default");
  EXPECT_EQ(item["containers"][1]["usage"]["cpu"].as_string(), "500n");
  EXPECT_EQ(item["window"].as_string(), "15s");
  EXPECT_TRUE(item["uid"].is_null());
  EXPECT_EQ(get("/pods")["items"].size(), 1u);
  EXPECT_EQ(get("/namespaces/other/pods")["items"].size(), 0u);
  EXPECT_EQ(get("/namespaces/default/pods/lost")["message"].as_string(),
            "podmetrics.metrics.k8s.io \"default/lost\" not found");
  EXPECT_EQ(get("/namespaces/default/pods/none")["code"].as_int(), 404);
  Answered table = server_.ask("GET", kMetrics + "/namespaces/default/pods", "",
                               {{"accept", "application/json;as=Table;v=v1;g=meta.k8s.io"}});
  EXPECT_EQ(json::encode(table.json()["rows"][0]["cells"]), R"(["web","2u","6Ki","15s"])");
}

TEST_F(MetricsTest, NobodyIsAskedInVain) {
  EXPECT_EQ(get("/namespaces/other/pods")["items"].size(), 0u);
  EXPECT_EQ(asked_, 0);
  EXPECT_EQ(server_.ask("POST", kMetrics + "/namespaces/default/pods", "{}", TestServer::kJson).status, 405);
  EXPECT_EQ(server_.ask("GET", "/apis/metrics.k8s.io/v1beta1").json()["resources"][1]["kind"].as_string(),
            "PodMetrics");
}

TEST_F(MetricsTest, AnAgentThatFailsIsLeftOut) {
  server_.set_agent([](std::shared_ptr<http::Exchange> exchange) { exchange->respond(500, "text/plain", "no"); });
  EXPECT_EQ(get("/nodes")["items"].size(), 0u);
  EXPECT_EQ(get("/nodes/node-1")["code"].as_int(), 404);
}

}  // namespace
}  // namespace berth::apiserver::rest::testing

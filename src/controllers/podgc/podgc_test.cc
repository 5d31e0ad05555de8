#include <gtest/gtest.h>

#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/podgc/controller.h"

namespace berth::controllers::podgc {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value make_pod(const std::string& name, const char* phase = "Running") {
  Value pod = from(
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","generation":3},"spec":{"nodeName":"n1"}})");
  pod.mut("metadata").set("name", name).set("uid", "uid-" + name);
  pod.mut("status").set("phase", phase);
  return pod;
}
Value is_deleted(Value pod) {
  pod.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  return pod;
}
Value make_node(bool ready, bool out_of_service) {
  Value node = from(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","uid":"n1"},"spec":{}})");
  node.mut("status").set("conditions",
                         Value::array({Value::object({{"type", "Ready"}, {"status", ready ? "True" : "Unknown"}})}));
  if (out_of_service)
    node.mut("spec").set("taints",
                         from(R"([{"key":"node.kubernetes.io/out-of-service","value":"x","effect":"NoExecute"}])"));
  return node;
}

TEST(PodGcPlan, OnlyPodsOfNodesThatAreReallyGone) {
  LostView view;
  view.pod = make_pod("a");
  view.node = make_node(false, false);
  EXPECT_TRUE(plan_lost(view, {}, kNow).empty());
  view.node = Value();
  view.node_missing = 10s;
  EXPECT_FALSE(needs_live_node(view, {}));
  EXPECT_EQ(plan_lost(view, {}, kNow).requeue_delay, Duration(30s));
  view.node_missing = 40s;
  EXPECT_TRUE(needs_live_node(view, {}));
  view.live_node = LostView::LiveNode::kThere;
  EXPECT_TRUE(plan_lost(view, {}, kNow).empty());
  view.live_node = LostView::LiveNode::kGone;
  Plan plan = plan_lost(view, {}, kNow);
  ASSERT_EQ(plan.chains[0].size(), 2u);
  EXPECT_EQ(plan.chains[0][0].object["status"],
            from(R"({"phase":"Failed","conditions":[{"type":"DisruptionTarget","status":"True","lastProbeTime":null,
      "lastTransitionTime":"2026-01-01T01:00:00Z","reason":"DeletionByPodGC","message":"PodGC: node no longer exists","observedGeneration":3}]})"));
  EXPECT_EQ(plan.chains[0][1].options.grace_seconds, 0);
  EXPECT_EQ(plan.chains[0][1].options.uid, "uid-a");
  view.pod = make_pod("a", "Succeeded");
  EXPECT_EQ(plan_lost(view, {}, kNow).chains[0].size(), 1u);  // its phase stays
}

TEST(PodGcPlan, PodsThatWereNeverPlaced) {
  LostView view;
  view.pod = make_pod("a", "Pending");
  view.pod.mut("spec").erase("nodeName");
  EXPECT_TRUE(plan_lost(view, {}, kNow).empty());
  view.pod = is_deleted(view.pod);
  const Plan plan = plan_lost(view, {}, kNow);
  ASSERT_EQ(plan.chains[0].size(), 2u);
  EXPECT_EQ(plan.chains[0][0].object["status"], from(R"({"phase":"Failed"})"));
  EXPECT_TRUE(plan_lost(LostView(), {}, kNow).empty());
}

TEST(PodGcPlan, NodesOutOfService) {
  struct Case {
    bool ready, tainted, is_deleted, goes;
  };
  for (const Case& c : {Case{false, true, true, true},
                        {true, true, true, false},
                        {false, false, true, false},
                        {false, true, false, false}}) {
    LostView view;
    view.pod = c.is_deleted ? is_deleted(make_pod("a")) : make_pod("a");
    view.node = make_node(c.ready, c.tainted);
    EXPECT_EQ(!plan_lost(view, {}, kNow).empty(), c.goes) << c.ready << c.tainted << c.is_deleted;
  }
}

TEST(PodGcPlan, TheOldestThatHaveEndedGoFirst) {
  PodGcConfig config;
  config.ended_kept = 2;
  auto at = [](Value pod, const char* time) {
    pod.mut("metadata").set("creationTimestamp", time);
    return pod;
  };
  Value evicted = at(make_pod("evicted", "Failed"), "2026-01-01T00:09:00Z");
  evicted.mut("status").set("reason", "Evicted");
  const std::vector<Value> ended = {at(make_pod("young", "Succeeded"), "2026-01-01T00:05:00Z"),
                                    at(make_pod("old", "Failed"), "2026-01-01T00:01:00Z"),
                                    at(make_pod("middle", "Succeeded"), "2026-01-01T00:03:00Z"), evicted};
  const Plan plan = plan_ended(ended, config);
  ASSERT_EQ(plan.chains.size(), 2u);
  EXPECT_EQ(plan.chains[0][0].name.name, "evicted");
  EXPECT_EQ(plan.chains[1][0].name.name, "old");
  config.ended_kept = 4;
  EXPECT_TRUE(plan_ended(ended, config).empty());
  config.ended_kept = 0;  // no limit
  EXPECT_TRUE(plan_ended(ended, config).empty());
}

struct PodGcTest : ::testing::Test {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  std::vector<std::unique_ptr<Driver>> drivers;
  void start(PodGcConfig config = {}) {
    for (auto& one : make_controllers(informers, config))
      drivers.push_back(std::make_unique<Driver>(informers, std::move(one)));
  }
};

TEST_F(PodGcTest, PodsOfANodeThatIsGoneAreForgotten) {
  api.put(kNodes, make_node(true, false));
  api.put(kPods, make_pod("a"));
  start();
  runtime.advance(1min);
  EXPECT_EQ(api.count(kPods), 1u);
  api.erase(kNodes, {"", "n1"});
  runtime.advance(30s);
  EXPECT_EQ(api.count(kPods), 1u);
  runtime.advance(11s);
  EXPECT_EQ(api.count(kPods), 0u);
}

// A pod that its owner creates for the missing node is not deleted at once.
TEST_F(PodGcTest, APodMadeForAMissingNodeHasTheQuarantineToItself) {
  api.put(kNodes, make_node(true, false));
  start();
  api.erase(kNodes, {"", "n1"});
  for (int i = 0; i < 3; ++i) {
    Value pod = make_pod("a" + std::to_string(i));
    pod.mut("metadata").set("creationTimestamp", format_time(runtime.now()));
    api.put(kPods, pod);
    runtime.advance(38s);
    EXPECT_EQ(api.count(kPods), 1u) << i;
    runtime.advance(4s);
    EXPECT_EQ(api.count(kPods), 0u) << i;
  }
}

TEST_F(PodGcTest, ANodeTakenOutOfServiceLetsItsPodsGo) {
  api.put(kNodes, make_node(false, false));
  api.put(kPods, is_deleted(make_pod("a")));
  api.put(kPods, make_pod("b"));
  start();
  runtime.advance(1h);
  EXPECT_EQ(api.count(kPods), 2u);
  api.put(kNodes, make_node(false, true));
  runtime.advance(1s);
  EXPECT_EQ(api.count(kPods), 1u);
  api.put(kPods, is_deleted(make_pod("b")));
  runtime.advance(1s);
  EXPECT_EQ(api.count(kPods), 0u);
}

TEST_F(PodGcTest, OnlySoManyEndedPodsAreKept) {
  PodGcConfig config;
  config.ended_kept = 3;
  api.put(kNodes, make_node(true, false));
  start(config);
  for (const char* name : {"a", "b", "c", "d", "e"}) {
    api.put(kPods, make_pod(name));
    runtime.advance(1s);
    api.put(kPods, make_pod(name, "Succeeded"));
    runtime.advance(1s);
  }
  EXPECT_EQ(api.count(kPods), 3u);
}

}  // namespace
}  // namespace berth::controllers::podgc

#include <gtest/gtest.h>

#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/node/controller.h"
#include "controllers/shared/taints.h"

namespace berth::controllers::node {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value make_node(const char* ready = "True") {
  Value node = from(
      R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n1","uid":"n1","resourceVersion":"4"},"spec":{},"status":{}})");
  node.mut("status").set("conditions", Value::array({Value::object({{"type", "Ready"}, {"status", ready}})}));
  return node;
}

Value make_pod(const char* name, const char* tolerations = "[]") {
  Value pod = from(R"({"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default"},"spec":{"nodeName":"n1"},
      "status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}})");
  pod.mut("metadata").set("name", name).set("uid", name);
  pod.mut("spec").set("tolerations", from(tolerations));
  return pod;
}

Value make_lease(const char* renewed) {
  Value lease = from(
      R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"n1","namespace":"kube-node-lease"},"spec":{}})");
  lease.mut("spec").set("renewTime", renewed);
  return lease;
}

TEST(TaintsTest, FollowConditionsAndCordonAndLeaveOthersAlone) {
  Value node = make_node("Unknown");
  node.mut("spec").set("unschedulable", true).set("taints", from(R"([{"key":"mine","effect":"NoSchedule"},
      {"key":"node.kubernetes.io/not-ready","effect":"NoExecute"},
      {"key":"node.kubernetes.io/unreachable","effect":"NoExecute","timeAdded":"2026-01-01T00:00:00Z"}])"));
  std::string out;
  for (const Value& taint : desired_taints(node, kNow)) {
    out += taint["key"].str() + ":" + taint["effect"].str() + "@" + taint["timeAdded"].str() + " ";
  }
  EXPECT_EQ(
      out,
      "mine:NoSchedule@ node.kubernetes.io/unreachable:NoExecute@2026-01-01T00:00:00Z "
      "node.kubernetes.io/unreachable:NoSchedule@2026-01-01T01:00:00Z node.kubernetes.io/unschedulable:NoSchedule@2026-01-01T01:00:00Z ");
}

TEST(TaintsTest, HowLongAPodMayStay) {
  const Value taint = from(R"({"key":"k","effect":"NoExecute"})");
  EXPECT_EQ(tolerated_for(make_pod("a"), taint), Duration::zero());
  EXPECT_EQ(tolerated_for(make_pod("a", R"([{"operator":"Exists"}])"), taint), std::nullopt);
  // The first matching toleration counts.
  EXPECT_EQ(
      tolerated_for(
          make_pod(
              "a",
              R"([{"key":"k","operator":"Exists","tolerationSeconds":300},{"key":"k","operator":"Exists","tolerationSeconds":20}])"),
          taint),
      Duration(300s));
  EXPECT_EQ(
      tolerated_for(make_pod("a", R"([{"operator":"Exists"},{"key":"k","operator":"Exists","tolerationSeconds":20}])"),
                    taint),
      std::nullopt);
  EXPECT_EQ(tolerated_for(make_pod("a", R"([{"key":"k","operator":"Exists","tolerationSeconds":-1}])"), taint),
            Duration::zero());
  EXPECT_EQ(tolerated_for(make_pod("a", R"([{"key":"k","operator":"Exists","tolerationSeconds":9223372036854775807}])"),
                          taint),
            Duration(std::chrono::seconds(INT32_MAX)));
}

TEST(HealthPlanTest, ANewNodeIsAnnounced) {
  HealthView view{make_node(), {}, 0s, true};
  Plan plan = plan_health(view, {}, kNow);
  ASSERT_EQ(plan.events.size(), 1u);
  EXPECT_EQ(plan.events[0].reason, "RegisteredNode");
  EXPECT_EQ(plan.events[0].message, "Node n1 event: Registered Node n1 in Controller");
  view.unknown = false;
  EXPECT_TRUE(plan_health(view, {}, kNow).events.empty());
}

TEST(HealthPlanTest, SilenceMakesUnknownThenTaintsAndUnreadyPods) {
  HealthView view{make_node(), {make_pod("a")}, 10s};
  EXPECT_TRUE(plan_health(view, {}, kNow).empty());
  EXPECT_EQ(plan_health(view, {}, kNow).requeue_delay, NodeHealthConfig{}.grace - 10s);
  view.silent = NodeHealthConfig{}.grace;
  Plan plan = plan_health(view, {}, kNow);
  ASSERT_EQ(plan.first.size(), 1u);
  const Value& conditions = plan.first[0].object["status"]["conditions"];
  EXPECT_EQ(conditions[0]["reason"].as_string(), "NodeStatusUnknown");
  EXPECT_EQ(conditions[0]["message"].as_string(), "Kubelet stopped posting node status.");
  EXPECT_EQ(conditions[1]["reason"].as_string(), "NodeStatusNeverUpdated");
  view.node.mut("status").set("conditions", conditions);
  plan = plan_health(view, {}, kNow);
  ASSERT_EQ(plan.chains.size(), 2u);
  EXPECT_EQ(plan.chains[0][0].object["spec"]["taints"].size(), 2u);
  EXPECT_EQ(plan.chains[1][0].object["status"]["conditions"][0]["status"].as_string(), "False");
  // The agent posts Ready again: the taints are removed.
  view.node = make_node();
  view.node.mut("spec").set("taints", plan.chains[0][0].object["spec"]["taints"]);
  view.silent = 0s;
  plan = plan_health(view, {}, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_TRUE(plan.chains[0][0].object["spec"]["taints"].is_null());
}

TEST(EvictionPlanTest, PodsGoWhenTheirTimeIsUp) {
  EvictionView view;
  view.node = make_node("Unknown");
  view.node.mut("spec").set(
      "taints",
      from(R"([{"key":"node.kubernetes.io/unreachable","effect":"NoExecute","timeAdded":"2026-01-01T00:59:00Z"}])"));
  view.pods = {
      make_pod("now"),
      make_pod("later", R"([{"key":"node.kubernetes.io/unreachable","operator":"Exists","tolerationSeconds":300}])"),
      make_pod("never", R"([{"operator":"Exists"}])")};
  Plan plan = plan_eviction(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["status"]["conditions"][0]["reason"].as_string(), "DeletionByTaintManager");
  EXPECT_EQ(plan.chains[0][1].on_success[0].message, "Marking for deletion Pod default/now");
  EXPECT_EQ(plan.requeue_delay, Duration(240s));
  EXPECT_EQ(plan_eviction(view, kNow + 240s).chains.size(), 2u);
  view.node.mut("spec").erase("taints");
  EXPECT_TRUE(plan_eviction(view, kNow + 240s).empty());
}

TEST(EvictionPlanTest, AnUndatedTaintCountsFromWhenItWasSeenAndALaterPodFromWhenItWasMade) {
  const char* five = R"([{"key":"k","operator":"Exists","tolerationSeconds":5}])";
  EvictionView view;
  view.node = make_node();
  view.node.mut("spec").set("taints", from(R"([{"key":"k","value":"x","effect":"NoExecute"}])"));
  view.seen[taint_key(view.node["spec"]["taints"][0])] = kNow;
  view.pods = {make_pod("old", five)};
  EXPECT_EQ(plan_eviction(view, kNow + 2s).requeue_delay, Duration(3s));
  EXPECT_EQ(plan_eviction(view, kNow + 5s).chains.size(), 1u);
  view.pods = {make_pod("new", five)};
  view.pods[0].mut("metadata").set("creationTimestamp", format_time(kNow + 60s));
  EXPECT_EQ(plan_eviction(view, kNow + 60s).requeue_delay, Duration(5s));
  // Also on a node that has long had a dated taint: if it were evicted at once, its owner would create it again for
  // ever.
  view.node.mut("spec").mut("taints").mut(std::size_t{0}).set("timeAdded", "2026-01-01T00:00:00Z");
  EXPECT_EQ(plan_eviction(view, kNow + 60s).requeue_delay, Duration(5s));
  EXPECT_EQ(plan_eviction(view, kNow + 65s).chains.size(), 1u);
}

TEST(EvictionPlanTest, EachTaintHasItsOwnTime) {
  EvictionView view;
  view.node = make_node();
  view.node.mut("spec").set("taints", from(R"([{"key":"a","effect":"NoExecute","timeAdded":"2026-01-01T00:59:55Z"},
                                               {"key":"b","effect":"NoExecute","timeAdded":"2026-01-01T01:00:00Z"}])"));
  view.pods = {make_pod(
      "p",
      R"([{"key":"a","operator":"Exists","tolerationSeconds":60},{"key":"b","operator":"Exists","tolerationSeconds":20}])")};
  EXPECT_EQ(plan_eviction(view, kNow).requeue_delay, Duration(20s));
}

TEST(NodeControllersTest, AHandMadeTaintEvictsInTime) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  Value node = make_node();
  api.put(kNodes, node);
  api.put(kPods, make_pod("a", R"([{"key":"k","operator":"Exists","tolerationSeconds":5}])"));
  Driver driver(informers, make_eviction_controller(informers));
  runtime.advance(1s);
  node.mut("spec").set("taints", from(R"([{"key":"k","value":"x","effect":"NoExecute"}])"));
  api.put(kNodes, node);
  for (int i = 0; i < 4; ++i) {
    runtime.advance(1s);
    // Other changes of the node, and another taint, do not restart the time.
    node.mut("metadata").mut("labels").set("tick", std::to_string(i));
    if (i == 2) node.mut("spec").mut("taints").push(from(R"({"key":"soft","effect":"NoSchedule"})"));
    api.put(kNodes, node);
  }
  EXPECT_EQ(api.count(kPods), 1u);
  runtime.advance(2s);
  EXPECT_EQ(api.count(kPods), 0u);
}

TEST(NodeControllersTest, ALeaseKeepsANodeAliveAndItsEndEvicts) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  api.put(kNodes, make_node());
  api.put(kPods, make_pod("a"));
  std::vector<std::unique_ptr<Driver>> drivers;
  for (auto& one : make_controllers(informers)) drivers.push_back(std::make_unique<Driver>(informers, std::move(one)));
  for (int i = 0; i < 20; ++i) {
    api.put(kLeases, make_lease(std::to_string(i).c_str()));
    runtime.advance(10s);
  }
  EXPECT_EQ(api::condition_of(api.read(kNodes, {"", "n1"}), "Ready")["status"].as_string(), "True");
  EXPECT_EQ(api.count(kPods), 1u);
  runtime.advance(60s);
  EXPECT_EQ(api::condition_of(api.read(kNodes, {"", "n1"}), "Ready")["status"].as_string(), "Unknown");
  EXPECT_EQ(api.count(kPods), 0u);
  // The agent writes its status again: the taints are removed.
  Value node = api.read(kNodes, {"", "n1"});
  EXPECT_EQ(node["spec"]["taints"].size(), 2u);
  node.set("status", make_node()["status"]);
  api.put(kLeases, make_lease("again"));
  api.put(kNodes, node);
  runtime.advance(1s);
  EXPECT_TRUE(api.read(kNodes, {"", "n1"})["spec"]["taints"].empty());
}

}  // namespace
}  // namespace berth::controllers::node

#include "scheduler/plan.h"

#include <gtest/gtest.h>

#include "scheduler/score/score.h"
#include "scheduler/test_objects.h"

namespace berth::scheduler {
namespace {

using namespace testing;  // NOLINT

struct PlanTest : ::testing::Test {
  Snapshot snapshot;
  FakeView view;
  std::size_t next_node = 0;
  SchedulingDecision run(const Value& pod) { return decide(*make_pod_info(pod), snapshot, view, next_node); }
  void place(const Value& pod, const std::string& node) { snapshot.place(make_pod_info(pod), node); }
  // The message for a pod that must be unschedulable.
  std::string refusal(const Value& pod) {
    const SchedulingDecision decision = run(pod);
    EXPECT_EQ(decision.node, "");
    return decision.message;
  }
};

constexpr const char* kHopeless =
    " no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
constexpr const char* kNoVictims =
    " no new claims to deallocate, preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.";

TEST_F(PlanTest, NoNodes) { EXPECT_EQ(refusal(make_pod("a")), "no nodes available to schedule pods"); }

TEST_F(PlanTest, ResourcesAreCountedWithPlacedPods) {
  snapshot.set_node(make_node("n1", "1", "1Gi"));
  EXPECT_EQ(run(make_pod("a", "600m")).node, "n1");
  place(make_pod("a", "600m"), "n1");
  EXPECT_EQ(refusal(make_pod("b", "600m", "2Gi")),
            std::string("0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.") + kHopeless);
  EXPECT_EQ(refusal(make_pod("b", "600m")), std::string("0/1 nodes are available: 1 Insufficient cpu.") + kNoVictims);
  EXPECT_EQ(run(make_pod("b", "400m")).node, "n1");
  snapshot.remove("pod-a");
  EXPECT_EQ(run(make_pod("b", "600m")).node, "n1");
}

TEST_F(PlanTest, TooManyPods) {
  snapshot.set_node(make_node("n1", "4", "8Gi", "1"));
  place(make_pod("a"), "n1");
  EXPECT_EQ(refusal(make_pod("b")), std::string("0/1 nodes are available: 1 Too many pods.") + kNoVictims);
}

TEST_F(PlanTest, InitContainersCountAtTheirPeakAndSidecarsAlways) {
  Value pod = make_pod("a", "500m");
  pod.mut("spec").set("initContainers", from(R"([
      {"name":"side","restartPolicy":"Always","resources":{"requests":{"cpu":"200m"}}},
      {"name":"once","resources":{"requests":{"cpu":"900m","nvidia.com/gpu":"1"}}}])"));
  pod.mut("spec").set("overhead", from(R"({"cpu":"10m"})"));
  const ResourceAmounts amounts = requests_of(pod);
  EXPECT_EQ(amounts.milli_cpu, 1110);  // the sidecar beside the init container, and the overhead
  EXPECT_EQ(amounts.of("nvidia.com/gpu"), 1);
  snapshot.set_node(make_node("n1"));
  EXPECT_NE(refusal(pod).find("1 Insufficient nvidia.com/gpu."), std::string::npos);
  pod.mut("spec").set("resources", from(R"({"requests":{"cpu":"2"}})"));
  EXPECT_EQ(requests_of(pod).milli_cpu, 2010);
}

TEST_F(PlanTest, AResizeHoldsWhatIsGrantedAndInForce) {
  Value pod = make_pod("a", "500m");
  auto with_status = [&](const char* status) {
    pod.set("status", from(status));
    return requests_of(pod).milli_cpu;
  };
  EXPECT_EQ(with_status(R"({"containerStatuses":[{"name":"c"}]})"), 500);
  // A larger grant is being given back; a smaller one is in force, the larger one granted.
  EXPECT_EQ(with_status(R"({"containerStatuses":[
      {"name":"c","resources":{"requests":{"cpu":"2"}},"allocatedResources":{"cpu":"500m"}}]})"),
            2000);
  EXPECT_EQ(with_status(R"({"containerStatuses":[
      {"name":"c","resources":{"requests":{"cpu":"200m"}},"allocatedResources":{"cpu":"700m"}}]})"),
            700);
  EXPECT_EQ(with_status(R"({"containerStatuses":[
      {"name":"c","resources":{"requests":{"cpu":"200m"}},"allocatedResources":{"cpu":"200m"}}]})"),
            500);
  // Refused for good: the spec does not count. Deferred: it does.
  EXPECT_EQ(with_status(R"({"conditions":[{"type":"PodResizePending","reason":"Infeasible"}],"containerStatuses":[
      {"name":"c","resources":{"requests":{"cpu":"200m"}},"allocatedResources":{"cpu":"200m"}}]})"),
            200);
  EXPECT_EQ(with_status(R"({"conditions":[{"type":"PodResizePending","reason":"Deferred"}],"containerStatuses":[
      {"name":"c","resources":{"requests":{"cpu":"200m"}},"allocatedResources":{"cpu":"200m"}}]})"),
            500);
  // Sidecars likewise, init containers that end do not.
  pod.mut("spec").set("initContainers", from(R"([
      {"name":"side","restartPolicy":"Always","resources":{"requests":{"cpu":"100m"}}},
      {"name":"once","resources":{"requests":{"cpu":"100m"}}}])"));
  EXPECT_EQ(with_status(R"({"initContainerStatuses":[
      {"name":"side","resources":{"requests":{"cpu":"300m"}},"allocatedResources":{"cpu":"100m"}},
      {"name":"once","resources":{"requests":{"cpu":"9"}},"allocatedResources":{"cpu":"9"}}]})"),
            800);
  // The pod's own requests, where it has them.
  pod.mut("spec").set("resources", from(R"({"requests":{"cpu":"1"}})"));
  EXPECT_EQ(with_status(R"({"resources":{"requests":{"cpu":"3"}},"allocatedResources":{"cpu":"1"}})"), 3000);
}

TEST_F(PlanTest, CordonTaintsAndTolerations) {
  Value node = make_node("n1");
  node.mut("spec").set("unschedulable", true);
  snapshot.set_node(node);
  EXPECT_EQ(refusal(make_pod("a")), std::string("0/1 nodes are available: 1 node(s) were unschedulable.") + kHopeless);
  node.mut("spec").erase("unschedulable");
  node.mut("spec").set(
      "taints", from(R"([{"key":"k","value":"v","effect":"NoSchedule"},{"key":"p","effect":"PreferNoSchedule"}])"));
  snapshot.set_node(node);
  EXPECT_EQ(refusal(make_pod("a")),
            std::string("0/1 nodes are available: 1 node(s) had untolerated taint(s).") + kHopeless);
  Value pod = make_pod("a");
  pod.mut("spec").set("tolerations", from(R"([{"key":"k","operator":"Equal","value":"other"}])"));
  EXPECT_EQ(run(pod).node, "");
  pod.mut("spec").set("tolerations", from(R"([{"key":"k","operator":"Exists","effect":"NoSchedule"}])"));
  EXPECT_EQ(run(pod).node, "n1");
}

TEST_F(PlanTest, SelectorAndRequiredAffinity) {
  snapshot.set_node(make_node("n1"));
  Value n2 = make_node("n2");
  n2.mut("metadata").mut("labels").set("disk", "ssd").set("size", "7");
  snapshot.set_node(n2);
  Value pod = make_pod("a");
  pod.mut("spec").set("nodeSelector", from(R"({"disk":"ssd"})"));
  EXPECT_EQ(run(pod).node, "n2");
  pod.mut("spec").set("nodeSelector", from(R"({"disk":"none"})"));
  EXPECT_EQ(refusal(pod).substr(0, 80),
            "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no");
  pod = make_pod("a");
  auto require = [&](const char* term) {
    pod.mut("spec").set(
        "affinity",
        from(
            std::string(R"({"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[)") +
            term + "]}}}"));
    return run(pod).node;
  };
  EXPECT_EQ(require(R"({"matchExpressions":[{"key":"size","operator":"Gt","values":["6"]}]})"), "n2");
  EXPECT_EQ(require(R"({"matchExpressions":[{"key":"size","operator":"Gt","values":["7"]}]})"), "");
  EXPECT_EQ(require(R"({"matchExpressions":[{"key":"disk","operator":"DoesNotExist"}]})"), "n1");
  EXPECT_EQ(require(R"({"matchFields":[{"key":"metadata.name","operator":"In","values":["n2"]}]})"), "n2");
  EXPECT_EQ(require("{}"), "");
}

TEST_F(PlanTest, HostPorts) {
  snapshot.set_node(make_node("n1"));
  Value pod = make_pod("a");
  pod.mut("spec").mut("containers").mut(0).set("ports", from(R"([{"containerPort":80,"hostPort":80}])"));
  place(pod, "n1");
  Value other = make_pod("b");
  other.mut("spec")
      .mut("containers")
      .mut(0)
      .set("ports", from(R"([{"containerPort":80,"hostPort":80,"hostIP":"10.0.0.1"}])"));
  EXPECT_EQ(refusal(other),
            std::string("0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.") +
                kNoVictims);
  other.mut("spec").mut("containers").mut(0).mut("ports").mut(0).set("protocol", "UDP");
  EXPECT_EQ(run(other).node, "n1");
}

TEST_F(PlanTest, ClaimsThatKeepAPodEverywhere) {
  snapshot.set_node(make_node("n1"));
  const std::string rest = " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.";
  const Value pod = with_claim(make_pod("a"), "x");
  EXPECT_EQ(refusal(pod), "0/1 nodes are available: persistentvolumeclaim \"x\" not found." + rest);
  view.claims["default/x"] = make_claim("x", "now");
  EXPECT_EQ(refusal(pod), "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims." + rest);
  view.claims["default/x"].mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_EQ(refusal(pod), "0/1 nodes are available: persistentvolumeclaim \"x\" is being deleted." + rest);
}

TEST_F(PlanTest, BoundClaimsHoldThePodOnTheirNode) {
  snapshot.set_node(make_node("n1"));
  snapshot.set_node(make_node("n2"));
  view.claims["default/x"] = bind_claim(make_claim("x", "local"), "v");
  const Value pod = with_claim(make_pod("a"), "x");
  EXPECT_NE(refusal(pod).find("2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)."),
            std::string::npos);
  view.known_volumes["v"] = make_volume("v", "n2");
  EXPECT_EQ(run(pod).node, "n2");
  view.known_volumes["v"] = make_volume("v", "n3");
  EXPECT_NE(refusal(pod).find("2 node(s) didn't match PersistentVolume's node affinity."), std::string::npos);
}

TEST_F(PlanTest, AVolumesPlaceIsExplained) {
  auto zoned = [](const std::string& name, const std::string& zone) {
    return labelled(make_node(name), "topology.kubernetes.io/zone", zone);
  };
  snapshot.set_node(zoned("n1", "east"));
  snapshot.set_node(zoned("n2", "west"));
  view.claims["default/x"] = bind_claim(make_claim("x", "local"), "v");
  view.known_volumes["v"] = make_volume("v", "n1");
  view.known_volumes["v"].mut("spec").set("nodeAffinity",
                                          from(R"({"required":{"nodeSelectorTerms":[{"matchExpressions":[
      {"key":"topology.kubernetes.io/zone","operator":"In","values":["west"]}]}]}})"));
  const Value pod = with_claim(make_pod("a", "1"), "x");
  EXPECT_EQ(run(pod).node, "n2");
  Value cordoned = zoned("n2", "west");
  cordoned.mut("spec").set("unschedulable", true);
  snapshot.set_node(cordoned);
  const std::string upstream =
      "0/2 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity, 1 node(s) were unschedulable. no new claims to deallocate, "
      "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
  EXPECT_EQ(
      refusal(pod),
      upstream +
          " Claim \"x\" has its data on volume \"v\", which can only be used in zone \"west\": node n2 is cordoned; "
          "uncordon it or add a node to that zone.");
  snapshot.remove_node("n2");
  EXPECT_NE(refusal(pod).find("in zone \"west\": no node is there; add a node to that zone."), std::string::npos);
  snapshot.set_node(zoned("n3", "west"));
  EXPECT_EQ(run(pod).node, "n3");
  // A volume usable on one node, which is full.
  view.known_volumes["v"] = make_volume("v", "n1");
  place(make_pod("big", "4"), "n1");
  EXPECT_NE(refusal(pod).find("on node \"n1\": node n1 refused it (Insufficient cpu); make room on it."),
            std::string::npos);
  snapshot.remove_node("n1");
  EXPECT_NE(refusal(pod).find("on node \"n1\": no such node is in the cluster; bring that node back."),
            std::string::npos);
}

TEST_F(PlanTest, WaitingClaimsAreProvisionedOrTakeAFreeVolume) {
  snapshot.set_node(make_node("n1"));
  view.classes["local"] = make_class("local", "WaitForFirstConsumer");
  view.claims["default/x"] = make_claim("x", "local");
  const Value pod = with_claim(make_pod("a"), "x");
  SchedulingDecision decision = run(pod);
  EXPECT_EQ(decision.node, "n1");
  ASSERT_EQ(decision.volumes.provisions.size(), 1u);

  view.known_volumes["v"] = make_volume("v", "n1");
  decision = run(pod);
  ASSERT_EQ(decision.volumes.bindings.size(), 1u);
  EXPECT_EQ(decision.volumes.bindings[0].volume["metadata"]["name"].as_string(), "v");
  view.reserved_name = "v";
  EXPECT_EQ(run(pod).volumes.provisions.size(), 1u);

  view.classes["local"] = make_class("local", "WaitForFirstConsumer", "kubernetes.io/no-provisioner");
  EXPECT_EQ(
      refusal(pod),
      std::string("0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.") + kHopeless);
}

TEST_F(PlanTest, AClaimPromisedToAnotherNodeWaitsThere) {
  snapshot.set_node(make_node("n1"));
  snapshot.set_node(make_node("n2"));
  view.classes["local"] = make_class("local", "WaitForFirstConsumer");
  view.claims["default/x"] = make_claim("x", "local");
  view.claims["default/x"].mut("metadata").set("annotations", from(R"({"volume.kubernetes.io/selected-node":"n2"})"));
  EXPECT_EQ(run(with_claim(make_pod("a"), "x")).node, "n2");
}

TEST_F(PlanTest, ReadWriteOncePodIsForOnePod) {
  snapshot.set_node(make_node("n1"));
  view.known_volumes["v"] = make_volume("v", "n1");
  view.claims["default/x"] = bind_claim(make_claim("x", "local"), "v");
  view.claims["default/x"].mut("spec").set("accessModes", from(R"(["ReadWriteOncePod"])"));
  EXPECT_EQ(run(with_claim(make_pod("a"), "x")).node, "n1");
  place(with_claim(make_pod("a"), "x"), "n1");
  EXPECT_NE(refusal(with_claim(make_pod("b"), "x")).find("ReadWriteOncePod access mode already in-use by another pod."),
            std::string::npos);
}

TEST_F(PlanTest, MixedReasonsAndPreemptionPolicy) {
  snapshot.set_node(make_node("n1", "1"));
  Value n2 = make_node("n2");
  n2.mut("spec").set("taints", from(R"([{"key":"k","effect":"NoExecute"}])"));
  snapshot.set_node(n2);
  place(make_pod("a", "1"), "n1");
  Value pod = make_pod("b", "1");
  EXPECT_EQ(
      refusal(pod),
      "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint(s). no new claims to deallocate, preemption: "
      "0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.");
  pod.mut("spec").set("preemptionPolicy", "Never");
  EXPECT_NE(refusal(pod).find("preemption: not eligible due to preemptionPolicy=Never."), std::string::npos);
}

TEST_F(PlanTest, PrefersEmptyUntaintedPreferredAndApart) {
  for (const char* name : {"n1", "n2", "n3"}) snapshot.set_node(make_node(name));
  place(make_pod("big", "3", "6Gi"), "n1");
  EXPECT_NE(run(make_pod("a", "100m")).node, "n1");

  Value tainted = make_node("n2");
  tainted.mut("spec").set("taints", from(R"([{"key":"k","effect":"PreferNoSchedule"}])"));
  snapshot.set_node(tainted);
  EXPECT_EQ(run(make_pod("a", "100m")).node, "n3");

  Value pod = make_pod("a", "100m");
  pod.mut("spec").set("affinity", from(R"({"nodeAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[
      {"weight":100,"preference":{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}}]}})"));
  EXPECT_EQ(score_preferred_affinity(FilterInput{*make_pod_info(pod), {}, view, {}}, snapshot.nodes()),
            (Scores{100, 0, 0}));
}

TEST_F(PlanTest, LooksAtEnoughNodesOnly) {
  EXPECT_EQ(enough_nodes(3), 3u);
  EXPECT_EQ(enough_nodes(100), 100u);
  EXPECT_EQ(enough_nodes(1000), 420u);
  EXPECT_EQ(enough_nodes(10000), 500u);
  for (int i = 0; i < 300; ++i) snapshot.set_node(make_node("n" + std::to_string(i)));
  EXPECT_NE(run(make_pod("a")).node, "");
  EXPECT_GT(next_node, 0u);
}

TEST(SnapshotTest, ForgetsNodesAndReplacesPods) {
  Snapshot snapshot;
  snapshot.place(make_pod_info(make_pod("a", "1")), "n1");
  EXPECT_EQ(snapshot.node("n1"), nullptr);
  snapshot.set_node(make_node("n1"));
  EXPECT_EQ(snapshot.node("n1")->requested.milli_cpu, 1000);
  snapshot.place(make_pod_info(make_pod("a", "2")), "n1");  // resized
  EXPECT_EQ(snapshot.node("n1")->requested.milli_cpu, 2000);
  snapshot.remove_node("n1");
  EXPECT_TRUE(snapshot.nodes().empty());
  EXPECT_EQ(snapshot.remove("pod-a"), "n1");
  EXPECT_EQ(snapshot.remove("pod-a"), "");
}

}  // namespace
}  // namespace berth::scheduler

#include <gtest/gtest.h>

#include <set>

#include "base/text.h"
#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/replicaset/controller.h"
#include "controllers/replicaset/plan.h"
#include "controllers/shared/deletion_order.h"

namespace berth::controllers::replicaset {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value make_set(int replicas) {
  Value set = from(
      R"({"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web","namespace":"default","uid":"set","generation":1,"resourceVersion":"3"},
      "spec":{"selector":{"matchLabels":{"app":"web"}},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c"}]}}},"status":{}})");
  set.mut("spec").set("replicas", replicas);
  return set;
}

Value make_pod(const std::string& name, bool owned = true, const char* ready_at = nullptr) {
  Value pod = from(
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"default","labels":{"app":"web"},"creationTimestamp":"2026-01-01T00:00:00Z"},
      "spec":{"nodeName":"n1"},"status":{"phase":"Running"}})");
  pod.mut("metadata").set("name", name).set("uid", "pod-" + name);
  if (owned)
    pod.mut("metadata")
        .set("ownerReferences", Value::array({api::controller_reference(make_set(0), "apps/v1", "ReplicaSet")}));
  if (ready_at) {
    pod.mut("status").set(
        "conditions",
        Value::array({Value::object({{"type", "Ready"}, {"status", "True"}, {"lastTransitionTime", ready_at}})}));
  }
  return pod;
}

TEST(ReplicaSetPlanTest, CreatesWhatIsMissingUnderRepeatableNames) {
  ReplicaSetView view;
  view.set = make_set(3);
  view.pods = {make_pod("web-a")};
  const Plan plan = plan_set(view, kNow), again = plan_set(view, kNow);
  ASSERT_EQ(plan.chains.size(), 2u);
  const Value& pod = plan.chains[0][0].object;
  EXPECT_EQ(api::name_of(pod).size(), 9u);
  EXPECT_EQ(api::name_of(pod), api::name_of(again.chains[0][0].object));
  EXPECT_NE(api::name_of(pod), api::name_of(plan.chains[1][0].object));
  EXPECT_EQ(pod["metadata"]["generateName"].as_string(), "web-");
  EXPECT_TRUE(api::is_controlled_by(pod, "set"));
  EXPECT_EQ(plan.chains[0][0].on_success[0].message, "Created pod: " + std::string(api::name_of(pod)));
  EXPECT_EQ(plan.then[0].object["status"]["replicas"].as_int(), 1);
  EXPECT_EQ(plan.otherwise[0].object["status"]["conditions"][0]["reason"].as_string(), "FailedCreate");
  Plan refused = plan;
  ASSERT_TRUE(refused.explain_refusal);
  refused.explain_refusal("no room", refused.otherwise);
  EXPECT_EQ(refused.otherwise[0].object["status"]["conditions"][0]["message"].as_string(), "no room");
  // Other pods give other names.
  view.pods = {make_pod("web-b")};
  EXPECT_NE(api::name_of(pod), api::name_of(plan_set(view, kNow).chains[0][0].object));
}

std::string order_of(std::vector<Value>& pods, std::optional<std::vector<Value>> related = {}) {
  order_for_deletion(pods, related ? *related : pods, kNow);
  std::string order;
  for (const Value& pod : pods) order += std::string(api::name_of(pod)) + " ";
  return order;
}

TEST(ReplicaSetPlanTest, WhatMakesAPodGoFirst) {
  const auto with = [](const char* name, const char* path, std::string_view value) {
    Value pod = make_pod(name, true, "2026-01-01T00:00:00Z");
    const Cut at = cut(path, ".");
    pod.mut(at.before).set(at.after, from(value));
    return pod;
  };
  struct Case {
    Value first, second;
    const char* why;
  };
  const Case cases[] = {
      {with("z", "spec.nodeName", "null"), with("a", "status.phase", R"("Pending")"), "not placed before pending"},
      {with("z", "status.phase", R"("Pending")"), with("a", "status.phase", R"("Unknown")"), "pending before unknown"},
      {with("z", "status.phase", R"("Unknown")"), with("a", "metadata.creationTimestamp", R"("2026-01-01T00:59:00Z")"),
       "unknown before running"},
      {make_pod("z"), make_pod("a", true, "2026-01-01T00:59:00Z"), "not ready before ready"},
      {with("z", "metadata.annotations", R"({"controller.kubernetes.io/pod-deletion-cost":"5"})"),
       with("a", "metadata.annotations", R"({"controller.kubernetes.io/pod-deletion-cost":"6"})"), "cheap before dear"},
      {make_pod("z", true, "2026-01-01T00:59:00Z"), make_pod("a", true, "2026-01-01T00:00:00Z"),
       "lately ready before long ready"},
      {with("z", "status.containerStatuses", R"([{"restartCount":1},{"restartCount":3}])"),
       with("a", "status.containerStatuses", R"([{"restartCount":2}])"), "often restarted before seldom"},
      {with("z", "metadata.creationTimestamp", R"("2026-01-01T00:59:00Z")"),
       make_pod("a", true, "2026-01-01T00:00:00Z"), "young before old"},
  };
  for (Case c : cases) {
    std::vector<Value> pods = {c.second, c.first};
    EXPECT_EQ(order_of(pods), "z a ") << c.why;
  }
}

TEST(ReplicaSetPlanTest, AgesOfOneMagnitudeAreEqual) {
  // 50 and 60 minutes: the uid decides; 10 minutes are another magnitude.
  std::vector<Value> pods = {make_pod("b", true, "2026-01-01T00:10:00Z"), make_pod("a", true, "2026-01-01T00:00:00Z"),
                             make_pod("c", true, "2026-01-01T00:50:00Z")};
  EXPECT_EQ(order_of(pods), "c a b ");
}

TEST(ReplicaSetPlanTest, CrowdsAreCountedOverAllSetsOfADeployment) {
  std::vector<Value> pods = {make_pod("a", true, "2026-01-01T00:00:00Z"), make_pod("b", true, "2026-01-01T00:00:00Z")};
  pods[1].mut("spec").set("nodeName", "n2");
  EXPECT_EQ(order_of(pods), "a b ");
  Value other = make_pod("other");
  other.mut("spec").set("nodeName", "n2");
  std::vector<Value> related = {pods[0], pods[1], other};
  EXPECT_EQ(order_of(pods, related), "b a ");
  related[2].mut("status").set("phase", "Failed");  // does not count
  EXPECT_EQ(order_of(pods, related), "a b ");
}

TEST(ReplicaSetPlanTest, DeletesTheRightOnes) {
  std::vector<Value> pods = {make_pod("old", true, "2026-01-01T00:00:00Z"),
                             make_pod("young", true, "2026-01-01T00:50:00Z"), make_pod("unready"),
                             make_pod("unplaced")};
  pods[3].mut("spec").erase("nodeName");
  Value cheap = make_pod("cheap", true, "2026-01-01T00:00:00Z");
  cheap.mut("metadata").set("annotations", from(R"({"controller.kubernetes.io/pod-deletion-cost":"-5"})"));
  pods.push_back(cheap);
  EXPECT_EQ(order_of(pods), "unplaced unready cheap young old ");
  ReplicaSetView view;
  view.set = make_set(4);
  view.pods = pods;
  const Plan plan = plan_set(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].on_success[0].message, "Deleted pod: unplaced");
}

TEST(ReplicaSetPlanTest, EndedAndLeavingPodsDoNotCount) {
  ReplicaSetView view;
  view.set = make_set(1);
  view.pods = {make_pod("done"), make_pod("leaving")};
  view.pods[0].mut("status").set("phase", "Failed");
  view.pods[1].mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  const Plan plan = plan_set(view, kNow);
  EXPECT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.then[0].object["status"]["terminatingReplicas"].as_int(), 1);
}

TEST(ReplicaSetPlanTest, StatusWaitsForMinReadySeconds) {
  ReplicaSetView view;
  view.set = make_set(1);
  view.set.mut("spec").set("minReadySeconds", 60);
  view.pods = {make_pod("a", true, "2026-01-01T00:59:30Z")};
  const Plan plan = plan_set(view, kNow);
  EXPECT_EQ(
      plan.then[0].object["status"],
      from(
          R"({"replicas":1,"fullyLabeledReplicas":1,"readyReplicas":1,"terminatingReplicas":0,"observedGeneration":1})"));
  EXPECT_EQ(plan.requeue_delay, Duration(30s));
  EXPECT_EQ(plan_set(view, kNow + 30s).then[0].object["status"]["availableReplicas"].as_int(), 1);
}

TEST(ReplicaSetPlanTest, WhatCannotBeMeantIsLeftAloneAndTold) {
  for (OwnerKind owner_kind : {OwnerKind::kReplicaSet, OwnerKind::kReplicationController}) {
    for (const char* replicas : {"9223372036854775807", "2147483648", "-1", "-9223372036854775808", "1e30", "\"3\""}) {
      ReplicaSetView view;
      view.owner_kind = owner_kind;
      view.set = make_set(3);
      if (owner_kind == OwnerKind::kReplicationController) {
        view.set.set("kind", "ReplicationController");
        view.set.mut("spec").set("selector", from(R"({"app":"web"})"));
      }
      view.set.mut("spec").set("replicas", from(replicas));
      view.pods = {make_pod("web-a")};
      const Plan plan = plan_set(view, kNow);
      EXPECT_TRUE(plan.chains.empty() && plan.then.empty()) << replicas;
      ASSERT_EQ(plan.events.size(), 1u) << replicas;
      EXPECT_EQ(plan.events[0].reason, "Unusable");
    }
  }
  ReplicaSetView view;
  view.set = make_set(3);
  view.set.mut("spec").mut("template").mut("metadata").mut("labels").set("app", "other");
  EXPECT_EQ(plan_set(view, kNow).events.size(), 1u) << "its pods would be released and made again for ever";
}

TEST(ReplicaSetPlanTest, AdoptsAndReleasesFirst) {
  ReplicaSetView view;
  view.set = make_set(5);
  view.pods = {make_pod("stranger")};
  view.pods[0].mut("metadata").mut("labels").set("app", "other");
  view.orphans = {make_pod("orphan", false), make_pod("unrelated", false)};
  view.orphans[1].mut("metadata").erase("labels");
  const Plan plan = plan_set(view, kNow);
  ASSERT_EQ(plan.chains.size(), 2u);
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["ownerReferences"][0]["$patch"].as_string(), "delete");
  EXPECT_EQ(plan.chains[1][0].verb, Action::Verb::kConfirm);
  EXPECT_EQ(plan.chains[1][1].name.name, "orphan");
  view.set.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_TRUE(plan_set(view, kNow).chains.empty());
}

Value make_controller_of_old(int replicas) {
  Value rc = make_set(replicas);
  rc.set("apiVersion", "v1").set("kind", "ReplicationController");
  rc.mut("spec").set("selector", from(R"({"app":"web"})"));
  return rc;
}

TEST(ReplicaSetPlanTest, ReplicationControllersDifferInForm) {
  ReplicaSetView view;
  view.owner_kind = OwnerKind::kReplicationController;
  view.set = make_controller_of_old(1);
  const Plan plan = plan_set(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  const Value& owner = plan.chains[0][0].object["metadata"]["ownerReferences"][0];
  EXPECT_EQ(owner["apiVersion"].str() + " " + owner["kind"].str(), "v1 ReplicationController");
  EXPECT_EQ(plan.then[0].resource, kReplicationControllers);
  EXPECT_EQ(plan.then[0].object["status"],
            from(R"({"observedGeneration":1})"));  // it has no terminatingReplicas
}

TEST(ReplicaSetTest, RefusalsAreTold) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  api.put(kReplicaSets, make_set(1));
  for (int i = 0; i < 6; ++i)
    api.fail_next("create", Code::kForbidden);  // pods and events; its own status write triggers a retry at once
  Driver driver(informers, make_controller(informers));
  runtime.advance(1ms);
  const Value set = api.read(kReplicaSets, {"default", "web"});
  EXPECT_EQ(api::condition_of(set, "ReplicaFailure")["reason"].as_string(), "FailedCreate");
  EXPECT_EQ(api::condition_of(set, "ReplicaFailure")["message"].as_string(), "planted");
  runtime.advance(1s);
  EXPECT_EQ(api.count(kPods), 1u);
  EXPECT_TRUE(api::condition_of(api.read(kReplicaSets, {"default", "web"}), "ReplicaFailure").is_null());
}

TEST(ReplicaSetTest, ReplicationControllersConvergeToo) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  api.put(kReplicationControllers, make_controller_of_old(3));
  Driver driver(informers, make_controller(informers, OwnerKind::kReplicationController));
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPods), 3u);
  Value rc = api.read(kReplicationControllers, {"default", "web"});
  EXPECT_EQ(rc["status"]["replicas"].as_int(), 3);
  rc.mut("spec").set("replicas", 1);
  api.put(kReplicationControllers, rc);
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPods), 1u);
}

// A node refuses each pod: the owner creates a few in the first second, and then ever fewer.
TEST(ReplicaSetTest, PodsThatFailAtOnceAreReplacedEverMoreSlowly) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  api.put(kReplicaSets, make_set(3));
  Driver driver(informers, make_controller(informers));
  std::set<std::string> failed;
  for (int i = 0; i < 6000; ++i) {
    runtime.advance(50ms);
    for (Value pod : api.items(kPods)) {
      if (!failed.insert(std::string(api::name_of(pod))).second) continue;
      pod.set("status", from(R"({"phase":"Failed","reason":"OutOfcpu"})"));
      pod.mut("metadata").set("creationTimestamp", format_time(runtime.now()));
      api.put(kPods, pod);
    }
  }
  EXPECT_GE(failed.size(), 3u * 5);
  EXPECT_LE(failed.size(), 3u * 14) << "five minutes of 50 ms";
  bool reported = false;
  for (const Value& event : api.items(kEvents)) reported |= event["reason"].as_string() == "BackOff";
  EXPECT_TRUE(reported);
}

TEST(ReplicaSetTest, ConvergesAndRests) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  Value set = api.put(kReplicaSets, make_set(40));
  Driver driver(informers, make_controller(informers));
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPods), 40u);
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
  set = api.read(kReplicaSets, {"default", "web"});
  EXPECT_EQ(set["status"]["replicas"].as_int(), 40);
  set.mut("spec").set("replicas", 2);
  api.put(kReplicaSets, set);
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPods), 2u);
  EXPECT_EQ(api.read(kReplicaSets, {"default", "web"})["status"]["replicas"].as_int(), 2);
}

}  // namespace
}  // namespace berth::controllers::replicaset

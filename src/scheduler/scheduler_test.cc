#include "scheduler/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/files.h"
#include "base/fs/test_directory.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "scheduler/queue.h"
#include "scheduler/test_objects.h"

namespace berth::scheduler {
namespace {

using namespace testing;         // NOLINT
using namespace api::resources;  // NOLINT

struct SchedulerTest : ::testing::Test {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  client::InformerSet informers{runtime, api};
  std::optional<Scheduler> scheduler;

  void start() {
    scheduler.emplace(informers);
    runtime.settle();
  }
  int calls(const std::string& text) { return static_cast<int>(std::count(api.calls.begin(), api.calls.end(), text)); }
  // Sets the node, as the server does on a binding.
  void bind(const std::string& name, const std::string& node) {
    Value pod = api.read(kPods, {"default", name});
    pod.mut("spec").set("nodeName", node);
    api.put(kPods, pod);
    runtime.settle();
  }
  // "type reason message" of the first event about a pod.
  std::string event_of(const std::string& pod) {
    std::string found = "none";
    api.list(kEvents, {}, [&](Result<client::List> list) {
      for (const Value& event : list->items) {
        if (found == "none" && event["involvedObject"]["name"].as_string() == pod) {
          found = event["type"].str() + " " + event["reason"].str() + " " + event["message"].str();
        }
      }
    });
    runtime.settle();
    return found;
  }
  std::string message_of(const std::string& name) {
    return api.read(kPods, {"default", name})["status"]["conditions"][0]["message"].str();
  }
};

TEST_F(SchedulerTest, BindsWhatIsThereAndRests) {
  api.put(kNodes, make_node("n1"));
  api.put(kPods, make_pod("a", "1"));
  start();
  EXPECT_EQ(calls("create binding pods default/a"), 1);
  bind("a", "n1");
  EXPECT_TRUE(scheduler->idle());
  const std::size_t before = api.calls.size();
  runtime.advance(2h);
  EXPECT_EQ(api.calls.size(), before);
  EXPECT_EQ(runtime.timers(), 0u);
}

TEST_F(SchedulerTest, OtherSchedulersPodsAndGatedPodsAreLeftAlone) {
  api.put(kNodes, make_node("n1"));
  Value other = make_pod("a");
  other.mut("spec").set("schedulerName", "mine");
  api.put(kPods, other);
  Value gated = make_pod("b");
  gated.mut("spec").set("schedulingGates", from(R"([{"name":"g"}])"));
  gated = api.put(kPods, gated);
  start();
  EXPECT_EQ(calls("create binding pods default/a") + calls("create binding pods default/b"), 0);
  gated.mut("spec").erase("schedulingGates");
  api.put(kPods, gated);
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/b"), 1);
}

TEST_F(SchedulerTest, AssumedPodsTakeTheirRoomAtOnce) {
  api.put(kNodes, make_node("n1", "1"));
  api.put(kPods, make_pod("a", "600m"));
  api.put(kPods, make_pod("b", "600m"));
  start();
  EXPECT_EQ(calls("create binding pods default/a"), 1);
  EXPECT_EQ(calls("create binding pods default/b"), 0);
  EXPECT_EQ(message_of("b").substr(0, 45), "0/1 nodes are available: 1 Insufficient cpu. ");
  EXPECT_EQ(scheduler->parked(), 1u);
  // Heartbeats wake no pod; freed room does at once.
  bind("a", "n1");
  Value node = api.read(kNodes, {"", "n1"});
  node.mut("status").set("conditions", from(R"([{"type":"Ready"}])"));
  api.put(kNodes, node);
  runtime.settle();
  EXPECT_EQ(scheduler->parked(), 1u);
  api.erase(kPods, {"default", "a"});
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/b"), 1);
  EXPECT_EQ(calls("patch status pods default/b"), 1);
}

TEST_F(SchedulerTest, ANewNodeWakesParkedPods) {
  api.put(kPods, make_pod("a"));
  start();
  EXPECT_EQ(message_of("a"), "no nodes available to schedule pods");
  api.put(kNodes, make_node("n1"));
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/a"), 1);
}

TEST_F(SchedulerTest, WaitsForItsClaimAndBindsWhenItIsBound) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("local", "WaitForFirstConsumer"));
  Value claim = api.put(kPersistentVolumeClaims, make_claim("x", "local"));
  api.put(kPods, with_claim(make_pod("a"), "x"));
  start();
  claim = api.read(kPersistentVolumeClaims, {"default", "x"});
  EXPECT_EQ(api::annotation_of(claim, "volume.kubernetes.io/selected-node"), "n1");
  EXPECT_EQ(calls("create binding pods default/a"), 0);
  Value volume = make_volume("v", "n1");
  api.put(kPersistentVolumes, volume);
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/a"), 0);
  api.put(kPersistentVolumeClaims, bind_claim(claim, "v"));
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/a"), 1);
  EXPECT_EQ(runtime.timers(), 0u);
}

TEST_F(SchedulerTest, ReservesAFreeVolume) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("local", "WaitForFirstConsumer", "kubernetes.io/no-provisioner"));
  api.put(kPersistentVolumes, make_volume("v", "n1"));
  api.put(kPersistentVolumeClaims, make_claim("x", "local"));
  api.put(kPersistentVolumeClaims, make_claim("y", "local"));
  api.put(kPods, with_claim(make_pod("a"), "x"));
  api.put(kPods, with_claim(make_pod("b"), "y"));
  start();
  const Value volume = api.read(kPersistentVolumes, {"", "v"});
  EXPECT_EQ(volume["spec"]["claimRef"]["uid"].as_string(), "claim-x");
  EXPECT_EQ(api::annotation_of(volume, "pv.kubernetes.io/bound-by-controller"), "yes");
  EXPECT_EQ(scheduler->parked(), 1u);
  EXPECT_NE(message_of("b").find("didn't find available persistent volumes to bind"), std::string::npos);
}

TEST_F(SchedulerTest, AProvisionerThatGivesUpSendsThePodBack) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("local", "WaitForFirstConsumer"));
  api.put(kPersistentVolumeClaims, make_claim("x", "local"));
  api.put(kPods, with_claim(make_pod("a"), "x"));
  start();
  Value claim = api.read(kPersistentVolumeClaims, {"default", "x"});
  claim.mut("metadata").erase("annotations");
  api.put(kPersistentVolumeClaims, claim);
  runtime.settle();
  EXPECT_NE(message_of("a").find("selectedNode annotation reset for PVC \"x\""), std::string::npos);
  runtime.advance(1s);
  EXPECT_EQ(
      api::annotation_of(api.read(kPersistentVolumeClaims, {"default", "x"}), "volume.kubernetes.io/selected-node"),
      "n1");
}

// The claim was annotated with a node that is then deleted: another one is chosen at once, not after bind_timeout.
TEST_F(SchedulerTest, ANodeThatGoesWhileClaimsAreWaitedForSendsThePodBack) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("local", "WaitForFirstConsumer"));
  api.put(kPersistentVolumeClaims, make_claim("x", "local"));
  api.put(kPods, with_claim(make_pod("a"), "x"));
  start();
  EXPECT_EQ(calls("create binding pods default/a"), 0);
  api.erase(kNodes, {"", "n1"});
  runtime.settle();
  EXPECT_NE(message_of("a").find("node \"n1\" not found"), std::string::npos) << message_of("a");
  Value claim = api.read(kPersistentVolumeClaims, {"default", "x"});
  claim.mut("metadata").erase("annotations");  // as the volume controller does
  api.put(kPersistentVolumeClaims, claim);
  api.put(kNodes, make_node("n2"));
  runtime.advance(10s);
  EXPECT_EQ(
      api::annotation_of(api.read(kPersistentVolumeClaims, {"default", "x"}), "volume.kubernetes.io/selected-node"),
      "n2");
}

TEST_F(SchedulerTest, APodThatTheServerDiedOnIsLeftAloneUntilItChanges) {
  const berth::testing::TestDirectory directory;
  ASSERT_TRUE(write_file(directory / "deaths.json",
                         R"({"version":"1","deaths":[{"controller":"scheduler","key":"default/a","times":3}]})")
                  .ok());
  auto record = controllers::HandlingRecord::open(directory.path(), "1").value();
  api.put(kNodes, make_node("n1"));
  Value a = api.put(kPods, make_pod("a"));
  api.put(kPods, make_pod("b"));
  SchedulerOptions options;
  options.record = record.get();
  scheduler.emplace(informers, options);
  runtime.advance(1h);
  EXPECT_EQ(calls("create binding pods default/b"), 1);
  EXPECT_EQ(calls("create binding pods default/a"), 0);
  EXPECT_EQ(event_of("a").substr(0, 31), "Warning Quarantined The server ");
  a.mut("metadata").mut("labels").set("try", "again");
  api.put(kPods, a);
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/a"), 1);
  EXPECT_FALSE(record->has_deaths());
  scheduler.reset();
}

TEST_F(SchedulerTest, BoundImmediateClaimsWakeThePodWithoutDelay) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("now", "Immediate"));
  Value claim = api.put(kPersistentVolumeClaims, make_claim("x", "now"));
  api.put(kPods, with_claim(make_pod("a"), "x"));
  start();
  EXPECT_NE(message_of("a").find("pod has unbound immediate PersistentVolumeClaims"), std::string::npos);
  api.put(kPersistentVolumes, make_volume("v", "n1"));
  api.put(kPersistentVolumeClaims, bind_claim(claim, "v"));
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/a"), 1);
}

TEST_F(SchedulerTest, ARefusedBindingFreesTheRoomAndIsTriedAgain) {
  api.put(kNodes, make_node("n1", "1"));
  api.put(kPods, make_pod("a", "1"));
  api.fail_next("create", Code::kForbidden);
  start();
  EXPECT_EQ(calls("create binding pods default/a"), 1);
  EXPECT_NE(message_of("a").find("running Bind plugin \"DefaultBinder\": planted"), std::string::npos);
  runtime.advance(1s);
  EXPECT_EQ(calls("create binding pods default/a"), 2);
}

TEST_F(SchedulerTest, AnUnknownAnswerIsFoundOut) {
  api.put(kNodes, make_node("n1"));
  api.put(kPods, make_pod("a"));
  api.fail_next("create", Code::kUnknown, true);
  start();
  EXPECT_EQ(calls("get pods default/a"), 1);
  runtime.advance(1s);  // it was not applied
  EXPECT_EQ(calls("create binding pods default/a"), 2);
}

// The server may answer NotFound for a pod whose deletion is in progress and then fails.
TEST_F(SchedulerTest, APodThatIsNotFoundAndStillThereIsTriedAgain) {
  api.put(kNodes, make_node("n1"));
  api.fail_next("create", Code::kNotFound);
  api.put(kPods, make_pod("p"));
  start();
  EXPECT_EQ(calls("create binding pods default/p"), 1);
  EXPECT_EQ(calls("get pods default/p"), 1);
  runtime.advance(1s);
  EXPECT_EQ(calls("create binding pods default/p"), 2);
}

TEST_F(SchedulerTest, ParkedPodsAreLookedAtAgainInTime) {
  api.put(kNodes, make_node("n1", "1"));
  api.put(kPods, make_pod("a", "2"));
  start();
  EXPECT_EQ(scheduler->parked(), 1u);
  runtime.advance(301s);
  EXPECT_EQ(scheduler->parked(), 1u);
  EXPECT_EQ(calls("patch status pods default/a"), 1);  // unchanged message
  api.erase(kPods, {"default", "a"});
  runtime.advance(301s);
  EXPECT_EQ(runtime.timers(), 0u);
}

TEST_F(SchedulerTest, MakesRoomForAMoreImportantPod) {
  api.put(kNodes, make_node("n1", "1"));
  Value low = with_priority(make_pod("low", "600m"), 1);
  low.mut("spec").set("nodeName", "n1");
  api.put(kPods, low);
  api.put(kPods, with_priority(make_pod("high", "600m"), 10));
  api.fail_next("delete", Code::kUnavailable);
  start();
  Value high = api.read(kPods, {"default", "high"});
  EXPECT_EQ(high["status"]["nominatedNodeName"].as_string(), "n1");
  EXPECT_EQ(message_of("high"), "0/1 nodes are available: 1 Insufficient cpu.");
  const Value condition = api.read(kPods, {"default", "low"})["status"]["conditions"][0];
  EXPECT_EQ(condition["type"].as_string(), "DisruptionTarget");
  EXPECT_EQ(condition["status"].as_string(), "True");
  EXPECT_EQ(condition["reason"].as_string(), "PreemptionByScheduler");
  EXPECT_EQ(condition["message"].as_string(), "default-scheduler: preempting to accommodate a higher priority pod");
  EXPECT_EQ(calls("create binding pods default/high"), 0);
  runtime.advance(1s);  // the failed deletion is retried
  EXPECT_EQ(calls("delete pods default/low"), 2);
  EXPECT_EQ(calls("create binding pods default/high"), 1);
  EXPECT_EQ(event_of("low"), "Normal Preempted Preempted by pod pod-high on node n1");
  bind("high", "n1");
  EXPECT_TRUE(scheduler->idle());
}

TEST_F(SchedulerTest, ALessImportantNominationIsWithdrawn) {
  api.put(kNodes, make_node("n1", "1"));
  Value leaving = with_priority(make_pod("leaving", "1"), 1);
  leaving.mut("spec").set("nodeName", "n1");
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  leaving.mut("status").set("conditions",
                            from(R"([{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler"}])"));
  api.put(kPods, leaving);
  Value first = with_priority(make_pod("first", "1"), 5);
  first.mut("status").set("nominatedNodeName", "n1");
  api.put(kPods, first);
  start();
  EXPECT_NE(message_of("first").find("not eligible due to a terminating pod on the nominated node."),
            std::string::npos);
  EXPECT_EQ(api.read(kPods, {"default", "first"})["status"]["nominatedNodeName"].as_string(), "n1");
  api.put(kPods, with_priority(make_pod("second", "1"), 10));
  runtime.settle();
  EXPECT_TRUE(api.read(kPods, {"default", "first"})["status"]["nominatedNodeName"].is_null());
  EXPECT_EQ(calls("create binding pods default/second"), 1);
  EXPECT_EQ(calls("create binding pods default/first"), 0);
}

TEST_F(SchedulerTest, TheRoomOfANominatedPodThatGoesAwayIsFree) {
  api.put(kNodes, make_node("n1", "1"));
  Value leaving = with_priority(make_pod("leaving", "500m"), 1);
  leaving.mut("spec").set("nodeName", "n1");
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  leaving.mut("status").set("conditions",
                            from(R"([{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler"}])"));
  api.put(kPods, leaving);
  Value first = with_priority(make_pod("first", "1"), 5);
  first.mut("status").set("nominatedNodeName", "n1");
  api.put(kPods, first);
  api.put(kPods, with_priority(make_pod("small", "500m"), 1));
  start();
  EXPECT_EQ(calls("create binding pods default/small"), 0);
  api.erase(kPods, {"default", "first"});
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/small"), 1);
}

TEST_F(SchedulerTest, AffinityIsWokenByThePodItWaitsFor) {
  api.put(kNodes, make_node("n1"));
  api.put(kNodes, make_node("n2"));
  const std::string term = R"({"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"a"}}})";
  api.put(kPods, requires_pods(make_pod("p"), "podAffinity", term));
  api.put(kPods,
          requires_pods(labelled(make_pod("alone"), "app", "b"), "podAntiAffinity",
                        R"({"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"kind":"any"}}})"));
  start();
  EXPECT_EQ(scheduler->parked(), 1u);
  Value other = labelled(make_pod("x"), "app", "a");
  other.mut("spec").set("nodeName", "n2");
  api.put(kPods, other);
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/p"), 1);
  EXPECT_EQ(scheduler->parked(), 0u);
}

TEST_F(SchedulerTest, AntiAffinityIsWokenFromFarAway) {
  for (const char* name : {"n1", "n2"}) api.put(kNodes, labelled(make_node(name), "zone", "z"));
  const std::string term = R"({"topologyKey":"zone","labelSelector":{"matchLabels":{"app":"a"}}})";
  Value there = requires_pods(labelled(make_pod("x"), "app", "a"), "podAntiAffinity", term);
  there.mut("spec").set("nodeName", "n2");
  api.put(kPods, there);
  // Full, so that only the first node fits, and the change is on another one.
  Value full = make_pod("full", "4");
  full.mut("spec").set("nodeName", "n2");
  api.put(kPods, full);
  api.put(kPods, labelled(make_pod("p", "2"), "app", "a"));
  start();
  EXPECT_EQ(message_of("p").substr(0, 86),
            "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy existing pods an");
  api.erase(kPods, {"default", "x"});
  runtime.settle();
  EXPECT_EQ(calls("create binding pods default/p"), 1);
}

TEST_F(SchedulerTest, AThousandPodsInOneGo) {
  for (int i = 0; i < 10; ++i) api.put(kNodes, make_node("n" + std::to_string(i)));
  for (int i = 0; i < 1000; ++i) api.put(kPods, make_pod("p" + std::to_string(i), "10m"));
  start();
  EXPECT_EQ(std::count_if(api.calls.begin(), api.calls.end(),
                          [](const std::string& c) { return c.starts_with("create binding"); }),
            1000);
}

TEST(PodQueueTest, PriorityThenTurn) {
  PodQueue queue;
  Value important = make_pod("c");
  important.mut("spec").set("priority", 10);
  queue.add(make_pod_info(make_pod("a")));
  queue.add(make_pod_info(make_pod("b")));
  queue.add(make_pod_info(important));
  queue.add(make_pod_info(make_pod("a")));  // again: behind
  EXPECT_EQ(queue.pop()->key, "default/c");
  EXPECT_EQ(queue.pop()->key, "default/b");
  EXPECT_EQ(queue.pop()->key, "default/a");
  EXPECT_EQ(queue.pop(), nullptr);
}

TEST(PodQueueTest, ParkedPodsWakeByConcernAndClaim) {
  PodQueue queue;
  queue.park(make_pod_info(with_claim(make_pod("a"), "x")), kConcernVolumes, 1s);
  queue.park(make_pod_info(make_pod("b")), kConcernResources, 2s);
  queue.wake(kConcernVolumes, [](const PodInfo&) { return false; });
  EXPECT_EQ(queue.active(), 0u);
  queue.wake_users_of("default/x");
  EXPECT_EQ(queue.pop()->key, "default/a");
  EXPECT_EQ(queue.wake_older(1s), Duration(2s));
  EXPECT_EQ(queue.wake_older(2s), Duration::zero());
  EXPECT_EQ(queue.pop()->key, "default/b");
  EXPECT_EQ(queue.parked(), 0u);
}

}  // namespace
}  // namespace berth::scheduler

#include <gtest/gtest.h>

#include "api/metadata.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/shared/local_volume.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/volume_match.h"
#include "controllers/volume/claim_plan.h"
#include "controllers/volume/controller.h"
#include "controllers/volume/volume_plan.h"

namespace berth::controllers::volume {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = Time(std::chrono::hours(24 * 365 * 56));

Value make_claim(const std::string& name, const char* storage_class) {
  Value claim = from(
      R"({"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"namespace":"default","finalizers":["kubernetes.io/pvc-protection"]},
      "spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}},"status":{"phase":"Pending"}})");
  claim.mut("metadata").set("name", name).set("uid", "claim-" + name).set("resourceVersion", "5");
  if (storage_class) claim.mut("spec").set("storageClassName", storage_class);
  return claim;
}

Value make_volume(const std::string& name, const std::string& size = "1Gi") {
  Value volume =
      from(R"({"apiVersion":"v1","kind":"PersistentVolume","metadata":{"finalizers":["kubernetes.io/pv-protection"]},
      "status":{"phase":"Available"},"spec":{"accessModes":["ReadWriteOnce"],"persistentVolumeReclaimPolicy":"Retain"}})");
  volume.mut("metadata").set("name", name).set("uid", "volume-" + name).set("resourceVersion", "7");
  volume.mut("spec").set("capacity", Value::object({{"storage", size}})).set("storageClassName", "c");
  return volume;
}

Value reserve(Value volume, const std::string& claim, const char* uid) {
  Value reference = Value::object({{"namespace", "default"}, {"name", claim}});
  if (uid) reference.set("uid", uid);
  volume.mut("spec").set("claimRef", reference);
  return volume;
}

Value make_class(const std::string& name, const char* mode = "Immediate", const char* provisioner = "berth.dev/local") {
  return Value::object({{"apiVersion", "storage.k8s.io/v1"},
                        {"kind", "StorageClass"},
                        {"metadata", Value::object({{"name", name}, {"uid", "class-" + name}})},
                        {"provisioner", provisioner},
                        {"reclaimPolicy", "Delete"},
                        {"allowVolumeExpansion", true},
                        {"volumeBindingMode", mode}});
}

Value make_node(const std::string& name, bool ready = true) {
  Value node = from(R"({"apiVersion":"v1","kind":"Node","metadata":{"labels":{}},"spec":{},"status":{}})");
  node.mut("metadata").set("name", name).set("uid", "node-" + name);
  node.mut("metadata").mut("labels").set("kubernetes.io/hostname", name);
  node.mut("status").set("conditions",
                         Value::array({Value::object({{"type", "Ready"}, {"status", ready ? "True" : "False"}})}));
  return node;
}

std::string emitted(const Plan& plan) {
  std::string out;
  for (const EventSpec& event : plan.events) out += event.reason + ": " + event.message + "\n";
  return out;
}

// --- Matching

TEST(MatchTest, SmallestThatFits) {
  const Value claim = make_claim("x", "c");
  std::vector<Value> volumes = {make_volume("small", "500Mi"), make_volume("large", "5Gi"),
                                make_volume("right", "2Gi")};
  EXPECT_EQ(api::name_of(find_match(claim, volumes, {})), "right");
  volumes[2].mut("spec").set("storageClassName", "other");
  EXPECT_EQ(api::name_of(find_match(claim, volumes, {})), "large");
  volumes[1].mut("status").set("phase", "Released");
  EXPECT_TRUE(find_match(claim, volumes, {}).is_null());
}

TEST(MatchTest, ReservedVolumeWinsWhateverItsPhase) {
  const Value claim = make_claim("x", "c");
  std::vector<Value> volumes = {make_volume("free"), reserve(make_volume("mine", "9Gi"), "x", nullptr)};
  volumes[1].mut("status").set("phase", "Pending");
  EXPECT_EQ(api::name_of(find_match(claim, volumes, {})), "mine");
  volumes[1] = reserve(volumes[1], "x", "claim-of-yesterday");
  EXPECT_EQ(api::name_of(find_match(claim, volumes, {})), "free");
  MatchOptions waits_for_consumer;
  waits_for_consumer.waits_for_consumer = true;
  EXPECT_TRUE(find_match(claim, volumes, waits_for_consumer).is_null());
}

TEST(MatchTest, SelectorModesAndNode) {
  Value claim = make_claim("x", "c");
  claim.mut("spec").set("selector", from(R"({"matchLabels":{"a":"b"}})"));
  Value volume = make_volume("v");
  EXPECT_TRUE(find_match(claim, {volume}, {}).is_null());
  volume.mut("metadata").set("labels", from(R"({"a":"b"})"));
  EXPECT_FALSE(find_match(claim, {volume}, {}).is_null());
  claim.mut("spec").set("accessModes", from(R"(["ReadWriteMany"])"));
  EXPECT_TRUE(find_match(claim, {volume}, {}).is_null());
  claim.mut("spec").set("accessModes", from(R"(["ReadWriteOnce"])"));
  volume.mut("spec").set(
      "nodeAffinity",
      from(
          R"({"required":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["n1"]}]}]}})"));
  const Value n1 = make_node("n1"), n2 = make_node("n2");
  MatchOptions at;
  at.node = &n1;
  EXPECT_FALSE(find_match(claim, {volume}, at).is_null());
  at.node = &n2;
  EXPECT_TRUE(find_match(claim, {volume}, at).is_null());
}

// --- Claims

TEST(ClaimPlanTest, UnknownClassAndNoClass) {
  ClaimView view;
  view.claim = make_claim("x", "gone");
  EXPECT_EQ(emitted(plan_claim(view, kNow)), "ProvisioningFailed: storageclass.storage.k8s.io \"gone\" not found\n");
  view.claim = make_claim("x", "");
  EXPECT_EQ(emitted(plan_claim(view, kNow)),
            "FailedBinding: no persistent volumes available for this claim and no storage class is set\n");
  view.claim = make_claim("x", nullptr);
  view.default_class = make_class("standard");
  const Plan plan = plan_claim(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["spec"]["storageClassName"].as_string(), "standard");
}

TEST(ClaimPlanTest, WaitsForItsConsumer) {
  ClaimView view;
  view.claim = make_claim("x", "w");
  view.storage_class = make_class("w", "WaitForFirstConsumer");
  view.nodes = {make_node("n1")};
  EXPECT_EQ(emitted(plan_claim(view, kNow)),
            "WaitForFirstConsumer: waiting for first consumer to be created before binding\n");
  view.waiting_pods = {"web-0"};
  EXPECT_EQ(emitted(plan_claim(view, kNow)), "WaitForPodScheduled: waiting for pod web-0 to be scheduled\n");
  EXPECT_TRUE(plan_claim(view, kNow).chains.empty());
}

TEST(ClaimPlanTest, MakesAVolumeAndBindsIt) {
  ClaimView view;
  view.claim = make_claim("x", "w");
  view.claim.mut("metadata").set("annotations", from(R"({"volume.kubernetes.io/selected-node":"n2"})"));
  view.storage_class = make_class("w", "WaitForFirstConsumer", "ebs.csi.aws.com");
  view.nodes = {make_node("n1"), make_node("n2")};
  const Plan plan = plan_claim(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  ASSERT_EQ(plan.chains[0].size(), 2u);
  const Value& volume = plan.chains[0][0].object;
  EXPECT_EQ(api::name_of(volume), "pvc-claim-x");
  EXPECT_EQ(volume["spec"]["csi"],
            from(R"({"driver":"berth.dev/local","volumeHandle":"pvc-claim-x","fsType":"ext4"})"));
  EXPECT_EQ(local_node(volume), "n2");
  EXPECT_EQ(volume["spec"]["capacity"]["storage"].as_string(), "1Gi");
  EXPECT_EQ(volume["spec"]["claimRef"]["uid"].as_string(), "claim-x");
  EXPECT_TRUE(api::has_finalizer(volume, kLocalFinalizer) && api::has_finalizer(volume, kVolumeProtection));
  EXPECT_EQ(plan.chains[0][0].on_success[0].message, "Successfully provisioned volume pvc-claim-x");
  const Value& change = plan.chains[0][1].object;
  EXPECT_EQ(change["spec"]["volumeName"].as_string(), "pvc-claim-x");
  EXPECT_EQ(change["metadata"]["annotations"]["pv.kubernetes.io/bind-completed"].as_string(), "yes");
  EXPECT_EQ(change["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"].as_string(),
            "ebs.csi.aws.com");
  EXPECT_EQ(change["metadata"]["resourceVersion"].as_string(), "5");
  ASSERT_EQ(plan.then.size(), 1u);
  EXPECT_EQ(plan.then[0].object["status"],
            from(R"({"phase":"Bound","accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"}})"));
  EXPECT_EQ(emitted(plan).substr(0, 84),
            "ExternalProvisioning: Waiting for a volume to be created either by the external prov");
  EXPECT_NE(emitted(plan).find("Provisioning: External provisioner is provisioning volume for claim \"default/x\"\n"),
            std::string::npos);
}

TEST(ClaimPlanTest, AVolumeMadeForAClaimWithAttributesIsFoundAgain) {
  ClaimView view;
  view.claim = make_claim("x", "c");
  view.claim.mut("spec").set("volumeAttributesClassName", "gold");
  view.storage_class = make_class("c");
  view.nodes = {make_node("n1")};
  Plan plan = plan_claim(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  view.volumes = {plan.chains[0][0].object};  // and nothing more was written
  plan = plan_claim(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].resource, kPersistentVolumeClaims);
  EXPECT_EQ(plan.chains[0][0].object["spec"]["volumeName"], "pvc-claim-x");
}

TEST(ClaimPlanTest, ImmediateClaimsGoToTheLeastLoadedReadyNode) {
  ClaimView view;
  view.claim = make_claim("x", "c");
  view.storage_class = make_class("c");
  EXPECT_NE(emitted(plan_claim(view, kNow)).find("no node is ready"), std::string::npos);
  view.nodes = {make_node("n1", false), make_node("n2"), make_node("n3")};
  view.made_volumes = {make_local_volume(make_claim("other", "c"), view.storage_class, view.nodes[1]).value()};
  EXPECT_EQ(local_node(plan_claim(view, kNow).chains[0][0].object), "n3");
}

TEST(ClaimPlanTest, ANodeThatIsGoneIsGivenUp) {
  ClaimView view;
  view.claim = make_claim("x", "w");
  view.claim.mut("metadata").set("annotations", from(R"({"volume.kubernetes.io/selected-node":"n9"})"));
  view.storage_class = make_class("w", "WaitForFirstConsumer");
  const Plan plan = plan_claim(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_TRUE(plan.chains[0][0].object["metadata"]["annotations"].contains("volume.kubernetes.io/selected-node"));
  EXPECT_NE(emitted(plan).find("node \"n9\" not found"), std::string::npos);
}

TEST(ClaimPlanTest, WhatCannotBeMade) {
  ClaimView view;
  view.claim = make_claim("x", "c");
  view.storage_class = make_class("c");
  view.nodes = {make_node("n1")};
  view.claim.mut("spec").set("volumeMode", "Block");
  EXPECT_NE(
      emitted(plan_claim(view, kNow)).find("failed to provision volume with StorageClass \"c\": berth.dev/local makes"),
      std::string::npos);
  view.claim = make_claim("x", "c");
  view.storage_class = make_class("c", "Immediate", "example.com/theirs");
  const Plan plan = plan_claim(view, kNow);
  EXPECT_NE(emitted(plan).find("external provisioner 'example.com/theirs'"), std::string::npos);
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"].as_string(),
            "example.com/theirs");
}

TEST(ClaimPlanTest, TakesAFreeVolume) {
  ClaimView view;
  view.claim = make_claim("x", "c");
  view.volumes = {make_volume("v", "2Gi")};
  const Plan plan = plan_claim(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["spec"]["claimRef"]["uid"].as_string(), "claim-x");
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["resourceVersion"].as_string(), "7");
  EXPECT_EQ(plan.then[0].object["status"]["capacity"]["storage"].as_string(), "2Gi");
}

TEST(ClaimPlanTest, ARequestedVolumeMustFitAndBeFree) {
  ClaimView view;
  view.claim = make_claim("x", "c");
  view.claim.mut("spec").set("volumeName", "v");
  EXPECT_TRUE(plan_claim(view, kNow).empty());
  view.volume = make_volume("v", "1Mi");
  EXPECT_EQ(emitted(plan_claim(view, kNow)),
            "VolumeMismatch: Cannot bind to requested volume \"v\": requested PV is too small\n");
  view.volume = reserve(make_volume("v"), "y", "claim-y");
  EXPECT_EQ(emitted(plan_claim(view, kNow)), "FailedBinding: volume \"v\" already bound to a different claim.\n");
  view.volume = make_volume("v");
  const Plan plan = plan_claim(view, kNow);
  ASSERT_EQ(plan.chains[0].size(), 2u);
  EXPECT_FALSE(plan.chains[0][1].object["metadata"]["annotations"].contains("pv.kubernetes.io/bound-by-controller"));
}

Value make_bound(const char* capacity = "1Gi") {
  Value claim = make_claim("x", "c");
  claim.mut("spec").set("volumeName", "v");
  claim.mut("metadata").set("annotations", from(R"({"pv.kubernetes.io/bind-completed":"yes"})"));
  claim.set("status", from(R"({"phase":"Bound","accessModes":["ReadWriteOnce"]})"));
  claim.mut("status").set("capacity", Value::object({{"storage", capacity}}));
  return claim;
}

TEST(ClaimPlanTest, BoundClaimsRestOrAreLost) {
  ClaimView view;
  view.claim = make_bound();
  view.volume = reserve(make_volume("v"), "x", "claim-x");
  EXPECT_TRUE(plan_claim(view, kNow).empty());
  view.volume = reserve(make_volume("v"), "x", "other");
  EXPECT_NE(emitted(plan_claim(view, kNow)).find("ClaimMisbound"), std::string::npos);
  view.volume = Value();
  EXPECT_TRUE(plan_claim(view, kNow).empty());  // not long enough
  view.volume_missing_long = true;
  const Plan plan = plan_claim(view, kNow);
  EXPECT_EQ(emitted(plan), "ClaimLost: Bound claim has lost its PersistentVolume. Data on the volume is lost!\n");
  EXPECT_EQ(plan.chains[0][0].object["status"]["phase"].as_string(), "Lost");
}

TEST(ClaimPlanTest, Grows) {
  ClaimView view;
  view.claim = make_bound();
  view.claim.mut("spec").mut("resources").mut("requests").set("storage", "3Gi");
  view.storage_class = make_class("c");
  view.volume = reserve(make_volume("v"), "x", "claim-x");
  EXPECT_EQ(emitted(plan_claim(view, kNow)),
            "ExternalExpanding: waiting for an external controller to expand this PVC\n");
  view.volume.mut("spec").set("csi", from(R"({"driver":"berth.dev/local"})"));
  Plan plan = plan_claim(view, kNow);
  EXPECT_EQ(plan.chains[0][0].object["spec"]["capacity"]["storage"].as_string(), "3Gi");
  EXPECT_EQ(plan.then[0].object["status"]["conditions"][0]["type"].as_string(), "FileSystemResizePending");

  view.volume.mut("spec").mut("capacity").set("storage", "3Gi");
  view.claim.mut("status").set("conditions", plan.then[0].object["status"]["conditions"]);
  EXPECT_TRUE(plan_claim(view, kNow).empty());  // the agent has to act
  view.claim.mut("status").mut("capacity").set("storage", "3Gi");
  plan = plan_claim(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_TRUE(plan.chains[0][0].object["status"].contains("conditions"));
  EXPECT_TRUE(plan.chains[0][0].object["status"]["conditions"].is_null());
}

TEST(ClaimPlanTest, DefaultClassIsTheNewest) {
  Value a = make_class("a"), b = make_class("b");
  EXPECT_TRUE(choose_default_class({a, b}).is_null());
  for (Value* one : {&a, &b})
    one->mut("metadata").set("annotations", from(R"({"storageclass.kubernetes.io/is-default-class":"true"})"));
  a.mut("metadata").set("creationTimestamp", "2026-01-02T00:00:00Z");
  b.mut("metadata").set("creationTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_EQ(api::name_of(choose_default_class({a, b})), "a");
}

// --- Volumes

std::string phase_in(const Plan& plan) {
  return plan.chains.size() == 1 ? plan.chains[0][0].object["status"]["phase"].str() : std::string();
}

TEST(VolumePlanTest, Phases) {
  VolumeView view;
  view.volume = make_volume("v");
  EXPECT_TRUE(plan_volume(view, kNow).empty());
  view.volume.mut("status").set("phase", "Pending");
  EXPECT_EQ(phase_in(plan_volume(view, kNow)), "Available");
  view.volume = reserve(view.volume, "x", nullptr);
  EXPECT_EQ(phase_in(plan_volume(view, kNow)), "Available");
  view.volume = reserve(view.volume, "x", "claim-x");
  view.claim = make_claim("x", "c");
  EXPECT_TRUE(plan_volume(view, kNow).empty());  // the claim has to act
  view.claim = make_bound();
  EXPECT_EQ(phase_in(plan_volume(view, kNow)), "Bound");
}

TEST(VolumePlanTest, ReleasedOnlyWhenTheClaimIsReallyGone) {
  VolumeView view;
  view.volume = reserve(make_volume("v"), "x", "claim-x");
  view.volume.mut("status").set("phase", "Bound");
  EXPECT_TRUE(needs_live_claim(view));
  EXPECT_TRUE(plan_volume(view, kNow).empty());
  view.live = VolumeView::LiveClaim::kThere;
  EXPECT_TRUE(plan_volume(view, kNow).empty());
  view.live = VolumeView::LiveClaim::kGone;
  EXPECT_EQ(phase_in(plan_volume(view, kNow)), "Released");
  view.volume.mut("status").set("phase", "Released");
  EXPECT_TRUE(plan_volume(view, kNow).empty());  // Retain
  view.volume.mut("spec")
      .set("persistentVolumeReclaimPolicy", "Delete")
      .set("csi", from(R"({"driver":"berth.dev/local"})"));
  Plan plan = plan_volume(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].verb, Action::Verb::kDelete);
  EXPECT_EQ(plan.chains[0][0].options.uid, "volume-v");
  view.volume.mut("spec").erase("csi");
  plan = plan_volume(view, kNow);
  EXPECT_EQ(phase_in(plan), "Failed");
  EXPECT_EQ(
      emitted(plan),
      "VolumeFailedDelete: error getting deleter volume plugin for volume \"v\": no deletable volume plugin matched\n");
}

TEST(VolumePlanTest, AClaimThatWentElsewhereFreesTheVolume) {
  VolumeView view;
  view.volume = reserve(make_volume("v"), "x", "claim-x");
  view.claim = make_bound();
  view.claim.mut("spec").set("volumeName", "other");
  EXPECT_TRUE(plan_volume(view, kNow).chains[0][0].object["spec"]["claimRef"].contains("uid"));
  view.volume.mut("metadata").set("annotations", from(R"({"pv.kubernetes.io/bound-by-controller":"yes"})"));
  EXPECT_TRUE(plan_volume(view, kNow).chains[0][0].object["spec"]["claimRef"].is_null());
}

TEST(LocalVolumeTest, WhenTheDiskMayGo) {
  Value volume = make_local_volume(make_claim("x", "c"), make_class("c"), make_node("n1")).value();
  EXPECT_FALSE(disk_may_go(volume));
  volume.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_FALSE(disk_may_go(volume));  // pv-protection is present
  volume.mut("metadata").set("finalizers", from(R"(["berth.dev/local-volume"])"));
  EXPECT_TRUE(disk_may_go(volume) && disk_is_deleted(volume));
  volume.mut("spec").set("persistentVolumeReclaimPolicy", "Retain");
  EXPECT_TRUE(disk_may_go(volume));
  EXPECT_FALSE(disk_is_deleted(volume));
}

// --- All controllers together

struct VolumeControllersTest : ::testing::Test {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  std::vector<std::unique_ptr<Driver>> drivers;

  void start() {
    for (auto& controller : make_controllers(informers))
      drivers.push_back(std::make_unique<Driver>(informers, std::move(controller)));
    runtime.advance(100ms);
  }
  Value claim(const std::string& name) { return api.read(kPersistentVolumeClaims, {"default", name}); }
  Value volume(const std::string& name) { return api.read(kPersistentVolumes, {"", name}); }
};

TEST_F(VolumeControllersTest, AClaimsWholeLife) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("c"));
  api.put(kPersistentVolumeClaims, make_claim("x", "c"));
  start();
  EXPECT_EQ(claim("x")["status"]["phase"].as_string(), "Bound");
  EXPECT_EQ(volume("pvc-claim-x")["status"]["phase"].as_string(), "Bound");
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);  // no writes without a change

  // Deleted while a pod uses it: remains until the pod is gone.
  Value pod = from(
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},"status":{"phase":"Running"},
      "spec":{"nodeName":"n1","volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"x"}}]}})");
  api.put(kPods, pod);
  Value leaving = claim("x");
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  api.put(kPersistentVolumeClaims, leaving);
  runtime.advance(100ms);
  EXPECT_TRUE(api::has_finalizer(claim("x"), kClaimProtection));
  api.erase(kPods, {"default", "p"});
  runtime.advance(100ms);
  EXPECT_FALSE(api::has_finalizer(claim("x"), kClaimProtection));
  api.erase(kPersistentVolumeClaims, {"default", "x"});  // as the server does then
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPersistentVolumes), 0u);  // (the fake ignores finalizers)
}

// The cache was listing again while the pod was created and deleted: there was no event.
TEST_F(VolumeControllersTest, AClaimIsLetGoByAPodThatTheCacheNeverShowed) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("c"));
  api.put(kPersistentVolumeClaims, make_claim("x", "c"));
  start();
  api.fail_next("list", Code::kUnavailable);
  api.cut(kPods, Code::kExpired);
  runtime.advance(5ms);
  api.put(
      kPods,
      from(
          R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},"status":{"phase":"Running"},
      "spec":{"nodeName":"n1","volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"x"}}]}})"));
  Value leaving = claim("x");
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  api.put(kPersistentVolumeClaims, leaving);
  runtime.advance(20ms);
  EXPECT_TRUE(api::has_finalizer(claim("x"), kClaimProtection));
  api.erase(kPods, {"default", "p"});
  runtime.advance(5s);
  EXPECT_FALSE(api::has_finalizer(claim("x"), kClaimProtection));
}

// A pod deleted in the foreground remains until the claims it owns are gone: they must not wait for it in turn.
TEST_F(VolumeControllersTest, AClaimDoesNotWaitForAPodThatIsOver) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("c"));
  api.put(kPersistentVolumeClaims, make_claim("x", "c"));
  start();
  Value pod = from(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default","uid":"u",
      "deletionTimestamp":"2026-01-01T00:00:00Z","deletionGracePeriodSeconds":0,"finalizers":["foregroundDeletion"]},
      "status":{"phase":"Running"},
      "spec":{"nodeName":"n1","volumes":[{"name":"d","persistentVolumeClaim":{"claimName":"x"}}]}})");
  api.put(kPods, pod);
  Value leaving = claim("x");
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  api.put(kPersistentVolumeClaims, leaving);
  runtime.advance(100ms);
  EXPECT_TRUE(api::has_finalizer(claim("x"), kClaimProtection));  // deleted by force, but not known to have ended
  pod.mut("status").set("phase", "Failed");
  api.put(kPods, pod);
  runtime.advance(100ms);
  EXPECT_FALSE(api::has_finalizer(claim("x"), kClaimProtection));
}

TEST_F(VolumeControllersTest, AWaitingClaimIsServedOnceItsNodeIsKnown) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("w", "WaitForFirstConsumer"));
  api.put(kPersistentVolumeClaims, make_claim("x", "w"));
  start();
  EXPECT_EQ(claim("x")["status"]["phase"].as_string(), "Pending");
  Value chosen = claim("x");
  chosen.mut("metadata").set("annotations", from(R"({"volume.kubernetes.io/selected-node":"n1"})"));
  api.put(kPersistentVolumeClaims, chosen);
  runtime.settle();
  EXPECT_EQ(claim("x")["spec"]["volumeName"].as_string(), "pvc-claim-x");
  EXPECT_EQ(claim("x")["status"]["phase"].as_string(), "Bound");
}

TEST_F(VolumeControllersTest, AClassThatArrivesLater) {
  api.put(kNodes, make_node("n1"));
  api.put(kPersistentVolumeClaims, make_claim("x", "c"));
  start();
  EXPECT_EQ(api.count(kPersistentVolumes), 0u);
  api.put(kStorageClasses, make_class("c"));
  runtime.settle();
  EXPECT_EQ(claim("x")["status"]["phase"].as_string(), "Bound");
}

TEST_F(VolumeControllersTest, FreeVolumesServeWaitingClaims) {
  api.put(kPersistentVolumeClaims, make_claim("x", "c"));
  start();
  Value volume = make_volume("v");
  volume.mut("status").set("phase", "Pending");
  api.put(kPersistentVolumes, volume);
  runtime.advance(100ms);
  EXPECT_EQ(claim("x")["spec"]["volumeName"].as_string(), "v");
  EXPECT_EQ(this->volume("v")["status"]["phase"].as_string(), "Bound");
  // Retained when the claim is deleted.
  api.erase(kPersistentVolumeClaims, {"default", "x"});
  runtime.advance(100ms);
  EXPECT_EQ(this->volume("v")["status"]["phase"].as_string(), "Released");
}

TEST_F(VolumeControllersTest, EphemeralVolumesGetTheirClaim) {
  api.put(kNodes, make_node("n1"));
  api.put(kStorageClasses, make_class("c"));
  Value pod = from(
      R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","namespace":"default"},"status":{"phase":"Pending"},
      "spec":{"volumes":[{"name":"d","ephemeral":{"volumeClaimTemplate":{"metadata":{"labels":{"a":"b"}},
      "spec":{"storageClassName":"c","accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}}}]}})");
  pod = api.put(kPods, pod);
  start();
  EXPECT_TRUE(api::is_controlled_by(claim("p-d"), api::uid_of(pod)));
  EXPECT_EQ(claim("p-d")["status"]["phase"].as_string(), "Bound");
}

}  // namespace
}  // namespace berth::controllers::volume

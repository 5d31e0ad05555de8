#include <gtest/gtest.h>

#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/gc/controller.h"
#include "controllers/gc/plan.h"

namespace berth::controllers::gc {
namespace {

using namespace api::resources;  // NOLINT

Value thing(const std::string& kind, const std::string& name,
            std::vector<std::pair<std::string, std::string>> owners = {}) {
  Value object = Value::object(
      {{"apiVersion", "v1"},
       {"kind", kind},
       {"metadata", Value::object({{"name", name}, {"namespace", "default"}, {"uid", "uid-of-" + name}})}});
  Value references = Value::array();
  for (const auto& [owner_kind, owner] : owners) {
    references.push(Value::object({{"apiVersion", owner_kind == "ReplicaSet" ? "apps/v1" : "v1"},
                                   {"kind", owner_kind},
                                   {"name", owner},
                                   {"uid", "uid-of-" + owner},
                                   {"blockOwnerDeletion", true}}));
  }
  if (!references.empty()) object.mut("metadata").set("ownerReferences", references);
  return object;
}

Value deleting(Value object, const char* finalizer) {
  object.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z").set("finalizers", Value::array({finalizer}));
  return object;
}

ObjectView view_of(Value object, std::vector<OwnerState> owners, std::vector<Dependent> dependents = {}) {
  return ObjectView{kConfigMaps, std::move(object), std::move(owners), std::move(dependents)};
}

TEST(GcPlanTest, OwnersDecide) {
  const Value object = thing("ConfigMap", "a", {{"Secret", "s"}, {"Secret", "t"}});
  EXPECT_TRUE(plan_object(view_of(object, {OwnerState::kExists, OwnerState::kExists})).empty());
  Plan plan = plan_object(view_of(object, {OwnerState::kGone, OwnerState::kExists}));
  ASSERT_EQ(plan.chains.size(), 1u);
  ASSERT_EQ(plan.chains[0][0].object["metadata"]["ownerReferences"].size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["ownerReferences"][0]["name"].as_string(), "t");
  plan = plan_object(view_of(object, {OwnerState::kGone, OwnerState::kGone}));
  EXPECT_EQ(plan.chains[0][0].verb, Action::Verb::kDelete);
  EXPECT_EQ(plan.chains[0][0].options.propagation, "Background");
  EXPECT_EQ(plan.chains[0][0].options.uid, "uid-of-a");
}

TEST(GcPlanTest, WaitingOwnersTakeDependentsInTheForeground) {
  const Value object = thing("ConfigMap", "a", {{"Secret", "s"}});
  Plan plan = plan_object(view_of(object, {OwnerState::kWaiting}));
  EXPECT_EQ(plan.chains[0][0].options.propagation, "Background");  // without dependents
  const Dependent below{kConfigMaps, thing("ConfigMap", "b", {{"ConfigMap", "a"}})};
  plan = plan_object(view_of(object, {OwnerState::kWaiting}, {below}));
  EXPECT_EQ(plan.chains[0][0].options.propagation, "Foreground");
  const Dependent circle{kConfigMaps, deleting(below.object, "foregroundDeletion")};
  plan = plan_object(view_of(object, {OwnerState::kWaiting}, {circle}));
  EXPECT_EQ(plan.chains[0][0].verb, Action::Verb::kPatch);
  EXPECT_FALSE(plan.chains[0][0].object["metadata"]["ownerReferences"][0]["blockOwnerDeletion"].as_bool(true));
}

TEST(GcPlanTest, ForegroundWaitsForThoseThatBlock) {
  const Value owner = deleting(thing("ConfigMap", "a"), "foregroundDeletion");
  Dependent below{kConfigMaps, thing("ConfigMap", "b", {{"ConfigMap", "a"}})};
  EXPECT_TRUE(plan_object(view_of(owner, {}, {below})).empty());
  below.object.mut("metadata").mut("ownerReferences").mut(0).erase("blockOwnerDeletion");
  const Plan plan = plan_object(view_of(owner, {}, {below}));
  EXPECT_TRUE(plan.chains[0][0].object["metadata"]["finalizers"].is_null());
}

TEST(GcPlanTest, OrphansAreStruckBeforeTheOwnerGoes) {
  const Value owner = deleting(thing("ConfigMap", "a"), "orphan");
  const Dependent below{kConfigMaps, thing("ConfigMap", "b", {{"ConfigMap", "a"}, {"Secret", "s"}})};
  const Plan plan = plan_object(view_of(owner, {}, {below}));
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["ownerReferences"][0]["name"].as_string(), "s");
  ASSERT_EQ(plan.then.size(), 1u);
}

TEST(GcPlanTest, WhatCannotBeFoundOutIsLeftAlone) {
  const Value object = thing("ConfigMap", "a", {{"Secret", "s"}, {"Unknown", "t"}});
  EXPECT_TRUE(plan_object(view_of(object, {OwnerState::kGone, OwnerState::kUnknown})).empty());
}

TEST(GcPlanTest, OwnersInOtherNamespacesAreReported) {
  const Value object = thing("ConfigMap", "a", {{"Secret", "s"}});
  ObjectView view = view_of(object, {OwnerState::kGone});
  view.misplaced = {true};
  const Plan plan = plan_object(view);
  ASSERT_EQ(plan.events.size(), 1u);
  EXPECT_EQ(plan.events[0].type + " " + plan.events[0].reason, "Warning OwnerRefInvalidNamespace");
  EXPECT_EQ(plan.events[0].message,
            "ownerRef [v1/Secret, namespace: default, name: s, uid: uid-of-s] does not exist in namespace \"default\"");
  EXPECT_EQ(plan.chains[0][0].verb, Action::Verb::kDelete);
}

TEST(GcPlanTest, ADependentKeepsTheFinalizerItWasGiven) {
  for (const auto& [finalizer, propagation] :
       {std::pair("orphan", "Orphan"), std::pair("foregroundDeletion", "Foreground"),
        std::pair("x.y/z", "Background")}) {
    Value object = thing("ConfigMap", "a", {{"Secret", "s"}});
    object.mut("metadata").set("finalizers", Value::array({finalizer}));
    EXPECT_EQ(plan_object(view_of(object, {OwnerState::kGone})).chains[0][0].options.propagation, propagation);
  }
}

TEST(GcPlanTest, ASolidOwnerSavesADependentFromOneThatWaits) {
  const Value object = thing("ConfigMap", "a", {{"Secret", "s"}, {"Secret", "t"}});
  const Dependent below{kConfigMaps, thing("ConfigMap", "b", {{"ConfigMap", "a"}})};
  const Plan plan = plan_object(view_of(object, {OwnerState::kWaiting, OwnerState::kExists}, {below}));
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["ownerReferences"].size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["ownerReferences"][0]["name"].as_string(), "t");
}

TEST(GcPlanTest, ThingsAtRestAreLeftAlone) {
  EXPECT_TRUE(plan_object(view_of(Value(), {})).empty());
  EXPECT_TRUE(plan_object(view_of(thing("ConfigMap", "a"), {})).empty());
  EXPECT_TRUE(
      plan_object(view_of(deleting(thing("ConfigMap", "a", {{"Secret", "s"}}), "example.com/x"), {OwnerState::kGone}))
          .empty());
}

struct GcTest : ::testing::Test {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  std::unique_ptr<Driver> driver;
  void start() {
    driver = std::make_unique<Driver>(informers, make_controller(informers, {{kConfigMaps, "ConfigMap", true},
                                                                             {kSecrets, "Secret", true},
                                                                             {kEvents, "Event", true}}));
    runtime.advance(100ms);
  }
};

TEST_F(GcTest, ACascadeInTheBackground) {
  api.put(kSecrets, thing("Secret", "s"));
  api.put(kConfigMaps, thing("ConfigMap", "a", {{"Secret", "s"}}));
  api.put(kConfigMaps, thing("ConfigMap", "b", {{"ConfigMap", "a"}}));
  start();
  EXPECT_EQ(api.count(kConfigMaps), 2u);
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
  api.erase(kSecrets, {"default", "s"});
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kConfigMaps), 0u);
}

TEST_F(GcTest, OwnersThatNeverWereAndOnesMadeAnew) {
  api.put(kConfigMaps, thing("ConfigMap", "a", {{"Secret", "gone"}}));
  Value other = thing("Secret", "s");
  other.mut("metadata").set("uid", "another");
  api.put(kSecrets, other);
  api.put(kConfigMaps, thing("ConfigMap", "b", {{"Secret", "s"}}));       // of the earlier incarnation
  api.put(kConfigMaps, thing("ConfigMap", "c", {{"Unknown", "thing"}}));  // of an unknown kind
  start();
  EXPECT_EQ(api.count(kConfigMaps), 1u);
  EXPECT_FALSE(api.read(kConfigMaps, {"default", "c"}).is_null());
}

// Also after an object referred to it from another namespace, or under another name, an owner still owns the objects
// that refer to it correctly.
TEST_F(GcTest, AWrongReferenceDoesNotHarmTheRightOnes) {
  api.put(kSecrets, thing("Secret", "s"));
  Value far = thing("ConfigMap", "far", {{"Secret", "s"}});
  far.mut("metadata").set("namespace", "elsewhere");
  api.put(kConfigMaps, far);
  Value misnamed = thing("ConfigMap", "misnamed", {{"Secret", "s"}});
  misnamed.mut("metadata").mut("ownerReferences").mut(0).set("name", "other");
  api.put(kConfigMaps, misnamed);
  api.put(kConfigMaps, thing("ConfigMap", "right", {{"Secret", "s"}}));
  start();
  runtime.advance(1min);
  EXPECT_TRUE(api.read(kConfigMaps, {"elsewhere", "far"}).is_null());
  EXPECT_EQ(api.count(kEvents), 1u);  // about the wrong reference
  EXPECT_TRUE(api.read(kConfigMaps, {"default", "misnamed"}).is_null());
  EXPECT_FALSE(api.read(kConfigMaps, {"default", "right"}).is_null());
  // Nor does a dependent created later.
  api.put(kConfigMaps, thing("ConfigMap", "late", {{"Secret", "s"}}));
  runtime.advance(1min);
  EXPECT_EQ(api.count(kConfigMaps), 2u);
}

TEST_F(GcTest, ClusterWideOwnersAndDependents) {
  Value node = thing("Node", "n1");
  node.mut("metadata").erase("namespace");
  api.put(kNodes, node);
  api.put(kConfigMaps, thing("ConfigMap", "a", {{"Node", "n1"}}));  // a cluster-scoped owner
  // a namespaced owner of a cluster-scoped object: cannot be looked up
  Value volume = thing("PersistentVolume", "v", {{"ConfigMap", "gone"}});
  volume.mut("metadata").erase("namespace");
  api.put(kPersistentVolumes, volume);
  driver = std::make_unique<Driver>(informers,
                                    make_controller(informers, {{kConfigMaps, "ConfigMap", true},
                                                                {kNodes, "Node", false},
                                                                {kPersistentVolumes, "PersistentVolume", false}}));
  runtime.advance(1min);
  EXPECT_EQ(api.count(kConfigMaps), 1u);
  EXPECT_EQ(api.count(kPersistentVolumes), 1u);
  api.erase(kNodes, {"", "n1"});
  runtime.advance(1s);
  EXPECT_EQ(api.count(kConfigMaps), 0u);
  EXPECT_EQ(api.count(kPersistentVolumes), 1u);
}

TEST_F(GcTest, AnUnreachableServerMeansNothing) {
  api.put(kConfigMaps, thing("ConfigMap", "a", {{"Secret", "gone"}}));
  for (int i = 0; i < 3; ++i) api.fail_next("get", Code::kUnavailable);
  driver = std::make_unique<Driver>(
      informers, make_controller(informers, {{kConfigMaps, "ConfigMap", true}, {kSecrets, "Secret", true}}));
  runtime.advance(6ms);
  EXPECT_EQ(api.count(kConfigMaps), 1u);
  runtime.advance(1s);
  EXPECT_EQ(api.count(kConfigMaps), 0u);
}

// The cache was listing again while the owner was created and deleted: there was no event.
TEST_F(GcTest, AnOwnerThatTheCacheNeverShowedIsMissedAllTheSame) {
  start();
  api.fail_next("list", Code::kUnavailable);
  api.cut(kSecrets, Code::kExpired);
  runtime.advance(5ms);
  api.put(kSecrets, thing("Secret", "s"));
  api.put(kConfigMaps, thing("ConfigMap", "a", {{"Secret", "s"}}));
  runtime.advance(20ms);
  EXPECT_EQ(api.count(kConfigMaps), 1u);
  api.erase(kSecrets, {"default", "s"});
  runtime.advance(5s);
  EXPECT_EQ(api.count(kConfigMaps), 0u);
}

TEST_F(GcTest, ForegroundDeletionComesToItsEnd) {
  Value owner = thing("Secret", "s");
  api.put(kSecrets, owner);
  api.put(kConfigMaps, thing("ConfigMap", "a", {{"Secret", "s"}}));
  start();
  api.put(kSecrets, deleting(owner, "foregroundDeletion"));
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kConfigMaps), 0u);
  EXPECT_TRUE(api.read(kSecrets, {"default", "s"})["metadata"]["finalizers"].empty());
}

}  // namespace
}  // namespace berth::controllers::gc

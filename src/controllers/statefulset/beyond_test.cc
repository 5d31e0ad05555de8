// What Berth's StatefulSet does beyond Kubernetes'.
#include <gtest/gtest.h>

#include "base/time/time.h"
#include "controllers/shared/set_identity.h"
#include "controllers/testing/set_world.h"

namespace berth::controllers::statefulset {
namespace {

using Steps = std::vector<std::string>;

Value claim_template(std::string_view name, std::string_view size) {
  return Value::object(
      {{"metadata", Value::object({{"name", name}})},
       {"spec", Value::object({{"accessModes", Value::array({"ReadWriteOnce"})},
                               {"resources", Value::object({{"requests", Value::object({{"storage", size}})}})}})}});
}

void waiting(SetWorld& world, const std::string& pod, std::string_view reason, std::string_view phase = "Pending") {
  world.phase(pod, phase);
  world.pods[pod].mut("status").set(
      "containerStatuses",
      Value::array({Value::object({{"name", "c"},
                                   {"image", "i:2"},
                                   {"state", Value::object({{"waiting", Value::object({{"reason", reason}})}})}})}));
}

// --- Broken rollouts

TEST(StatefulSetBroken, IsReplacedWhenTheTemplateChangesAgain) {
  SetWorld world(3);
  world.run_until_idle();
  world.image("i:broken");
  world.sync();  // web-2 goes
  world.finish_deletions();
  world.sync();  // and comes back
  waiting(world, "web-2", "ImagePullBackOff");
  EXPECT_EQ(world.sync(), Steps{});
  EXPECT_EQ(world.wait_reason(), "ImagePullBackOff");
  EXPECT_EQ(api::condition_of(world.set, "Progressing")["status"], "False");
  world.image("i:3");
  const Steps steps = world.sync();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[1], "delete web-2");
  world.finish_deletions();
  world.run_until_idle();
  EXPECT_EQ(world.status()["updatedReplicas"], 3);
  EXPECT_EQ(world.wait_reason(), "Complete");
}

TEST(StatefulSetBroken, HealthyMembersKeepTheirOrderAndBudget) {
  SetWorld world(3);
  world.run_until_idle();
  world.image("i:broken");
  world.sync();
  world.finish_deletions();
  world.sync();
  waiting(world, "web-2", "CrashLoopBackOff");
  world.image("i:3");
  world.sync();
  EXPECT_TRUE(api::is_terminating(world.pods["web-2"]));
  EXPECT_FALSE(api::is_terminating(world.pods["web-1"]));
  EXPECT_EQ(world.sync(), Steps{}) << "one member is down already";
}

TEST(StatefulSetBroken, OneThatWasReadyAMomentAgoIsWaitedFor) {
  SetWorld world(2);
  world.run_until_idle();
  world.image("i:2");
  world.ready("web-0", false, format_time(kNow - 3s));
  const Plan plan = world.plan();
  EXPECT_EQ(plan.chains.size(), 0u);
  ASSERT_TRUE(plan.requeue_delay.has_value());
  EXPECT_EQ(*plan.requeue_delay, 7s);
  world.now = kNow + 7s;
  world.sync();
  EXPECT_TRUE(api::is_terminating(world.pods["web-0"]));
}

// Every form of a rolling update without a partition behaves the same: a replaced pod is created at the new revision.
TEST(StatefulSetBroken, InWhateverWordsTheStrategyIsGivenEachMemberIsReplacedOnce) {
  for (const char* strategy :
       {"null", "{}", R"({"type":"RollingUpdate"})", R"({"type":"RollingUpdate","rollingUpdate":null})",
        R"({"type":"RollingUpdate","rollingUpdate":{}})", R"({"type":"RollingUpdate","rollingUpdate":{"partition":0}})",
        R"({"rollingUpdate":{"partition":null,"maxUnavailable":null}})",
        R"({"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1}})"}) {
    for (const char* broken : {"web-0", "web-1", "web-2"}) {
      SetWorld world(3);
      world.spec().set("updateStrategy", json::parse(strategy).value());
      world.run_until_idle();
      world.ready(broken, false, "2026-01-01T00:00:00Z");
      world.image("i:2");
      std::map<std::string, int> deleted;
      for (int i = 0; i < 50; ++i) {
        for (const std::string& step : world.sync()) deleted[step] += step.starts_with("delete ") ? 1 : 0;
        world.finish_deletions();
        for (auto& [name, pod] : world.pods) {
          if (pod["status"]["phase"].as_string() == "Pending") world.ready(name);
        }
      }
      EXPECT_EQ(world.status()["updatedReplicas"], 3) << strategy << broken;
      EXPECT_EQ(world.status()["currentRevision"], world.status()["updateRevision"]) << strategy << broken;
      for (const auto& [step, times] : deleted) EXPECT_LE(times, 1) << step << " " << strategy << broken;
    }
  }
}

TEST(StatefulSetBroken, OnDeleteMakesTheNewestWhateverPartitionIsStored) {
  SetWorld world(2);
  world.spec().set("updateStrategy", json::parse(R"({"type":"OnDelete","rollingUpdate":{"partition":2}})").value());
  world.run_until_idle();
  world.image("i:2");
  world.sync();
  world.pods.erase("web-1");
  world.run_until_idle();
  EXPECT_EQ(world.revision_of("web-1"), world.status()["updateRevision"].str());
  EXPECT_NE(world.revision_of("web-0"), world.status()["updateRevision"].str());
}

TEST(StatefulSetBroken, BelowThePartitionAndWithOnDeleteNothingIsTouched) {
  for (bool on_delete : {false, true}) {
    SetWorld world(2);
    world.run_until_idle();
    if (on_delete) {
      world.spec().set("updateStrategy", Value::object({{"type", "OnDelete"}}));
    } else {
      world.spec().mut("updateStrategy").mut("rollingUpdate").set("partition", 2);
    }
    world.image("i:2");
    waiting(world, "web-0", "CrashLoopBackOff", "Running");
    world.sync();
    EXPECT_FALSE(api::is_terminating(world.pods["web-0"])) << on_delete;
  }
}

TEST(StatefulSetBroken, AFirstStartWithABrokenTemplateIsRepairedToo) {
  SetWorld world(3);
  world.sync();
  waiting(world, "web-0", "ErrImagePull");
  world.image("i:2");
  world.sync();
  EXPECT_TRUE(api::is_terminating(world.pods["web-0"]));
}

// --- Outages

TEST(StatefulSetOutage, ThoseThatWereReadyStartTogether) {
  SetWorld world(3);
  world.run_until_idle();
  EXPECT_EQ(api::condition_of(world.set, "berth.dev/MembersInitialised")["message"], "0-2");
  world.pods.clear();
  world.sync();
  EXPECT_EQ(world.pods.size(), 3u);
}

TEST(StatefulSetOutage, OneThatNeverWasReadyWaitsForItsTurn) {
  SetWorld world(2);
  world.run_until_idle();
  world.spec().set("replicas", 4);
  world.sync();  // web-2 is made, and never becomes ready
  world.pods.clear();
  world.sync();
  EXPECT_EQ(world.pods.size(), 2u);
  EXPECT_TRUE(world.pods.count("web-1"));
}

TEST(StatefulSetOutage, OrderHoldsWhileAMemberIsUp) {
  SetWorld world(3);
  world.run_until_idle();
  world.pods.erase("web-1");
  world.pods.erase("web-2");
  world.sync();
  EXPECT_TRUE(world.pods.count("web-1"));
  EXPECT_FALSE(world.pods.count("web-2"));
}

TEST(StatefulSetOutage, OrderHoldsDuringARollout) {
  SetWorld world(3);
  world.run_until_idle();
  world.image("i:2");
  world.sync();
  world.pods.clear();
  world.sync();
  EXPECT_EQ(world.pods.size(), 1u);
}

TEST(StatefulSetOutage, ScalingToNothingAndBackIsAFirstStart) {
  SetWorld world(3);
  world.run_until_idle();
  world.spec().set("replicas", 0);
  world.run_until_idle();
  EXPECT_TRUE(world.pods.empty());
  world.spec().set("replicas", 3);
  world.sync();
  EXPECT_EQ(world.pods.size(), 1u);
}

TEST(StatefulSetOutage, ASetOfAnOlderReleaseThatWasWholeCounts) {
  SetWorld world(3);
  world.run_until_idle();
  world.set.mut("status").erase("conditions");
  EXPECT_TRUE(world.plan().empty()) << "nothing is written for the record's sake";
  world.pods.clear();
  world.sync();
  EXPECT_EQ(world.pods.size(), 3u);
}

TEST(StatefulSetSize, WhatCannotBeMeantIsLeftAloneAndTold) {
  for (const char* replicas :
       {"9223372036854775807", "2147483648", "-1", "-9223372036854775808", "1e30", "\"3\"", "{}"}) {
    SetWorld world(2);
    world.run_until_idle();
    world.spec().set("replicas", json::parse(replicas).value());
    const Plan plan = world.plan();
    EXPECT_TRUE(SetWorld::steps(plan).empty()) << replicas;
    EXPECT_TRUE(plan.then.empty());
    ASSERT_EQ(plan.events.size(), 1u);
    EXPECT_EQ(plan.events[0].reason, "Unusable");
    EXPECT_NE(plan.events[0].message.find("spec.replicas is " + json::encode(world.set["spec"]["replicas"])),
              std::string::npos)
        << plan.events[0].message;
    // It can still be deleted.
    world.set.mut("metadata").set("deletionTimestamp", "2026-01-02T03:04:05Z");
    world.sync();
  }
}

TEST(StatefulSetSize, NumbersBeyondTheirFieldsDoNoHarm) {
  for (const char* number : {"9223372036854775807", "-9223372036854775808", "2147483647", "-1", "1e300", "\"x\"",
                             "\"99999999999999999999%\"", "{}"}) {
    SetWorld world(3);
    const Value value = json::parse(number).value();
    world.spec().set("ordinals", Value::object({{"start", value}}));
    world.spec().set(
        "updateStrategy",
        Value::object({{"type", "RollingUpdate"},
                       {"rollingUpdate", Value::object({{"partition", value}, {"maxUnavailable", value}})}}));
    world.sync();
    const SetSpec set_spec = parse_set_spec(world.set);
    EXPECT_GE(set_spec.start, 0);
    EXPECT_GE(set_spec.end, set_spec.start);
    EXPECT_GE(set_spec.first_updated(), set_spec.start);
    EXPECT_GE(set_spec.max_unavailable, 1);
  }
}

TEST(StatefulSetSize, AnAbsurdNumberIsLookedAtPieceByPiece) {
  SetWorld world(2'000'000'000, true);
  world.spec().set("ordinals", Value::object({{"start", 2'000'000'000}}));
  const Plan plan = world.plan();
  EXPECT_EQ(plan.chains.size(), 10'000u);
  EXPECT_EQ(plan.chains[0].back().name.name, "web-2000000000");
}

// --- Back-off

TEST(StatefulSetBackOff, GrowsWithTheFailures) {
  EXPECT_EQ(back_off(0), 0s);
  EXPECT_EQ(back_off(1), 0s);
  EXPECT_EQ(back_off(2), 1s);
  EXPECT_EQ(back_off(5), 8s);
  EXPECT_EQ(back_off(50), 300s);
}

TEST(StatefulSetBackOff, HoldsASuccessorBackAndSaysSo) {
  SetWorld world(2);
  world.run_until_idle();
  world.phase("web-0", "Failed");
  world.pods["web-0"].mut("status").set("reason", "Evicted");
  world.failures[0] = {4, kNow - 1s};
  const Plan plan = world.plan();
  EXPECT_TRUE(plan.chains.empty());
  EXPECT_EQ(*plan.requeue_delay, 3s);
  ASSERT_EQ(plan.events.size(), 1u);
  EXPECT_EQ(plan.events[0].reason, "BackOff");
  world.sync();
  EXPECT_EQ(world.wait_reason(), "BackOff");
  EXPECT_NE(world.waits().find("web-0"), std::string::npos);
  EXPECT_TRUE(world.plan().events.empty()) << "said once";
  world.now = kNow + 3s;
  EXPECT_EQ(world.sync(), Steps{"delete web-0"});
}

TEST(StatefulSetBackOff, HoldsBackTheSuccessorOfAMemberThatWasTakenAway) {
  SetWorld world(2);
  world.run_until_idle();
  world.pods.erase("web-1");
  world.failures[1] = {4, kNow - 1s, true, world.status()["currentRevision"].str()};
  const Plan plan = world.plan();
  EXPECT_TRUE(SetWorld::steps(plan).empty());
  EXPECT_EQ(plan.requeue_delay, Duration(3s));
  world.sync();
  EXPECT_EQ(world.wait_reason(), "BackOff");
  EXPECT_NE(world.waits().find("web-1 was taken away 4 times of late"), std::string::npos) << world.waits();
  world.now = kNow + 3s;
  EXPECT_EQ(world.sync(), Steps{"create web-1"});
  // A new template is tried at once.
  world.pods.erase("web-1");
  world.now = kNow;
  world.image("i:2");
  const Steps steps = world.sync();
  EXPECT_NE(std::find(steps.begin(), steps.end(), "create web-1"), steps.end());
}

TEST(StatefulSetBackOff, ANewTemplateIsTriedAtOnce) {
  SetWorld world(2);
  world.run_until_idle();
  world.phase("web-0", "Failed");
  world.failures[0] = {9, kNow};
  world.image("i:2");
  world.sync();
  EXPECT_TRUE(api::is_terminating(world.pods["web-0"]));
}

// --- Ordered teardown

TEST(StatefulSetTeardown, LastToFirstEachGoneBeforeTheNext) {
  SetWorld world(3);
  world.ask(api::kOrderedTeardown, "true");
  EXPECT_EQ(world.plan().first.back().object["metadata"]["finalizers"], Value::array({kTeardownFinalizer}));
  world.run_until_idle();
  world.set.mut("metadata").set("deletionTimestamp", format_time(kNow));
  EXPECT_EQ(world.sync(), Steps{"delete web-2"});
  EXPECT_EQ(world.sync(), Steps{});
  EXPECT_EQ(world.wait_reason(), "TearingDown");
  world.finish_deletions();
  EXPECT_EQ(world.sync(), Steps{"delete web-1"});
  world.finish_deletions();
  EXPECT_EQ(world.sync(), Steps{"delete web-0"});
  world.finish_deletions();
  EXPECT_EQ(world.sync(), Steps{"patch web"});
  EXPECT_TRUE(world.set["metadata"]["finalizers"].empty());
}

TEST(StatefulSetTeardown, OrphansAreLeftAlone) {
  SetWorld world(2);
  world.ask(api::kOrderedTeardown, "true");
  world.run_until_idle();
  world.set.mut("metadata").set("deletionTimestamp", format_time(kNow));
  world.set.mut("metadata").mut("finalizers").push("orphan");
  EXPECT_EQ(world.sync(), Steps{"patch web"});
  EXPECT_EQ(world.set["metadata"]["finalizers"], Value::array({"orphan"}));
}

TEST(StatefulSetTeardown, TakenBackItLetsGo) {
  SetWorld world(1);
  world.ask(api::kOrderedTeardown, "true");
  world.run_until_idle();
  world.ask(api::kOrderedTeardown, "false");
  EXPECT_EQ(world.sync(), Steps{"patch web"});
}

TEST(StatefulSetTeardown, TakenBackWhileItEndsItLetsGoOfTheRest) {
  SetWorld world(2);
  world.ask(api::kOrderedTeardown, "true");
  world.run_until_idle();
  world.set.mut("metadata").set("deletionTimestamp", format_time(kNow));
  EXPECT_EQ(world.sync(), Steps{"delete web-1"});
  world.ask(api::kOrderedTeardown, "false");
  EXPECT_EQ(world.sync(), Steps{"patch web"}) << "the garbage collector ends the rest at once";
  EXPECT_TRUE(world.set["metadata"]["finalizers"].empty());
}

TEST(StatefulSetTeardown, ClaimsThatAreToStayAfterAllAreLetGo) {
  SetWorld world(2);
  world.ask(api::kOrderedTeardown, "true");
  world.spec().set("persistentVolumeClaimRetentionPolicy",
                   Value::object({{"whenDeleted", "Delete"}, {"whenScaled", "Retain"}}));
  world.run_until_idle();
  ASSERT_FALSE(world.claims["data-web-0"]["metadata"]["ownerReferences"].empty());
  world.set.mut("metadata").set("deletionTimestamp", format_time(kNow));
  world.sync();
  world.spec().mut("persistentVolumeClaimRetentionPolicy").set("whenDeleted", "Retain");
  world.sync();
  EXPECT_TRUE(world.claims["data-web-0"]["metadata"]["ownerReferences"].empty());
}

// --- Skipped ordinals

TEST(StatefulSetSkip, ReplicasCountTheOthers) {
  SetWorld world(3);
  world.ask(api::kSkipOrdinals, "1,4-6");
  world.run_until_idle();
  Steps names;
  for (const auto& [name, pod] : world.pods) names.push_back(name);
  EXPECT_EQ(names, (Steps{"web-0", "web-2", "web-3"}));
  world.spec().set("replicas", 4);
  world.run_until_idle();
  EXPECT_TRUE(world.pods.count("web-7"));
  EXPECT_EQ(world.status()["readyReplicas"], 4);
}

TEST(StatefulSetSkip, AChosenMemberIsRemoved) {
  SetWorld world(3);
  world.run_until_idle();
  world.ask(api::kSkipOrdinals, "1");
  world.spec().set("replicas", 2);
  EXPECT_EQ(world.sync(), Steps{"delete web-1"});
  world.finish_deletions();
  world.run_until_idle();
  EXPECT_EQ(world.pods.size(), 2u);
  EXPECT_TRUE(world.claims.count("data-web-1")) << "its claim stays";
}

TEST(StatefulSetSkip, RollsByOrdinal) {
  SetWorld world(3);
  world.ask(api::kSkipOrdinals, "0-1");
  world.run_until_idle();
  world.spec().mut("updateStrategy").mut("rollingUpdate").set("partition", 4);
  world.image("i:2");
  world.run_until_idle();
  const std::string old = world.revision_of("web-2");
  EXPECT_EQ(world.revision_of("web-3"), old);
  EXPECT_NE(world.revision_of("web-4"), old);
}

// --- Overrides

TEST(StatefulSetOverride, AnAnnotationOfTheTemplateIsNotTakenForOne) {
  SetWorld world(2, true);
  world.spec().mut("template").mut("metadata").mut("annotations").set(kOverrideAnnotation, "copied");
  world.run_until_idle();
  EXPECT_TRUE(world.sync().empty());
  EXPECT_EQ(world.status()["updatedReplicas"], 2);
}

TEST(StatefulSetOverride, ChangesOneMemberOnly) {
  SetWorld world(3);
  world.run_until_idle();
  world.ask(api::kOrdinalOverrides,
            R"({"1": {"nodeSelector": {"disk": "fast"}, "containers": [{"name": "c", "image": "i:special",
      "resources": {"limits": {"cpu": "2"}}, "env": [{"name": "ROLE", "value": "reader"}]}]}})");
  EXPECT_EQ(world.sync(), Steps{"delete web-1"});
  EXPECT_EQ(world.status()["updatedReplicas"], 2);
  world.finish_deletions();
  world.run_until_idle();
  const Value& spec = world.pods["web-1"]["spec"];
  EXPECT_EQ(spec["nodeSelector"]["disk"], "fast");
  EXPECT_EQ(spec["containers"][0]["image"], "i:special");
  EXPECT_EQ(spec["containers"][0]["resources"]["limits"]["cpu"], "2");
  EXPECT_EQ(spec["containers"][0]["env"][0]["value"], "reader");
  EXPECT_EQ(world.pods["web-0"]["spec"]["containers"][0]["image"], "i:1");
  EXPECT_TRUE(world.plan().empty());
  world.ask(api::kOrdinalOverrides, "");
  EXPECT_EQ(world.sync(), Steps{"delete web-1"});
}

// --- Claim templates

TEST(StatefulSetClaimTemplates, GrowFromTheLastMemberEachAfterTheOther) {
  SetWorld world(3);
  world.ask(api::kClaimTemplateUpdates, "true");
  world.classes["fast"] = Value::object({{"allowVolumeExpansion", true}});
  world.spec().mut("volumeClaimTemplates").mut(std::size_t{0}).mut("spec").set("storageClassName", "fast");
  world.run_until_idle();
  for (auto& [name, claim] : world.claims) {
    claim.set("status", Value::object({{"phase", "Bound"}, {"capacity", Value::object({{"storage", "1Gi"}})}}));
  }
  world.spec()
      .mut("volumeClaimTemplates")
      .mut(std::size_t{0})
      .mut("spec")
      .mut("resources")
      .mut("requests")
      .set("storage", "2Gi");
  Steps steps = world.sync();
  EXPECT_EQ(steps, (Steps{"update " + world.status()["currentRevision"].str(), "patch data-web-2"}));
  EXPECT_EQ(world.sync(), Steps{}) << "the next waits until this one has grown";
  const std::string said = api::condition_of(world.set, "berth.dev/ClaimTemplates")["message"].str();
  EXPECT_EQ(said, "0 of 3 members are done; web-2: claim data-web-2 grows from 1Gi to 2Gi");
  for (const char* name : {"data-web-2", "data-web-1", "data-web-0"}) {
    world.claims[name].mut("status").mut("capacity").set("storage", "2Gi");
    world.sync();
  }
  EXPECT_EQ(world.claims["data-web-0"]["spec"]["resources"]["requests"]["storage"], "2Gi");
  EXPECT_EQ(api::condition_of(world.set, "berth.dev/ClaimTemplates")["status"], "True");
  EXPECT_TRUE(world.plan().empty());
}

TEST(StatefulSetClaimTemplates, AClaimThatIsNotBoundIsWaitedFor) {
  SetWorld world(1);
  world.ask(api::kClaimTemplateUpdates, "true");
  world.classes["fast"] = Value::object({{"allowVolumeExpansion", true}});
  world.spec().mut("volumeClaimTemplates").mut(std::size_t{0}).mut("spec").set("storageClassName", "fast");
  world.run_until_idle();
  world.claims["data-web-0"].set("status", Value::object({{"phase", "Pending"}}));
  world.spec()
      .mut("volumeClaimTemplates")
      .mut(std::size_t{0})
      .mut("spec")
      .mut("resources")
      .mut("requests")
      .set("storage", "2Gi");
  for (const std::string& step : world.sync()) EXPECT_EQ(step.find("patch"), std::string::npos) << step;
  EXPECT_NE(api::condition_of(world.set, "berth.dev/ClaimTemplates")["message"].as_string().find("when it is bound"),
            std::string::npos);
}

TEST(StatefulSetClaimTemplates, AClassThatCannotGrowStopsItBeforeTheFirst) {
  SetWorld world(2);
  world.ask(api::kClaimTemplateUpdates, "true");
  world.classes["slow"] = Value::object({{"allowVolumeExpansion", false}});
  world.spec().mut("volumeClaimTemplates").mut(std::size_t{0}).mut("spec").set("storageClassName", "slow");
  world.run_until_idle();
  world.spec()
      .mut("volumeClaimTemplates")
      .mut(std::size_t{0})
      .mut("spec")
      .mut("resources")
      .mut("requests")
      .set("storage", "2Gi");
  for (const std::string& step : world.sync()) EXPECT_EQ(step.find("patch"), std::string::npos) << step;
  EXPECT_EQ(api::condition_of(world.set, "berth.dev/ClaimTemplates")["reason"], "CannotExpand");
  EXPECT_NE(world.waits().find("\"slow\" does not allow"), std::string::npos) << world.waits();
}

TEST(StatefulSetClaimTemplates, AnOfflineGrowthRestartsTheMember) {
  SetWorld world(2);
  world.ask(api::kClaimTemplateUpdates, "true");
  world.run_until_idle();
  for (auto& [name, pod] : world.pods) pod.mut("metadata").set("creationTimestamp", "2026-01-01T00:00:00Z");
  world.claims["data-web-1"].set("status",
                                 json::parse(R"({"phase":"Bound","conditions":[{"type":"FileSystemResizePending",
      "status":"True","lastTransitionTime":"2026-01-02T00:00:00Z"}]})")
                                     .value());
  world.pods["web-1"].mut("metadata").set("creationTimestamp", "2026-01-02T00:00:00Z");
  EXPECT_EQ(world.sync(), Steps{"delete web-1"});
  world.finish_deletions();
  world.sync();
  EXPECT_EQ(world.sync(), Steps{}) << "one that has not mounted it yet will mount it grown";
  world.pods["web-1"].mut("metadata").set("creationTimestamp", "2026-01-02T01:00:00Z");
  world.ready("web-1");
  EXPECT_EQ(world.sync(), Steps{}) << "started again since";
}

TEST(StatefulSetClaimTemplates, ANewTemplateComesAsMembersRollAndARemovedOneKeepsItsClaim) {
  SetWorld world(2);
  world.ask(api::kClaimTemplateUpdates, "true");
  world.spec().set("persistentVolumeClaimRetentionPolicy",
                   Value::object({{"whenDeleted", "Delete"}, {"whenScaled", "Retain"}}));
  world.run_until_idle();
  world.spec().mut("volumeClaimTemplates").push(claim_template("logs", "1Gi"));
  world.spec().mut("volumeClaimTemplates").erase(std::size_t{0});
  world.run_until_idle();
  for (const char* pod : {"web-0", "web-1"}) {
    const Value& volumes = world.pods[pod]["spec"]["volumes"];
    EXPECT_EQ(volumes[0]["persistentVolumeClaim"]["claimName"], std::string("logs-") + pod);
    EXPECT_TRUE(world.claims.count(std::string("data-") + pod));
    EXPECT_TRUE(world.claims[std::string("data-") + pod]["metadata"]["ownerReferences"].empty())
        << "it must outlive the set";
  }
}

TEST(StatefulSetClaimTemplates, ARemovedOneKeepsAClaimThatWasToGoWithItsPod) {
  SetWorld world(2);
  world.ask(api::kClaimTemplateUpdates, "true");
  world.spec().set("persistentVolumeClaimRetentionPolicy",
                   Value::object({{"whenDeleted", "Retain"}, {"whenScaled", "Delete"}}));
  world.run_until_idle();
  world.spec().set("replicas", 1);
  world.sync();  // web-1 is going, and its claim with it
  ASSERT_FALSE(world.claims["data-web-1"]["metadata"]["ownerReferences"].empty());
  world.spec().set("volumeClaimTemplates", Value::array({claim_template("logs", "1Gi")}));
  world.sync();
  EXPECT_TRUE(world.claims["data-web-1"]["metadata"]["ownerReferences"].empty());
}

TEST(StatefulSetClaimTemplates, MembersBelowThePartitionKeepTheirs) {
  SetWorld world(2);
  world.ask(api::kClaimTemplateUpdates, "true");
  world.run_until_idle();
  world.spec().mut("updateStrategy").mut("rollingUpdate").set("partition", 1);
  world.spec().mut("volumeClaimTemplates").push(claim_template("logs", "1Gi"));
  world.image("i:2");
  world.run_until_idle();
  world.pods.erase("web-0");
  world.run_until_idle();
  EXPECT_FALSE(world.claims.count("logs-web-0"));
  EXPECT_TRUE(world.claims.count("logs-web-1"));
}

// --- Recreate

TEST(StatefulSetRecreate, AllGoBeforeTheFirstComes) {
  SetWorld world(3);
  world.ask(api::kUpdateStrategy, "Recreate");
  world.run_until_idle();
  world.image("i:2");
  EXPECT_EQ(world.sync().size(), 4u) << "the revision, and three deletions";
  world.pods.erase("web-0");
  EXPECT_EQ(world.sync(), Steps{}) << "web-1 and web-2 still run";
  EXPECT_EQ(world.wait_reason(), "Recreating");
  world.finish_deletions();
  world.run_until_idle();
  EXPECT_EQ(world.status()["updatedReplicas"], 3);
}

TEST(StatefulSetRecreate, OneThatIsMissingDoesNotKeepTheOthers) {
  SetWorld world(3);
  world.ask(api::kUpdateStrategy, "Recreate");
  world.run_until_idle();
  world.pods.erase("web-0");
  world.image("i:2");
  world.sync();
  EXPECT_TRUE(api::is_terminating(world.pods["web-1"]));
  EXPECT_TRUE(api::is_terminating(world.pods["web-2"]));
  EXPECT_FALSE(world.pods.count("web-0"));
}

TEST(StatefulSetRecreate, WithOnDeleteAMemberComesBackByItself) {
  SetWorld world(2);
  world.spec().set("updateStrategy", Value::object({{"type", "OnDelete"}}));
  world.ask(api::kUpdateStrategy, "Recreate");
  world.run_until_idle();
  world.image("i:2");
  world.sync();
  world.pods.erase("web-1");
  world.sync();
  EXPECT_TRUE(world.pods.count("web-1"));
}

// --- One budget for everything

Value budget(std::string_view name, int allowed) {
  return Value::object(
      {{"metadata", Value::object({{"name", name},
                                   {"namespace", "default"},
                                   {"annotations", Value::object({{api::kBudgetEverything, "true"}})}})},
       {"spec", Value::object({{"selector", Value::object({{"matchLabels", Value::object({{"app", "web"}})}})}})},
       {"status", Value::object({{"disruptionsAllowed", allowed}, {"currentHealthy", 2}, {"desiredHealthy", 2}})}});
}

TEST(StatefulSetBudget, RolloutsAndScaleDownsDrawOnIt) {
  SetWorld world(3, true);
  world.spec().mut("updateStrategy").mut("rollingUpdate").set("maxUnavailable", 3);
  world.run_until_idle();
  world.budgets = {budget("all", 0)};
  world.spec().set("replicas", 2);
  EXPECT_EQ(world.sync(), Steps{});
  EXPECT_EQ(world.wait_reason(), "Budget");
  world.budgets = {budget("all", 1)};
  EXPECT_EQ(world.sync(), Steps{"delete web-2"});
  world.finish_deletions();
  world.run_until_idle();
  world.image("i:2");
  world.budgets = {budget("all", 1), budget("wide", 5)};
  EXPECT_EQ(world.sync().size(), 2u) << "the revision, and one member though three may be missing";
}

TEST(StatefulSetBudget, AMemberThatIsNotReadyCostsNothing) {
  SetWorld world(2);
  world.run_until_idle();
  world.budgets = {budget("all", 0)};
  world.ready("web-1", false);
  world.image("i:2");
  world.sync();
  EXPECT_TRUE(api::is_terminating(world.pods["web-1"]));
}

// --- Revisions

TEST(StatefulSetRevision, ALaterReleasesDefaultsRollNothing) {
  SetWorld world(2);
  world.run_until_idle();
  // The same template, as written by a release that fills in more defaults.
  world.spec().mut("template").mut("spec").set("dnsPolicy", "ClusterFirst").set("schedulerName", "default-scheduler");
  EXPECT_TRUE(world.plan().empty());
  world.spec().mut("template").mut("spec").set("dnsPolicy", "Default");
  EXPECT_FALSE(world.plan().empty());
}

// --- Reused claims

TEST(StatefulSetClaims, ThoseOfAnEarlierSetAreAnnounced) {
  SetWorld world(1);
  world.run_until_idle();
  world.claims["data-web-0"].mut("metadata").set("creationTimestamp", "2026-01-02T03:01:05Z");
  world.pods.clear();
  world.revisions.clear();
  world.set.mut("metadata").set("uid", "second-uid");
  world.set.set("status", Value::object({{"replicas", 0}, {"availableReplicas", 0}}));
  const Plan plan = world.plan();
  ASSERT_EQ(plan.chains.size(), 1u);
  const Action& pod = plan.chains[0].back();
  ASSERT_EQ(pod.on_success.size(), 2u);
  EXPECT_EQ(pod.on_success[1].reason, "ReusedClaim");
  EXPECT_EQ(
      pod.on_success[1].message,
      "claim \"data-web-0\" is reused with the data on it: created 2026-01-02T03:01:05Z (3m ago), last used by pod web-0 of "
      "StatefulSet web (uid set-uid)");
  EXPECT_TRUE(pod.on_success[1].object.is_null()) << "about the pod that is made";
}

TEST(StatefulSetClaims, OwnersAreWrittenBeforeTheNoteMakesAnotherVersion) {
  SetWorld world(1);
  world.spec().set("persistentVolumeClaimRetentionPolicy",
                   Value::object({{"whenDeleted", "Delete"}, {"whenScaled", "Retain"}}));
  world.run_until_idle();
  world.claims["data-web-0"].mut("metadata").erase("ownerReferences");
  world.claims["data-web-0"].mut("metadata").mut("annotations").set("berth.dev/used-by", "StatefulSet web (uid first)");
  world.pods.clear();
  const Plan plan = world.plan();
  ASSERT_EQ(plan.chains.size(), 1u);
  ASSERT_EQ(plan.chains[0].size(), 3u);
  EXPECT_FALSE(plan.chains[0][0].object["metadata"]["ownerReferences"].empty());
  EXPECT_FALSE(plan.chains[0][1].object["metadata"]["annotations"].empty());
  EXPECT_EQ(plan.chains[0][2].on_success.back().reason, "ReusedClaim");
}

// --- What is waited for

TEST(StatefulSetWait, NamesTheMemberTheReasonAndTheTime) {
  SetWorld world(3);
  world.sync();
  world.pods["web-0"].set("status",
                          json::parse(R"({"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False",
      "reason":"Unschedulable","message":"0/1 nodes are available: 1 Insufficient cpu.","lastTransitionTime":"2026-01-02T03:00:00Z"}]})")
                              .value());
  world.sync();
  EXPECT_EQ(world.waits(),
            "waiting for web-0 (revision " + world.revision_of("web-0") +
                ") to become ready since 2026-01-02T03:00:00Z: no node can take it: 0/1 nodes are available: 1 "
                "Insufficient cpu.; see kubectl describe pod web-0");
  EXPECT_EQ(api::condition_of(world.set, "Progressing")["status"], "False");
}

TEST(StatefulSetWait, ASlowStartIsExplainedAfterAWhileOnly) {
  SetWorld world(1);
  world.sync();
  world.pods["web-0"].set("status", json::parse(R"({"phase":"Running","conditions":[{"type":"Ready","status":"False",
      "lastTransitionTime":"2026-01-02T03:04:00Z"}]})")
                                        .value());
  const std::string before = world.waits();
  Plan plan = world.plan();
  EXPECT_EQ(*plan.requeue_delay, 5s);
  world.sync();
  EXPECT_EQ(world.waits(), before) << "no write for a moment";
  world.now = kNow + 5s;
  world.sync();
  EXPECT_EQ(world.wait_reason(), "NotReady");
  EXPECT_FALSE(world.plan().requeue_delay.has_value()) << "and then silence";
}

TEST(StatefulSetWait, AMemberThatDoesNotEndIsNamedAfterItsTime) {
  SetWorld world(2);
  world.run_until_idle();
  world.pods["web-1"].mut("metadata").set("deletionTimestamp", format_time(kNow + 30s));
  world.sync();
  EXPECT_EQ(world.waits(),
            "waiting for web-1 (revision " + world.revision_of("web-1") + ") to end; it was deleted, and comes back");
  EXPECT_EQ(*world.plan().requeue_delay, 40s);
  world.now = kNow + 40s;
  world.sync();
  EXPECT_NE(world.waits().find("which was to end by " + format_time(kNow + 30s)), std::string::npos) << world.waits();
}

TEST(StatefulSetWait, AForeignPodOfTheNameIsNamed) {
  SetWorld world(1);
  world.pods["web-0"] =
      json::parse(R"({"metadata":{"name":"web-0","namespace":"default","uid":"other"},"status":{"phase":"Running"}})")
          .value();
  world.sync();
  EXPECT_EQ(world.wait_reason(), "NameTaken");
}

TEST(StatefulSetWait, WhatStaysOldIsCounted) {
  SetWorld world(3);
  world.run_until_idle();
  world.spec().mut("updateStrategy").mut("rollingUpdate").set("partition", 2);
  world.image("i:2");
  world.run_until_idle();
  EXPECT_EQ(world.wait_reason(), "Partition");
  world.spec().set("updateStrategy", Value::object({{"type", "OnDelete"}}));
  world.run_until_idle();
  EXPECT_EQ(world.wait_reason(), "OnDelete");
}

}  // namespace
}  // namespace berth::controllers::statefulset

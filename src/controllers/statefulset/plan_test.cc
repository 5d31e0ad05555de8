#include "controllers/statefulset/plan.h"

#include <gtest/gtest.h>

#include "base/time/time.h"
#include "controllers/shared/set_identity.h"
#include "controllers/testing/set_world.h"

namespace berth::controllers::statefulset {
namespace {

using namespace api::resources;  // NOLINT

using Steps = std::vector<std::string>;

TEST(StatefulSetPlan, NamesRevisionsAsUpstreamDoes) {
  // Data and names that a real Kubernetes cluster produced.
  const std::string rest =
      R"("creationTimestamp":null,"labels":{"app":"web"}},"spec":{"automountServiceAccountToken":false,"containers":[{"args":["netexec","--http-port=8080"],"image":"k8s.gcr.io/e2e-test-images/agnhost:2.21","imagePullPolicy":"Never","name":"c","readinessProbe":{"failureThreshold":3,"httpGet":{"path":"/healthz","port":8080,"scheme":"HTTP"},"periodSeconds":1,"successThreshold":1,"timeoutSeconds":1},"resources":{},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","volumeMounts":[{"mountPath":"/data","name":"data"}]}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always","schedulerName":"default-scheduler","securityContext":{},"terminationGracePeriodSeconds":1}}}})";
  const std::string head = R"({"spec":{"template":{"$patch":"replace","metadata":{)";
  const Value first = json::parse(head + rest).value();
  const Value second = json::parse(head + R"("annotations":{"x":"y"},)" + rest).value();
  EXPECT_EQ(revision_hash(first, 0), "666df4cf47");
  EXPECT_EQ(revision_hash(second, 0), "5cbd886d9d");
  EXPECT_NE(revision_hash(first, 1), "666df4cf47");
  // The null that older releases stored makes no new revision.
  Value cleaned = first;
  cleaned.mut("spec").mut("template").mut("metadata").erase("creationTimestamp");
  EXPECT_TRUE(same_data(first, cleaned));
  EXPECT_FALSE(same_data(first, second));
}

TEST(StatefulSetPlan, ParsesMembers) {
  EXPECT_EQ(parse_member_name("web-12").ordinal, 12);
  EXPECT_EQ(parse_member_name("web-12").parent, "web");
  EXPECT_EQ(parse_member_name("a-b-0").parent, "a-b");
  EXPECT_EQ(parse_member_name("web").ordinal, -1);
  EXPECT_EQ(parse_member_name("web-").ordinal, -1);
  EXPECT_EQ(parse_member_name("web-x1").ordinal, -1);
  EXPECT_EQ(parse_member_name("web-99999999999").ordinal, -1);
}

TEST(StatefulSetPlan, FirstSyncMakesRevisionClaimPodAndStatus) {
  SetWorld world(2);
  const Plan plan = world.plan();
  ASSERT_EQ(plan.first.size(), 1u);
  const std::string revision = plan.first[0].name.name;
  EXPECT_EQ(SetWorld::steps(plan), (Steps{"create " + revision, "create data-web-0", "create web-0"}));
  ASSERT_EQ(plan.chains.size(), 1u);
  const Action& claim = plan.chains[0][0];
  const Action& pod = plan.chains[0][1];
  EXPECT_EQ(claim.on_success[0].message, "create Claim data-web-0 Pod web-0 in StatefulSet web success");
  EXPECT_EQ(claim.on_failure[0].message, "create Claim data-web-0 for Pod web-0 in StatefulSet web failed error: ");
  EXPECT_EQ(pod.on_success[0].message, "create Pod web-0 in StatefulSet web successful");
  EXPECT_EQ(pod.on_success[0].reason, "SuccessfulCreate");
  EXPECT_EQ(pod.on_failure[0].message, "create Pod web-0 in StatefulSet web failed error: ");
  EXPECT_EQ(pod.on_failure[0].reason, "FailedCreate");

  EXPECT_EQ(claim.object["metadata"]["labels"], Value::object({{"app", "web"}, {"own", "label"}}));
  EXPECT_TRUE(claim.object["metadata"]["ownerReferences"].is_null());
  const Value& made = pod.object;
  EXPECT_EQ(made["spec"]["hostname"].as_string(), "web-0");
  EXPECT_EQ(made["spec"]["subdomain"].as_string(), "svc");
  EXPECT_EQ(made["metadata"]["generateName"].as_string(), "web-");
  EXPECT_EQ(made["metadata"]["annotations"]["note"].as_string(), "x");
  EXPECT_EQ(made["metadata"]["labels"], Value::object({{"app", "web"},
                                                       {"tier", "db"},
                                                       {"apps.kubernetes.io/pod-index", "0"},
                                                       {"controller-revision-hash", revision},
                                                       {"statefulset.kubernetes.io/pod-name", "web-0"}}));
  EXPECT_EQ(json::encode(made["spec"]["volumes"]),
            R"([{"name":"data","persistentVolumeClaim":{"claimName":"data-web-0"}},{"emptyDir":{},"name":"tmp"}])");
  EXPECT_TRUE(api::is_controlled_by(made, "set-uid"));
  ASSERT_EQ(plan.then.size(), 1u);
  Value written = plan.then[0].object["status"];
  EXPECT_EQ(api::condition_of(plan.then[0].object, "Progressing")["message"],
            "waiting for web-0 (revision " + revision + ") to become ready");
  written.erase("conditions");
  EXPECT_EQ(written, Value::object({{"observedGeneration", 1},
                                    {"replicas", 1},
                                    {"availableReplicas", 0},
                                    {"currentReplicas", 1},
                                    {"updatedReplicas", 1},
                                    {"currentRevision", revision},
                                    {"updateRevision", revision},
                                    {"collisionCount", 0}}));
  ASSERT_EQ(plan.otherwise.size(), 1u);  // the counts that hold if the pod could not be created
  EXPECT_EQ(plan.otherwise[0].object["status"]["replicas"].as_int(), 0);
}

TEST(StatefulSetPlan, OrderedWaitsForEachPredecessor) {
  SetWorld world(3);
  world.sync();
  EXPECT_EQ(world.sync(), Steps{});  // web-0 is pending
  world.ready("web-0", false);
  EXPECT_EQ(world.sync(), Steps{});
  world.ready("web-0");
  EXPECT_EQ(world.sync(), (Steps{"create data-web-1", "create web-1"}));
  world.ready("web-1");
  world.ready("web-0", false);  // a predecessor fell back: wait for it
  EXPECT_EQ(world.sync(), Steps{});
  world.ready("web-0");
  EXPECT_EQ(world.sync(), (Steps{"create data-web-2", "create web-2"}));
  world.ready("web-2");
  world.sync();
  EXPECT_EQ(world.status()["readyReplicas"].as_int(), 3);
  EXPECT_EQ(world.status()["availableReplicas"].as_int(), 3);
  EXPECT_TRUE(world.plan().empty());
  EXPECT_FALSE(world.plan().requeue_delay);
}

TEST(StatefulSetPlan, ParallelMakesAllAtOnce) {
  SetWorld world(3, true);
  EXPECT_EQ(world.sync().size(), 1u + 6u);
  EXPECT_EQ(world.status()["replicas"].as_int(), 3);
  world.run_until_idle();
  world.spec().set("replicas", 1);
  EXPECT_EQ(world.sync(), (Steps{"delete web-2", "delete web-1"}));
  EXPECT_EQ(world.sync(), Steps{});
}

TEST(StatefulSetPlan, OrderedScalesDownFromTheEndOneAtATime) {
  SetWorld world(4);
  world.run_until_idle();
  world.spec().set("replicas", 1);
  EXPECT_EQ(world.sync(), Steps{"delete web-3"});
  EXPECT_EQ(world.status()["currentReplicas"].as_int(), 3);
  EXPECT_EQ(world.sync(), Steps{});  // still terminating
  world.finish_deletions();
  EXPECT_EQ(world.sync(), Steps{"delete web-2"});
  world.finish_deletions();
  world.ready("web-0", false);  // not healthy: wait
  EXPECT_EQ(world.sync(), Steps{});
  world.ready("web-0");
  EXPECT_EQ(world.sync(), Steps{"delete web-1"});
  world.finish_deletions();
  world.run_until_idle();
  EXPECT_EQ(world.pods.size(), 1u);
  EXPECT_EQ(world.claims.size(), 4u);  // retained
}

TEST(StatefulSetPlan, AnUnhealthyCondemnedPodIsRemovedOnlyWhenItIsTheFirst) {
  SetWorld world(4);
  world.run_until_idle();
  world.spec().set("replicas", 2);
  world.ready("web-2", false);
  world.ready("web-3", false);
  EXPECT_EQ(world.sync(), Steps{});  // web-3 waits for web-2, the first that is unhealthy
  world.ready("web-2");
  EXPECT_EQ(world.sync(), Steps{"delete web-3"});
}

TEST(StatefulSetPlan, SeveralEndedCondemnedPodsDoNotBlockEachOther) {
  SetWorld world(4);
  world.run_until_idle();
  world.spec().set("replicas", 1);
  for (const char* name : {"web-1", "web-2", "web-3"}) world.phase(name, "Failed");
  EXPECT_EQ(world.sync(), Steps{"delete web-3"});
  world.finish_deletions();
  EXPECT_EQ(world.sync(), Steps{"delete web-2"});
}

TEST(StatefulSetPlan, EndedAndDeletedPodsComeBack) {
  SetWorld world(2);
  world.run_until_idle();
  for (const char* end : {"Failed", "Succeeded"}) {
    world.phase("web-0", end);
    EXPECT_EQ(world.sync(), Steps{"delete web-0"});
    EXPECT_EQ(world.sync(), Steps{});
    world.finish_deletions();
    EXPECT_EQ(world.sync(), Steps{"create web-0"});
    world.run_until_idle();
  }
  world.pods.erase("web-1");
  EXPECT_EQ(world.sync(), Steps{"create web-1"});
  EXPECT_EQ(world.claims.size(), 2u);
}

TEST(StatefulSetPlan, RollsFromTheEndAndCompletes) {
  SetWorld world(3);
  world.run_until_idle();
  const std::string old = world.status()["currentRevision"].str();
  world.image("i:2");
  const auto steps = world.sync();
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[1], "delete web-2");
  const std::string fresh = world.status()["updateRevision"].str();
  EXPECT_NE(fresh, old);
  EXPECT_EQ(world.status()["currentReplicas"].as_int(), 2);
  EXPECT_FALSE(world.status().contains("updatedReplicas"));
  EXPECT_EQ(world.sync(), Steps{});
  world.finish_deletions();
  EXPECT_EQ(world.sync(), Steps{"create web-2"});
  EXPECT_EQ(world.revision_of("web-2"), fresh);
  EXPECT_EQ(world.sync(), Steps{});  // not ready yet
  world.ready("web-2");
  EXPECT_EQ(world.sync(), Steps{"delete web-1"});
  world.run_until_idle();
  EXPECT_EQ(world.status()["currentRevision"].as_string(), fresh);
  EXPECT_EQ(world.status()["currentReplicas"].as_int(), 3);
  EXPECT_EQ(world.revisions.size(), 2u);
  EXPECT_EQ(world.revisions.at(fresh)["revision"].as_int(), 2);

  // Rolled back: the first revision is used again, with a new number.
  world.image("i:1");
  EXPECT_EQ(world.sync()[0], "update " + old);
  world.run_until_idle();
  EXPECT_EQ(world.status()["currentRevision"].as_string(), old);
  EXPECT_EQ(world.revisions.at(old)["revision"].as_int(), 3);
}

TEST(StatefulSetPlan, PartitionKeepsTheFirstOnes) {
  SetWorld world(4);
  world.run_until_idle();
  const std::string old = world.status()["currentRevision"].str();
  world.spec().mut("updateStrategy").mut("rollingUpdate").set("partition", 2);
  world.image("i:2");
  world.run_until_idle();
  EXPECT_EQ(world.revision_of("web-1"), old);
  EXPECT_NE(world.revision_of("web-2"), old);
  EXPECT_EQ(world.status()["updatedReplicas"].as_int(), 2);
  EXPECT_EQ(world.status()["currentRevision"].as_string(), old);
  // A pod below the partition is created again with the old template.
  world.pods.erase("web-0");
  world.sync();
  EXPECT_EQ(world.revision_of("web-0"), old);
  EXPECT_EQ(world.pods.at("web-0")["spec"]["containers"][0]["image"].as_string(), "i:1");
}

TEST(StatefulSetPlan, MaxUnavailableRollsSeveral) {
  SetWorld world(5);
  world.run_until_idle();
  world.spec().mut("updateStrategy").mut("rollingUpdate").set("maxUnavailable", "40%");
  world.image("i:2");
  auto steps = world.sync();
  EXPECT_EQ(Steps(steps.begin() + 1, steps.end()), (Steps{"delete web-4", "delete web-3"}));
}

// Even if another client wrote the largest revision number, going back to an earlier revision completes.
TEST(StatefulSetPlan, TheLargestRevisionNumberStartsNoLoop) {
  SetWorld world(2, true);
  world.run_until_idle();
  const std::string first = world.status()["updateRevision"].str();
  world.image("i:2");
  world.run_until_idle();
  world.revisions[world.status()["updateRevision"].str()].set("revision", INT64_MAX);
  world.image("i:1");
  world.run_until_idle();
  EXPECT_EQ(world.status()["updateRevision"], first);
  world.image("i:3");
  world.run_until_idle();
  EXPECT_EQ(world.status()["updatedReplicas"], 2);
}

TEST(StatefulSetPlan, TheAnnotationRollsSeveralToo) {
  for (const char* strategy : {R"({"type":"RollingUpdate"})",
                               R"({"type":"RollingUpdate","rollingUpdate":{"partition":0,"maxUnavailable":1}})"}) {
    for (const auto& [asked, first] :
         std::map<std::string, std::string>{{"2", "delete web-3"}, {"40%", "delete web-3"}, {"1", ""}, {"39%", ""}}) {
      SetWorld world(5);
      world.spec().set("updateStrategy", json::parse(strategy).value());
      world.run_until_idle();
      world.ask(api::kMaxUnavailable, asked);
      world.image("i:2");
      auto steps = world.sync();
      Steps wanted{"delete web-4"};
      if (!first.empty()) wanted.push_back(first);
      EXPECT_EQ(Steps(steps.begin() + 1, steps.end()), wanted) << asked << strategy;
    }
  }
}

TEST(StatefulSetPlan, ParallelReplacesBrokenOldMembersFirst) {
  SetWorld world(4, true);
  world.run_until_idle();
  world.ready("web-0", false);
  world.image("i:2");
  auto steps = world.sync();
  EXPECT_EQ(Steps(steps.begin() + 1, steps.end()),
            Steps{"delete web-0"});  // it costs nothing; the budget of 1 is used up
}

TEST(StatefulSetPlan, OnDeleteLeavesPodsAlone) {
  SetWorld world(2);
  world.run_until_idle();
  world.spec().set("updateStrategy", Value::object({{"type", "OnDelete"}}));
  const std::string old = world.status()["currentRevision"].str();
  world.image("i:2");
  EXPECT_EQ(world.sync().size(), 1u);  // the revision only
  world.pods.erase("web-1");
  world.run_until_idle();
  EXPECT_EQ(world.revision_of("web-0"), old);
  EXPECT_NE(world.revision_of("web-1"), old);
  EXPECT_EQ(world.status()["currentRevision"].as_string(), old);
}

TEST(StatefulSetPlan, MinReadySecondsDelaysAvailability) {
  SetWorld world(2);
  world.spec().set("minReadySeconds", 10);
  world.sync();
  world.ready("web-0", true, "2026-01-02T03:04:01Z");  // 4 s ago
  const Plan plan = world.plan();
  EXPECT_TRUE(plan.chains.empty());
  ASSERT_TRUE(plan.requeue_delay);
  EXPECT_EQ(*plan.requeue_delay, 6s);
  EXPECT_EQ(plan.then[0].object["status"]["readyReplicas"].as_int(), 1);
  EXPECT_EQ(plan.then[0].object["status"]["availableReplicas"].as_int(), 0);
  EXPECT_EQ(SetWorld::steps(world.plan(kNow + 6s)), (Steps{"create data-web-1", "create web-1"}));
}

TEST(StatefulSetPlan, OrdinalsMayStartElsewhere) {
  SetWorld world(2, true);
  world.spec().set("ordinals", Value::object({{"start", 5}}));
  world.run_until_idle();
  EXPECT_TRUE(world.pods.count("web-5") && world.pods.count("web-6"));
  world.spec().set("ordinals", Value::object({{"start", 6}}));
  EXPECT_EQ(world.sync(), (Steps{"create data-web-7", "create web-7", "delete web-5"}));
}

TEST(StatefulSetPlan, ClaimsThatAreBeingDeletedAreWaitedFor) {
  SetWorld world(1);
  world.claims["data-web-0"] = Value::object(
      {{"metadata",
        Value::object({{"name", "data-web-0"}, {"uid", "c"}, {"deletionTimestamp", "2026-01-01T00:00:00Z"}})}});
  Plan plan = world.plan();
  EXPECT_TRUE(plan.chains.empty());
  ASSERT_EQ(plan.events.size(), 1u);
  EXPECT_EQ(plan.events[0].message,
            "create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted");
  world.claims.clear();
  EXPECT_EQ(SetWorld::steps(world.plan()).back(), "create web-0");
}

TEST(StatefulSetPlan, APendingPodGetsItsMissingClaimBack) {
  SetWorld world(1);
  world.sync();
  world.claims.clear();
  EXPECT_EQ(world.sync(), Steps{"create data-web-0"});
  world.ready("web-0");
  world.claims.clear();
  EXPECT_EQ(world.sync(), Steps{});
}

TEST(StatefulSetPlan, RetentionPolicyIsKeptInOwnerReferences) {
  SetWorld world(3, true);
  auto owners = [&](const std::string& claim) {
    std::string out;
    for (const Value& one : world.claims.at(claim)["metadata"]["ownerReferences"]) out += one["kind"].str() + " ";
    return out;
  };
  auto policy = [&](const char* deleted, const char* scaled) {
    world.spec().set("persistentVolumeClaimRetentionPolicy",
                     Value::object({{"whenDeleted", deleted}, {"whenScaled", scaled}}));
  };
  world.run_until_idle();
  EXPECT_EQ(owners("data-web-0"), "");
  policy("Delete", "Retain");
  world.run_until_idle();
  EXPECT_EQ(owners("data-web-2"), "StatefulSet ");
  policy("Delete", "Delete");
  world.spec().set("replicas", 2);
  // The claim's owners are patched before its pod is deleted.
  EXPECT_EQ(world.sync(), (Steps{"confirm web", "confirm web-2", "patch data-web-2", "delete web-2"}));
  EXPECT_EQ(owners("data-web-2"), "Pod ");
  EXPECT_EQ(owners("data-web-1"), "StatefulSet ");
  world.finish_deletions();
  // Scaled up again before the garbage collector has run: the old claim is not used, and no pod is created until it is
  // gone.
  world.spec().set("replicas", 3);
  EXPECT_EQ(world.sync(), Steps{});
  world.claims.erase("data-web-2");
  EXPECT_EQ(world.sync(), (Steps{"create data-web-2", "create web-2"}));
  EXPECT_EQ(owners("data-web-2"), "StatefulSet ");
  policy("Retain", "Retain");
  world.run_until_idle();
  EXPECT_EQ(owners("data-web-2"), "");
  // A claim with another owner is left alone.
  policy("Delete", "Delete");
  world.claims["data-web-0"]
      .mut("metadata")
      .set("ownerReferences",
           Value::array({Value::object(
               {{"apiVersion", "v1"}, {"kind", "Other"}, {"name", "x"}, {"uid", "y"}, {"controller", true}})}));
  world.run_until_idle();
  EXPECT_EQ(owners("data-web-0"), "Other ");
}

TEST(StatefulSetPlan, ClaimsWithoutPodsAreRetainedTooWhenThePolicyChanges) {
  SetWorld world(2, true);
  auto policy = [&](const char* deleted) {
    world.spec().set("persistentVolumeClaimRetentionPolicy",
                     Value::object({{"whenDeleted", deleted}, {"whenScaled", "Retain"}}));
  };
  policy("Delete");
  world.run_until_idle();
  world.spec().set("replicas", 1);
  world.run_until_idle();
  EXPECT_TRUE(api::is_controlled_by(world.claims.at("data-web-1"), "set-uid"));
  policy("Retain");
  EXPECT_EQ(world.sync(), (Steps{"patch data-web-0", "patch data-web-1"}));
  EXPECT_TRUE(world.claims.at("data-web-1")["metadata"]["ownerReferences"].empty());
  EXPECT_EQ(world.sync(), Steps{});
}

TEST(StatefulSetPlan, AdoptsAndReleasesBySelector) {
  SetWorld world(2);
  world.run_until_idle();
  Value orphan = world.pods["web-1"];
  orphan.mut("metadata").erase("ownerReferences");
  world.pods["web-1"] = orphan;
  world.orphans = {orphan};
  EXPECT_EQ(SetWorld::steps(world.plan()), (Steps{"confirm web", "patch web-1"}));
  // The name is used by a pod that does not match the selector: the plan waits for it and deletes nothing.
  world.orphans[0].mut("metadata").set("labels", Value::object({{"app", "other"}}));
  Plan plan = world.plan();
  EXPECT_EQ(SetWorld::steps(plan), Steps{});
  ASSERT_EQ(plan.events.size(), 1u);
  EXPECT_EQ(plan.events[0].message, "create Pod web-1 in StatefulSet web failed error: pods \"web-1\" already exists");
  // A pod whose labels no longer match is released.
  world.orphans.clear();
  world.pods["web-0"].mut("metadata").mut("labels").set("app", "other");
  plan = world.plan();
  ASSERT_EQ(SetWorld::steps(plan), Steps{"patch web-0"});
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["ownerReferences"][0]["$patch"].as_string(), "delete");
}

TEST(StatefulSetPlan, ATerminatingSetOnlyReports) {
  SetWorld world(2);
  world.run_until_idle();
  world.set.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z").set("generation", 2);
  world.pods.erase("web-1");
  world.orphans = {world.pods["web-0"]};
  const Plan plan = world.plan();
  EXPECT_EQ(SetWorld::steps(plan), Steps{});
  EXPECT_EQ(plan.then[0].object["status"]["replicas"].as_int(), 1);
}

TEST(StatefulSetPlan, HistoryIsBounded) {
  SetWorld world(1);
  world.spec().set("revisionHistoryLimit", 2);
  for (int i = 1; i <= 6; ++i) {
    world.image("i:" + std::to_string(i));
    world.run_until_idle();
  }
  EXPECT_EQ(world.revisions.size(), 3u);  // the one in use and two before
  EXPECT_TRUE(world.revisions.count(world.status()["currentRevision"].str()));
}

TEST(StatefulSetPlan, ANameCollisionIsCounted) {
  SetWorld world(1);
  const std::string name = world.plan().first[0].name.name;
  SetWorld other(1);
  Value foreign = Value::object(
      {{"metadata", Value::object({{"name", name}})}, {"data", Value::object({{"x", 1}})}, {"revision", 1}});
  StatefulSetView view = other.view();
  view.revision = [&](const std::string& wanted) -> const Value& {
    static const Value none;
    return wanted == name ? foreign : none;
  };
  const Plan plan = plan_set(view, kNow);
  EXPECT_NE(plan.first[0].name.name, name);
  EXPECT_EQ(plan.then[0].object["status"]["collisionCount"].as_int(), 1);
}

TEST(StatefulSetPlan, RepairsIdentityLabels) {
  SetWorld world(1);
  world.run_until_idle();
  world.pods["web-0"].mut("metadata").mut("labels").erase("statefulset.kubernetes.io/pod-name");
  EXPECT_EQ(world.sync(), Steps{"patch web-0"});
}

TEST(StatefulSetPlan, OlderObjectsCauseNoWrite) {
  // A set, its revision and pods as Kubernetes 1.20 left them (a null in the revision, no pod-index label would be
  // repaired, so it is there): one sync, zero writes.
  SetWorld world(2);
  world.run_until_idle();
  for (auto& [name, revision] : world.revisions) {
    revision.mut("data").mut("spec").mut("template").mut("metadata").set("creationTimestamp", Value());
  }
  EXPECT_TRUE(world.plan().empty());
}

TEST(StatefulSetPlan, WorkGrowsWithTheReplicasOnly) {
  SetWorld world(3000, true);
  world.run_until_idle();
  EXPECT_EQ(world.pods.size(), 3000u);
  StatefulSetView view = world.view();
  std::size_t looked_up = 0;
  view.claim = [&looked_up, inner = view.claim](const std::string& name) -> const Value& {
    ++looked_up;
    return inner(name);
  };
  EXPECT_TRUE(plan_set(view, kNow).empty());
  EXPECT_LE(looked_up, 2 * 3000u);
}

TEST(StatefulSetPlan, NoSetNoPlan) { EXPECT_TRUE(plan_set(StatefulSetView(), kNow).empty()); }

}  // namespace
}  // namespace berth::controllers::statefulset

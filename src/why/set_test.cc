// StatefulSets and other owners: what they wait for; and the format of reports.
#include "base/text.h"
#include "why/render.h"
#include "why/test_world.h"

namespace berth::why {
namespace {

using namespace api::resources;  // NOLINT

const api::Resource kJobs{"batch", "v1", "jobs"};

// A healthy set of three replicas.
struct SetWorld {
  World world;
  SetWorld() {
    world.put(kStatefulSets,
              from(R"({"kind":"StatefulSet","metadata":{"name":"web","namespace":"default","uid":"set","generation":1},
      "spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}},"podManagementPolicy":"OrderedReady",
              "updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"partition":0}},"template":{}},
      "status":{"observedGeneration":1,"currentRevision":"web-a","updateRevision":"web-a"}})"));
    for (const char* name : {"web-0", "web-1", "web-2"}) member(name);
  }
  Value& set() { return world.at(kStatefulSets, "web"); }
  Value& spec() { return set().mut("spec"); }
  Value& member(const std::string& name, const char* revision = "web-a") {
    Value& pod = world.ready_pod(name);
    pod.mut("metadata")
        .set("ownerReferences", from(R"([{"controller":true,"kind":"StatefulSet","name":"web","uid":"set"}])"));
    pod.mut("metadata").mut("labels").set("controller-revision-hash", revision);
    return pod;
  }
  void crash(const std::string& name) {
    world.unready(name);
    Value& status = world.pod(name).mut("status").mut("containerStatuses").mut(std::size_t{0});
    status.set("ready", false).set("restartCount", 3);
    status.set(
        "state",
        from(R"({"waiting":{"reason":"CrashLoopBackOff","message":"back-off 40s restarting failed container=db"}})"));
    status.set(
        "lastState",
        from(
            R"({"terminated":{"exitCode":1,"startedAt":"2026-01-02T03:03:52Z","finishedAt":"2026-01-02T03:03:55Z"}})"));
  }
  // The template is of revision b now; all pods are of an older one.
  void new_revision() { set().mut("status").set("updateRevision", "web-b"); }
  WhyReport report() { return world.explain(kStatefulSets, "web"); }
};

TEST(WhySet, AHealthySetShowsItsMembers) {
  SetWorld s;
  WhyReport report = s.report();
  EXPECT_FALSE(report.waiting());
  ASSERT_EQ(report.lines.size(), 4u);
  EXPECT_EQ(report.lines[0].state, "3 of 3 ready");
  EXPECT_EQ(report.lines[3].object, "pod/web-2");
  EXPECT_EQ(report.lines[3].state, "Ready on n1");
  for (const Line& line : report.lines) EXPECT_EQ(line.severity, Severity::kGood) << line.object;
  EXPECT_EQ(report.summary(kNow), "statefulset/web waits for nothing");
  s.spec().set("replicas", 8);
  for (int i = 3; i < 8; ++i) s.member("web-" + std::to_string(i));
  report = s.report();
  ASSERT_EQ(report.lines.size(), 7u);
  EXPECT_EQ(report.lines[6].object, "3 more pods");
}

TEST(WhySet, AMemberThatKeepsEndingIsNotedBetweenItsEnds) {
  SetWorld s;
  Value& status = s.world.pod("web-1").mut("status").mut("containerStatuses").mut(std::size_t{0});
  status.set("restartCount", 4)
      .set("lastState", from(R"({"terminated":{"exitCode":1,"finishedAt":"2026-01-02T03:04:00Z"}})"));
  Line line = line_of(s.report(), "pod/web-1");
  EXPECT_EQ(line.severity, Severity::kNote);
  EXPECT_EQ(line.why, "container db ended 5s ago and was started again, 4 times in all");
  EXPECT_EQ(line.hint, "kubectl logs web-1 -c db --previous");
  status.mut("lastState").mut("terminated").set("finishedAt", "2026-01-02T02:04:00Z");
  EXPECT_EQ(line_of(s.report(), "pod/web-1").severity, Severity::kGood);
}

TEST(WhySet, OrderedWaitsForTheLowestMemberAndThoseBehindComeLater) {
  SetWorld s;
  s.spec().set("replicas", 5);
  s.crash("web-1");
  s.world.erase(kPods, "web-2");
  const WhyReport report = s.report();
  EXPECT_EQ(report.lines[0].state, "1 of 5 ready");
  EXPECT_EQ(report.cause()->object, "container db");
  EXPECT_EQ(
      report.summary(kNow),
      "statefulset/web waits for pod/web-1, container db (for 10s): 10s ago it ended with exit code 1, having run for 3s; 3 restarts so far, "
      "the next in 30s");
  const Line rest = line_of(report, "web-2, web-3 and web-4");
  EXPECT_EQ(rest.state, "not made yet");
  EXPECT_EQ(rest.why, "the set goes in order: web-1 has to be ready first");
  EXPECT_FALSE(has_line(report, "pod/web-2"));
}

TEST(WhySet, OrderedSetsWaitForOneMemberParallelOnesForSeveral) {
  SetWorld s;
  s.crash("web-0");
  s.crash("web-2");
  WhyReport report = s.report();
  EXPECT_TRUE(has_line(report, "pod/web-0"));
  EXPECT_FALSE(has_line(report, "pod/web-2"));
  s.spec().set("podManagementPolicy", "Parallel");
  report = s.report();
  EXPECT_TRUE(has_line(report, "pod/web-0"));
  EXPECT_TRUE(has_line(report, "pod/web-2"));
}

TEST(WhySet, OrdinalsStartWhereTheSetSays) {
  SetWorld s;
  s.spec().set("ordinals", from(R"({"start":5})")).set("replicas", 1);
  s.world.erase(kPods, "web-0");
  s.world.erase(kPods, "web-1");
  s.world.erase(kPods, "web-2");
  const WhyReport report = s.report();
  EXPECT_EQ(report.cause()->object, "pod/web-5");
  EXPECT_EQ(report.cause()->why, "its set is about to make it");
}

TEST(WhySet, AMissingMemberHasTheWordsOfTheSetsEvents) {
  SetWorld s;
  s.world.erase(kPods, "web-2");
  s.world.event(s.set(), "Warning", "FailedCreate", "create Pod web-20 in StatefulSet web failed error: another", "",
                "2026-01-02T03:04:04Z");
  s.world.event(s.set(), "Warning", "FailedCreate", "create Pod web-2 in StatefulSet web failed error: exceeded quota");
  const WhyReport report = s.report();
  EXPECT_EQ(report.cause()->object, "pod/web-2");
  EXPECT_EQ(report.cause()->severity, Severity::kBroken);
  EXPECT_EQ(report.cause()->why, "create Pod web-2 in StatefulSet web failed error: exceeded quota");
  EXPECT_EQ(format_time(*report.cause()->since), "2026-01-02T03:04:00Z");
}

TEST(WhySet, AMissingMemberShowsItsClaims) {
  SetWorld s;
  s.world.with_claim("web-2");
  s.world.erase(kPods, "web-2");
  Value claim = s.world.claim("data");
  claim.mut("metadata").set("name", "data-web-2").set("deletionTimestamp", "2026-01-02T03:03:05Z");
  claim.mut("metadata").set("finalizers", from(R"(["example.com/backup"])"));
  s.world.put(kPersistentVolumeClaims, claim);
  s.spec().set("volumeClaimTemplates", from(R"([{"metadata":{"name":"data"}},{"metadata":{"name":"logs"}}])"));
  const WhyReport report = s.report();
  EXPECT_EQ(report.cause()->object, "pvc/data-web-2");
  EXPECT_EQ(report.cause()->why,
            "it is being deleted; it stays until whoever put the finalizer example.com/backup there removes it");
  EXPECT_FALSE(has_line(report, "pvc/logs-web-2")) << "made with the pod";
}

TEST(WhySet, MinReadySecondsAreCountedDown) {
  SetWorld s;
  s.spec().set("minReadySeconds", 60);
  Value& conditions = s.world.pod("web-1").mut("status").mut("conditions");
  conditions.mut(std::size_t{2}).set("lastTransitionTime", "2026-01-02T03:03:50Z");
  const WhyReport report = s.report();
  EXPECT_EQ(report.cause()->object, "pod/web-1");
  EXPECT_EQ(report.cause()->state, "Ready");
  EXPECT_EQ(report.cause()->why, "it has to stay ready for 60s (minReadySeconds); 45s are left");
}

TEST(WhySet, ARolloutGoesFromTheLastMemberDown) {
  SetWorld s;
  s.new_revision();
  WhyReport report = s.report();
  EXPECT_EQ(line_of(report, "revision web-b").state, "0 of 3 updated");
  EXPECT_EQ(line_of(report, "revision web-b").why, "web-0, web-1 and web-2 are to be replaced, from the last one down");
  EXPECT_EQ(line_of(report, "pod/web-2").state, "is to be replaced");
  EXPECT_FALSE(has_line(report, "pod/web-1"));
  // The new pod does not become ready: the rollout waits for it.
  s.member("web-2", "web-b");
  s.crash("web-2");
  report = s.report();
  EXPECT_EQ(line_of(report, "revision web-b").state, "1 of 3 updated");
  EXPECT_TRUE(has_line(report, "pod/web-2"));
  EXPECT_FALSE(has_line(report, "pod/web-1"));
}

TEST(WhySet, WhatThePartitionKeepsIsNotWaitedFor) {
  SetWorld s;
  s.new_revision();
  s.spec().mut("updateStrategy").mut("rollingUpdate").set("partition", 2);
  s.member("web-2", "web-b");
  const WhyReport report = s.report();
  EXPECT_FALSE(report.waiting());
  const Line line = line_of(report, "revision web-b");
  EXPECT_EQ(line.severity, Severity::kNote);
  EXPECT_EQ(line.state, "1 of 3 updated");
  EXPECT_EQ(line.why, "the partition 2 keeps web-0 and web-1 at an older revision");
  EXPECT_NE(line.hint.find("\"partition\":0"), std::string::npos);
}

TEST(WhySet, OnDeleteWaitsForTheUser) {
  SetWorld s;
  s.new_revision();
  s.spec().set("updateStrategy", from(R"({"type":"OnDelete"})"));
  const WhyReport report = s.report();
  EXPECT_FALSE(report.waiting());
  EXPECT_EQ(line_of(report, "revision web-b").hint, "kubectl delete pod web-2");
}

TEST(WhySet, AMemberOfAnOldRevisionThatNeverCameUpIsReplacedAsItIs) {
  SetWorld s;
  s.new_revision();
  s.crash("web-2");
  WhyReport report = s.report();
  EXPECT_EQ(report.cause()->object, "container db");
  EXPECT_EQ(line_of(report, "revision web-a").why, "its template is no longer asked for; the set replaces it as it is");
  EXPECT_EQ(line_of(report, "revision web-a").severity, Severity::kNote);
  s.member("web-2", "web-b");
  s.crash("web-2");
  EXPECT_FALSE(has_line(s.report(), "revision web-a"));
}

TEST(WhySet, ABudgetThatCountsEverythingHoldsARollout) {
  SetWorld s;
  s.new_revision();
  Value& budget = s.world.put(kPodDisruptionBudgets, from(R"({"metadata":{"name":"tight","namespace":"default"},
    "spec":{"selector":{"matchLabels":{"app":"web"}}},"status":{"disruptionsAllowed":0,"currentHealthy":3,"desiredHealthy":3}})"));
  EXPECT_EQ(s.report().cause()->object, "pod/web-2") << "an ordinary budget is for evictions";
  budget.mut("metadata").set("annotations", from(R"({"berth.dev/budget-everything":"true"})"));
  const WhyReport report = s.report();
  const Line line = line_of(report, "poddisruptionbudget/tight");
  EXPECT_EQ(line.severity, Severity::kWaiting);
  EXPECT_EQ(line.state, "allows 0 disruptions");
  EXPECT_EQ(line.why, "the set waits for it: 3 pods healthy, 3 wanted");
  EXPECT_EQ(report.cause()->object, "poddisruptionbudget/tight");
}

TEST(WhySet, ClaimTemplatesThatCannotBeFollowed) {
  SetWorld s;
  s.set().mut("status").set("conditions",
                            from(R"([{"type":"berth.dev/ClaimTemplates","status":"False","reason":"CannotExpand",
    "message":"class fixed does not allow expansion","lastTransitionTime":"2026-01-02T03:03:05Z"}])"));
  WhyReport report = s.report();
  EXPECT_EQ(report.cause()->object, "claim templates");
  EXPECT_EQ(report.cause()->severity, Severity::kBroken);
  EXPECT_EQ(report.cause()->why, "class fixed does not allow expansion");
  s.set().mut("status").mut("conditions").mut(std::size_t{0}).set("reason", "Updating");
  EXPECT_EQ(s.report().cause()->severity, Severity::kWaiting);
}

TEST(WhySet, OrdinalsThatAreSkipped) {
  SetWorld s;
  s.set().mut("metadata").set("annotations", from(R"({"berth.dev/skip-ordinals":"1"})"));
  s.world.erase(kPods, "web-1");
  EXPECT_EQ(s.report().cause()->object, "pod/web-3");
  s.member("web-3");
  EXPECT_FALSE(s.report().waiting());
  EXPECT_EQ(s.world.explain(kPods, "web-1").cause()->why,
            "statefulset/web leaves this ordinal out (berth.dev/skip-ordinals)");
  EXPECT_EQ(s.world.explain(kPods, "web-4").cause()->hint, "kubectl scale sts/web --replicas=4");
}

TEST(WhySet, MembersBeyondTheReplicasGoFromTheLastOneDown) {
  SetWorld s;
  s.spec().set("replicas", 1);
  WhyReport report = s.report();
  EXPECT_EQ(report.lines[0].state, "1 of 1 ready");
  EXPECT_EQ(report.cause()->object, "pod/web-2");
  EXPECT_EQ(report.cause()->why, "the set is to have 1 replica; this one is deleted next");
  s.world.pod("web-2")
      .mut("metadata")
      .set("deletionTimestamp", "2026-01-02T03:04:25Z")
      .set("deletionGracePeriodSeconds", 30);
  report = s.report();
  EXPECT_EQ(report.cause()->object, "deletion");
}

TEST(WhySet, ItsConditionProgressingSpeaksFirst) {
  SetWorld s;
  s.crash("web-1");
  s.set().mut("status").set("conditions",
                            from(R"([{"type":"Progressing","status":"False","reason":"ProgressDeadlineExceeded",
    "message":"web-1 has not been ready for 10m.","lastTransitionTime":"2026-01-02T02:54:05Z"}])"));
  const WhyReport report = s.report();
  EXPECT_EQ(report.lines[0].severity, Severity::kBroken);
  EXPECT_EQ(report.lines[0].why, "web-1 has not been ready for 10m");
  EXPECT_EQ(format_time(*report.lines[0].since), "2026-01-02T02:54:05Z");
  EXPECT_EQ(report.cause()->object, "container db");
}

TEST(WhySet, WhatOnlyItsConditionKnowsIsWaitedForToo) {
  struct {
    const char* status;
    const char* reason;
    Severity severity;
  } cases[] = {{"True", "Updating", Severity::kWaiting},
               {"False", "Refused", Severity::kBroken},
               {"True", "Complete", Severity::kGood},
               {"True", "Partition", Severity::kGood},
               {"True", "OnDelete", Severity::kGood}};
  for (const auto& one : cases) {
    SetWorld s;
    Value condition =
        Value::object({{"type", "Progressing"}, {"status", one.status}, {"reason", one.reason}, {"message", "words"}});
    s.set().mut("status").set("conditions", Value::array({condition}));
    const WhyReport report = s.report();
    EXPECT_EQ(report.lines[0].severity, one.severity) << one.reason;
    EXPECT_EQ(report.lines[0].why, "words");
  }
}

TEST(WhySet, AChangeThatNobodyHasTakenUp) {
  SetWorld s;
  s.set().mut("metadata").set("generation", 4);
  const WhyReport report = s.report();
  EXPECT_EQ(report.cause()->object, "statefulset/web");
  EXPECT_EQ(report.cause()->why, "the last change of the set (generation 4) has not been taken up by its controller");
}

TEST(WhySet, ASetOnItsWayOut) {
  SetWorld s;
  s.set()
      .mut("metadata")
      .set("deletionTimestamp", "2026-01-02T03:04:00Z")
      .set("finalizers", from(R"(["foregroundDeletion"])"));
  const WhyReport report = s.report();
  EXPECT_TRUE(report.waiting());
  EXPECT_EQ(report.lines[0].state, "3 of 3 ready, being deleted");
  EXPECT_NE(report.lines[0].why.find("foregroundDeletion"), std::string::npos);
  EXPECT_EQ(report.cause()->object, "pod/web-2") << "the last member goes first";
  EXPECT_EQ(report.cause()->why, "it goes with its set");
  EXPECT_FALSE(has_line(report, "pod/web-1"));
}

TEST(WhySet, AskedAboutAMemberThatIsNotThereItNamesTheOneBefore) {
  SetWorld s;
  s.crash("web-1");
  s.world.erase(kPods, "web-2");
  WhyReport report = s.world.explain(kPods, "web-2");
  EXPECT_EQ(report.lines[0].object, "pod/web-2");
  EXPECT_EQ(report.lines[0].why, "statefulset/web makes its members in order, and this one comes after web-1");
  EXPECT_EQ(report.cause()->object, "container db");
  report = s.world.explain(kPods, "web-7");
  EXPECT_EQ(report.cause()->why, "statefulset/web has no such member: it is to have 3 replicas");
  EXPECT_EQ(report.cause()->hint, "kubectl scale sts/web --replicas=8");
}

TEST(WhySet, PodsOfOthersWithTheSameLabelsAreNotItsOwn) {
  SetWorld s;
  s.world.ready_pod("web-9")
      .mut("metadata")
      .set("ownerReferences", from(R"([{"controller":true,"kind":"StatefulSet","name":"x","uid":"x"}])"));
  EXPECT_FALSE(s.report().waiting());
}

// --- Deployments, replica sets, jobs

struct DeploymentWorld {
  World world;
  DeploymentWorld() {
    world.put(kDeployments, from(R"({"metadata":{"name":"api","namespace":"default","uid":"d","generation":2},
      "spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}}},
      "status":{"observedGeneration":2,"replicas":3,"updatedReplicas":1,"availableReplicas":2,
        "conditions":[{"type":"Progressing","status":"True","reason":"ReplicaSetUpdated","message":"ReplicaSet \"api-b\" is progressing.",
                       "lastTransitionTime":"2026-01-02T03:03:05Z"}]}})"));
    replica_set("api-a", 1, 2);
    replica_set("api-b", 2, 1);
    pod("api-b-x", "api-b");
  }
  void replica_set(const std::string& name, int revision, int replicas) {
    Value set = from(R"({"metadata":{"namespace":"default","generation":1,"labels":{"app":"web"},
      "ownerReferences":[{"controller":true,"kind":"Deployment","name":"api","uid":"d"}]},
      "spec":{"selector":{"matchLabels":{"app":"web"}}},"status":{"observedGeneration":1}})");
    set.mut("metadata")
        .set("name", name)
        .set("uid", name)
        .mut("annotations")
        .set("deployment.kubernetes.io/revision", std::to_string(revision));
    set.mut("spec").set("replicas", replicas);
    set.mut("status").set("replicas", replicas);
    world.put(kReplicaSets, std::move(set));
  }
  void pod(const std::string& name, const std::string& owner) {
    Value reference = from(R"({"controller":true,"kind":"ReplicaSet"})");
    reference.set("name", owner).set("uid", owner);
    world.ready_pod(name).mut("metadata").set("ownerReferences", Value::array({reference}));
  }
  WhyReport report() { return world.explain(kDeployments, "api"); }
};

TEST(WhyDeployment, GoesByItsNewestSetToThePod) {
  DeploymentWorld d;
  d.world.unready("api-b-x");
  Value& status = d.world.pod("api-b-x").mut("status").mut("containerStatuses").mut(std::size_t{0});
  status.set("ready", false)
      .set("state", from(R"({"waiting":{"reason":"ErrImagePull","message":"manifest unknown"}})"));
  const WhyReport report = d.report();
  EXPECT_EQ(report.lines[0].state, "2 of 2 available");
  EXPECT_EQ(report.lines[0].why, "ReplicaSet \"api-b\" is progressing");
  EXPECT_EQ(report.lines[1].object, "replicaset/api-b");
  EXPECT_EQ(line_of(report, "replicaset/api-a").state, "2 pods");
  EXPECT_TRUE(report.summary(kNow).starts_with(
      "deployment/api waits for replicaset/api-b, pod/api-b-x, container db: its image db:1 is not here"))
      << report.summary(kNow);
}

TEST(WhyDeployment, AfterItsRolloutItsAvailabilitySpeaks) {
  DeploymentWorld d;
  d.world.at(kDeployments, "api").mut("status").set("conditions", from(R"([
    {"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable","message":"done"},
    {"type":"Available","status":"False","message":"Deployment does not have minimum availability."}])"));
  EXPECT_EQ(d.report().lines[0].why, "Deployment does not have minimum availability");
}

TEST(WhyDeployment, WhatIsCompleteIsWell) {
  DeploymentWorld d;
  d.world.at(kDeployments, "api").mut("spec").set("replicas", 1);
  d.world.at(kDeployments, "api").mut("status").set("replicas", 1).set("availableReplicas", 1);
  d.world.erase(kReplicaSets, "api-a");
  EXPECT_FALSE(d.report().waiting()) << render(d.report(), kNow, {});
  d.world.at(kDeployments, "api").mut("spec").set("paused", true);
  const WhyReport paused = d.report();
  EXPECT_FALSE(paused.waiting());
  EXPECT_EQ(paused.lines[0].hint, "kubectl rollout resume deployment/api");
}

TEST(WhyDeployment, FailuresOfItsControllerSpeak) {
  DeploymentWorld d;
  d.world.at(kDeployments, "api")
      .mut("status")
      .mut("conditions")
      .push(from(R"({"type":"ReplicaFailure","status":"True","message":"exceeded quota"})"));
  EXPECT_EQ(d.report().lines[0].why, "exceeded quota");
  EXPECT_EQ(d.report().lines[0].severity, Severity::kBroken);
}

TEST(WhyReplicaSet, PodsThatCannotBeMade) {
  DeploymentWorld d;
  d.world.at(kReplicaSets, "api-b").mut("spec").set("replicas", 3);
  d.world.event(d.world.at(kReplicaSets, "api-b"), "Warning", "FailedCreate", "Error creating: forbidden");
  const WhyReport report = d.world.explain(kReplicaSets, "api-b");
  EXPECT_EQ(report.lines[0].state, "1 of 3 ready");
  EXPECT_EQ(report.cause()->object, "2 pods");
  EXPECT_EQ(report.cause()->why, "Error creating: forbidden");
}

TEST(WhyDaemonSet, WaitsForItsPodsAndItsUpdate) {
  World world;
  Value& set =
      world.put(kDaemonSets, from(R"({"metadata":{"name":"logs","namespace":"default","uid":"ds","generation":1},
    "spec":{"selector":{"matchLabels":{"app":"web"}},"updateStrategy":{"type":"RollingUpdate"}},
    "status":{"observedGeneration":1,"desiredNumberScheduled":1,"currentNumberScheduled":1,"updatedNumberScheduled":1,"numberReady":1}})"));
  world.ready_pod("logs-x")
      .mut("metadata")
      .set("ownerReferences", from(R"([{"controller":true,"kind":"DaemonSet","name":"logs","uid":"ds"}])"));
  EXPECT_FALSE(world.explain(kDaemonSets, "logs").waiting());
  set.mut("status").set("updatedNumberScheduled", 0);
  EXPECT_EQ(world.explain(kDaemonSets, "logs").cause()->why, "0 of 1 updated");
  set.mut("spec").mut("updateStrategy").set("type", "OnDelete");
  EXPECT_FALSE(world.explain(kDaemonSets, "logs").waiting());
  set.mut("status").set("numberReady", 0);
  world.unready("logs-x", "somebody said so");
  EXPECT_EQ(world.explain(kDaemonSets, "logs").cause()->object, "pod/logs-x");
  world.erase(kPods, "logs-x");
  set.mut("status").set("currentNumberScheduled", 0);
  EXPECT_EQ(world.explain(kDaemonSets, "logs").cause()->object, "1 pod");
}

struct JobCase {
  const char* name;
  const char* job;  // merged into spec and status
  bool with_pod;
  bool waiting;
  const char* cause;
  const char* why;
};
void PrintTo(const JobCase& one, std::ostream* out) { *out << one.name; }
class JobSteps : public ::testing::TestWithParam<JobCase> {};

TEST_P(JobSteps, Say) {
  const JobCase& one = GetParam();
  World world;
  Value job = from(one.job);
  job.set("metadata", from(R"({"name":"j","namespace":"default","uid":"j","generation":1})"));
  job.mut("spec").set("selector", from(R"({"matchLabels":{"app":"web"}})"));
  job.set("kind", "Job");
  world.put(kJobs, job);
  if (one.with_pod)
    world.ready_pod("j-x")
        .mut("metadata")
        .set("ownerReferences", from(R"([{"controller":true,"kind":"Job","name":"j","uid":"j"}])"));
  const WhyReport report = world.explain(kJobs, "j");
  EXPECT_EQ(report.waiting(), one.waiting) << render(report, kNow, {});
  if (!one.waiting) return;
  EXPECT_EQ(report.cause()->object, one.cause);
  EXPECT_NE(report.cause()->why.find(one.why), std::string::npos) << report.cause()->why;
}

INSTANTIATE_TEST_SUITE_P(
    Why, JobSteps,
    ::testing::Values(
        JobCase{"complete",
                R"({"spec":{},"status":{"succeeded":1,"conditions":[{"type":"Complete","status":"True"}]}})", false,
                false, "", ""},
        JobCase{"failed", R"({"spec":{},"status":{"failed":7,"conditions":[{"type":"Failed","status":"True",
                              "reason":"BackoffLimitExceeded","message":"Job has reached the specified backoff limit"}]}})",
                false, true, "job/j", "backoff limit"},
        JobCase{"suspended", R"({"spec":{"suspend":true},"status":{}})", false, true, "job/j", "makes no pods"},
        JobCase{"working", R"({"spec":{},"status":{}})", true, true, "pod/j-x", "waits for it to end"},
        JobCase{"noPodYet", R"({"spec":{},"status":{"failed":1,"startTime":"2026-01-02T03:00:05Z"}})", false, true,
                "1 pod", "about to make it"},
        JobCase{"noController", R"({"spec":{},"status":{}})", false, true, "job/j", "has not taken it up yet"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(WhyJob, BetweenTwoTriesTheLastFailureSpeaks) {
  World world;
  world.put(kJobs, from(R"({"kind":"Job","metadata":{"name":"j","namespace":"default","uid":"j"},
    "spec":{"backoffLimit":3,"selector":{"matchLabels":{"app":"web"}}},"status":{"failed":2,"startTime":"2026-01-02T03:00:05Z"}})"));
  auto failed_pod = [&](const std::string& name, const char* finished) {
    Value& pod = world.ready_pod(name);
    pod.mut("metadata").set("ownerReferences", from(R"([{"controller":true,"kind":"Job","name":"j","uid":"j"}])"));
    Value end =
        Value::object({{"exitCode", 2}, {"reason", "Error"}, {"startedAt", finished}, {"finishedAt", finished}});
    pod.mut("status").set("phase", "Failed");
    pod.mut("status").mut("containerStatuses").mut(std::size_t{0}).set("state", Value::object({{"terminated", end}}));
  };
  failed_pod("j-a", "2026-01-02T03:03:00Z");
  failed_pod("j-b", "2026-01-02T03:04:00Z");
  WhyReport report = world.explain(kJobs, "j");
  EXPECT_EQ(line_of(report, "next pod").state, "in 15s") << "20s after the second failure";
  EXPECT_EQ(line_of(report, "next pod").why, "after 2 failures on end the job waits before it tries again");
  EXPECT_EQ(line_of(report, "tries").why, "after 3 failures the job gives up");
  EXPECT_FALSE(has_line(report, "pod/j-a"));
  EXPECT_TRUE(report.summary(kNow).starts_with(
      "job/j waits for pod/j-b, container db (for 5s): 5s ago it ended with exit code 2"))
      << report.summary(kNow);
  // A success in between resets the count.
  world.pod("j-a").mut("status").set("phase", "Succeeded");
  report = world.explain(kJobs, "j");
  EXPECT_EQ(line_of(report, "next pod").state, "in 5s");
}

// --- Claims that are asked about

TEST(WhyClaim, WaitsForItsFirstConsumer) {
  World world;
  world.ready_pod("a");
  world.with_claim("a");
  WhyReport report = world.explain(kPersistentVolumeClaims, "data");
  EXPECT_FALSE(report.waiting());
  EXPECT_EQ(line_of(report, "pod/a").why, "it uses the claim");
  EXPECT_EQ(line_of(report, "pv/pv-data").state, "1Gi, Bound");

  world.claim("data").mut("status").set("phase", "Pending");
  world.claim("data").mut("spec").erase("volumeName");
  world.erase(kPods, "a");
  report = world.explain(kPersistentVolumeClaims, "data");
  EXPECT_EQ(report.cause()->object, "pvc/data");
  EXPECT_EQ(line_of(report, "users").why, "no pod uses it");

  world.ready_pod("b").mut("spec").set("volumes",
                                       from(R"([{"name":"d","persistentVolumeClaim":{"claimName":"data"}}])"));
  world.unscheduled("b", "0/1 nodes are available: 1 Insufficient cpu. preemption: x");
  report = world.explain(kPersistentVolumeClaims, "data");
  EXPECT_TRUE(report.summary(kNow).starts_with("pvc/data waits for pod/b, scheduling (for 60s): it asks for"))
      << report.summary(kNow);
}

TEST(WhyClaim, ThatIsToGrowWaits) {
  World world;
  world.ready_pod("a");
  world.with_claim("a");
  world.claim("data").mut("status").set("conditions", from(R"([{"type":"FileSystemResizePending","status":"True",
    "message":"Waiting for user to (re-)start a pod to finish file system resize of volume on node."}])"));
  const WhyReport report = world.explain(kPersistentVolumeClaims, "data");
  ASSERT_TRUE(report.waiting());
  EXPECT_EQ(report.cause()->object, "pvc/data");
  EXPECT_TRUE(report.cause()->why.starts_with("Waiting for user to (re-)start a pod")) << report.cause()->why;
  EXPECT_NE(report.cause()->hint.find("Used By"), std::string::npos);
  EXPECT_FALSE(world.explain(kPods, "a").waiting()) << "the pod runs";
}

TEST(WhyClaim, ThatCannotBeBoundDoesNotBlameItsUsers) {
  World world;
  world.ready_pod("a");
  world.with_claim("a");
  world.claim("data").mut("status").set("phase", "Pending");
  world.claim("data").mut("spec").erase("volumeName");
  world.erase(kStorageClasses, "standard", "");
  world.unscheduled("a", "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. x");
  const WhyReport report = world.explain(kPersistentVolumeClaims, "data");
  EXPECT_EQ(report.summary(kNow), "pvc/data (for 2m): there is no storage class standard");
  EXPECT_EQ(line_of(report, "pod/a").why, "it waits for the claim");
}

TEST(WhyClaim, ATerminatingClaimWaitsForItsUsers) {
  World world;
  world.ready_pod("a");
  world.with_claim("a");
  world.claim("data").mut("metadata").set("deletionTimestamp", "2026-01-02T03:03:05Z");
  const WhyReport report = world.explain(kPersistentVolumeClaims, "data");
  EXPECT_EQ(report.cause()->object, "pod/a");
  EXPECT_EQ(report.cause()->hint, "kubectl delete pod a");
}

// --- Names, fetching, text

TEST(WhyNames, AreThoseOfKubectl) {
  for (const char* word :
       {"sts", "statefulset", "StatefulSets", "statefulset.apps", "statefulsets.apps", "statefulsets.v1.apps"}) {
    Result<api::Resource> resource = resource_named(word);
    ASSERT_TRUE(resource.ok()) << word;
    EXPECT_EQ(*resource, kStatefulSets) << word;
  }
  EXPECT_EQ(*resource_named("po"), kPods);
  EXPECT_EQ(*resource_named("jobs.batch"), kJobs);
  for (const char* word : {"service", "sts.batch", ""}) EXPECT_FALSE(resource_named(word).ok()) << word;
  EXPECT_EQ(resource_named("svc").error().message.find("a Service waits for nothing"), 0u);
  EXPECT_EQ(resource_named("cm").error().message,
            "\"cm\" cannot be asked about; what can is: sts, deploy, rs, ds, job, po, pvc");
}

// Returns only objects that it was given before, like the command's source.
class SlowSource final : public ObjectSource {
 public:
  explicit SlowSource(World& world) : world_(world) {}
  Value object(const api::Resource& resource, const api::Name& name) override {
    if (ask(resource.resource + " " + name.to_string())) return {};
    return world_.object(resource, name);
  }
  std::vector<Value> list(const api::Resource& resource, const api::ListOptions& options) override {
    if (ask("list " + resource.resource + options.label_selector + options.field_selector)) return {};
    return world_.list(resource, options);
  }
  bool complete() const override { return wanted_.empty(); }
  void fetch() {
    known_.insert(wanted_.begin(), wanted_.end());
    wanted_.clear();
  }
  const std::set<std::string>& known() const { return known_; }

 private:
  bool ask(const std::string& what) {
    if (known_.count(what)) return false;
    wanted_.insert(what);
    return true;
  }
  World& world_;
  std::set<std::string> known_, wanted_;
};

TEST(WhyFetching, EndsWithTheSameReportAndAsksOnlyForWhatItShows) {
  SetWorld s;
  s.world.with_claim("web-1");
  s.crash("web-1");
  SlowSource source(s.world);
  const Question question{kStatefulSets, {"default", "web"}, false};
  Result<WhyReport> report = explain(question, source, kNow);
  int rounds = 1;
  for (; !source.complete(); ++rounds) {
    ASSERT_LT(rounds, 10);
    source.fetch();
    report = explain(question, source, kNow);
  }
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(render(*report, kNow, {}), render(s.report(), kNow, {}));
  EXPECT_LE(rounds, 6);
  for (const std::string& key : source.known()) {
    EXPECT_EQ(key.find("web-0"), std::string::npos) << key;
    EXPECT_EQ(key.find("poddisruptionbudgets"), std::string::npos) << key;
  }
}

TEST(WhyRender, DrawsAnAlignedTree) {
  SetWorld s;
  s.crash("web-1");
  s.world.erase(kPods, "web-2");
  EXPECT_EQ(render(s.report(), kNow, {}), R"(✗ statefulset/web     1 of 3 ready
├─ ✗ pod/web-1        Running, not ready  3m
│  ├─ ✓ node/n1       Ready               60m
│  │       its agent was last heard of 5s ago
│  └─ ✗ container db  CrashLoopBackOff    10s
│          10s ago it ended with exit code 1, having run for 3s; 3 restarts so far, the next in 30s
│          → kubectl logs web-1 -c db --previous
└─ · web-2            not made yet
        the set goes in order: web-1 has to be ready first

statefulset/web waits for pod/web-1, container db (for 10s): 10s ago it ended with exit code 1, having run for
3s; 3 restarts so far, the next in 30s.
→ kubectl logs web-1 -c db --previous
)");
}

TEST(WhyRender, ColoursOnlyWhereAskedAndNeverThoseOfOthers) {
  WhyReport report;
  report.lines.push_back(Line{0, Severity::kBroken, "pod/a", "Failed", {}, "it said \033[31mred\033[0m\n", "do\tit"});
  const std::string plain = render(report, kNow, {});
  EXPECT_EQ(plain.find('\033'), std::string::npos);
  EXPECT_EQ(plain.find('\t'), std::string::npos);
  RenderStyle style;
  style.colours = true;
  EXPECT_NE(render(report, kNow, style).find("\033[31m✗\033[0m pod/a"), std::string::npos);
}

TEST(WhyRender, JsonNestsTheSteps) {
  SetWorld s;
  s.crash("web-1");
  const Value out = to_json(s.report(), kNow);
  EXPECT_TRUE(out["waiting"].as_bool());
  EXPECT_EQ(out["hint"].as_string(), "kubectl logs web-1 -c db --previous");
  const Value& pod = out["steps"][0]["steps"][0];
  EXPECT_EQ(pod["object"].as_string(), "pod/web-1");
  EXPECT_EQ(pod["mood"].as_string(), "broken");
  EXPECT_EQ(pod["steps"][1]["object"].as_string(), "container db");
  EXPECT_EQ(pod["steps"][1]["since"].as_string(), "2026-01-02T03:03:55Z");
}

TEST(WhyRender, HintsNameTheNamespaceWhereTheUserHasToSayIt) {
  SetWorld s;
  s.crash("web-1");
  const Question question{kStatefulSets, {"default", "web"}, true};
  Result<WhyReport> report = explain(question, s.world, kNow);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->cause()->hint, "kubectl -n default logs web-1 -c db --previous");
}

}  // namespace
}  // namespace berth::why

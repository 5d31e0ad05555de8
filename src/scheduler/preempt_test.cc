// Preemption: which pods may preempt, which are victims, and on which node.
#include "scheduler/preempt.h"

#include <gtest/gtest.h>

#include "scheduler/test_objects.h"

namespace berth::scheduler {
namespace {

using namespace testing;  // NOLINT

struct PreemptTest : ::testing::Test {
  void add_node(const std::string& name, const std::string& cpu = "4") { snapshot.set_node(make_node(name, cpu)); }
  // A pod that has run since that minute.
  Value running(const std::string& name, const std::string& node, int priority, const std::string& cpu, int minute = 0,
                const std::string& app = "") {
    Value pod = with_priority(make_pod(name, cpu), priority);
    if (!app.empty()) pod = labelled(pod, "app", app);
    const std::string start = "2026-01-01T00:" + std::string(minute < 10 ? "0" : "") + std::to_string(minute) + ":00Z";
    pod.mut("status").set("startTime", start);
    view.pods["default/" + name] = pod;
    snapshot.place(make_pod_info(pod), node);
    return pod;
  }
  SchedulingDecision run(const Value& pod) { return decide(*make_pod_info(pod), snapshot, view, next_node); }
  static std::string victims(const SchedulingDecision& decision) {
    std::string out = decision.nominated + ":";
    for (const PodPtr& one : decision.victims) out += " " + one->key.substr(8);
    return out;
  }
  void budget(const std::string& app, int allowed) {
    view.known_budgets.push_back(
        from(R"({"metadata":{"namespace":"default","name":"b"},"spec":{"selector":{"matchLabels":{"app":")" + app +
             R"("}}},"status":{"disruptionsAllowed":)" + std::to_string(allowed) + "}}"));
  }
  static Value wants(int priority, const std::string& cpu) { return with_priority(make_pod("p", cpu), priority); }
  Snapshot snapshot;
  FakeView view;
  std::size_t next_node = 0;
};

TEST_F(PreemptTest, TakesTheLeastImportantAndNoMoreThanNeeded) {
  add_node("n1");
  running("low", "n1", 1, "2");
  running("mid", "n1", 5, "2");
  SchedulingDecision decision = run(wants(10, "2"));
  EXPECT_EQ(victims(decision), "n1: low");
  EXPECT_EQ(decision.message, "0/1 nodes are available: 1 Insufficient cpu.");
  EXPECT_EQ(victims(run(wants(10, "4"))), "n1: mid low");
  // The evaluation leaves the snapshot unchanged.
  EXPECT_EQ(snapshot.node("n1")->requested.milli_cpu, 4000);
  EXPECT_EQ(snapshot.node("n1")->pods.size(), 2u);
}

TEST_F(PreemptTest, EqualOrHigherPrioritiesStay) {
  add_node("n1");
  running("same", "n1", 10, "4");
  SchedulingDecision decision = run(wants(10, "2"));
  EXPECT_EQ(victims(decision), ":");
  EXPECT_EQ(
      decision.message,
      "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: "
      "1 No preemption victims found for incoming pod.");
  EXPECT_TRUE(decision.withdraw);
  // With victims that do not help, the remaining reasons are reported.
  running("low", "n1", 1, "0");
  EXPECT_EQ(
      run(wants(10, "2")).message,
      "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Insufficient cpu.");
}

TEST_F(PreemptTest, NeverMeansNever) {
  add_node("n1");
  running("low", "n1", 1, "4");
  Value pod = wants(10, "2");
  pod.mut("spec").set("preemptionPolicy", "Never");
  const SchedulingDecision decision = run(pod);
  EXPECT_EQ(victims(decision), ":");
  EXPECT_EQ(
      decision.message,
      "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to preemptionPolicy=Never.");
  EXPECT_FALSE(decision.withdraw);
}

TEST_F(PreemptTest, NodesThatRefuseForGoodAreNotHelped) {
  add_node("n1");
  Value tainted = make_node("n2");
  tainted.mut("spec").set("taints", from(R"([{"key":"k","effect":"NoSchedule"}])"));
  snapshot.set_node(tainted);
  add_node("n3", "1");
  running("a", "n1", 10, "4");
  running("b", "n2", 1, "4");
  running("c", "n3", 1, "1");
  EXPECT_EQ(
      run(wants(10, "2")).message,
      "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. no new claims to deallocate, preemption: "
      "0/3 nodes are available: 1 No preemption victims found for incoming pod, 2 Preemption is not helpful for scheduling.");
}

TEST_F(PreemptTest, FewestViolationsOfBudgetsFirst) {
  add_node("n1");
  add_node("n2");
  running("guarded", "n1", 1, "4", 0, "db");
  running("free", "n2", 5, "4", 0, "web");
  budget("db", 0);
  EXPECT_EQ(victims(run(wants(10, "2"))), "n2: free");
  view.known_budgets.clear();
  budget("db", 1);
  EXPECT_EQ(victims(run(wants(10, "2"))), "n1: guarded");
}

TEST_F(PreemptTest, ProtectedPodsAreSparedOnTheirNodeEvenBeforeMoreImportantOnes) {
  add_node("n1");
  running("guarded", "n1", 1, "2", 0, "db");
  running("free", "n1", 5, "2", 0, "web");
  budget("db", 0);
  EXPECT_EQ(victims(run(wants(10, "2"))), "n1: free");
  // If there is no other way, it is a victim, too.
  EXPECT_EQ(victims(run(wants(10, "4"))), "n1: free guarded");
  // A disruption that a budget has counted already costs nothing.
  view.known_budgets[0].mut("status").set("disruptedPods", from(R"({"guarded":"2026-01-01T00:00:00Z"})"));
  EXPECT_EQ(victims(run(wants(10, "2"))), "n1: guarded");
}

TEST_F(PreemptTest, ThenTheLowestFirstVictim) {
  add_node("n1");
  add_node("n2");
  running("a", "n1", 5, "4");
  running("b", "n2", 4, "2");
  running("c", "n2", 4, "2");
  EXPECT_EQ(victims(run(wants(10, "4"))), "n2: b c");
}

TEST_F(PreemptTest, ThenTheSmallestSumThenTheFewest) {
  add_node("n1");
  add_node("n2");
  running("a", "n1", 5, "2");
  running("b", "n1", 3, "2");
  running("c", "n2", 5, "2");
  running("d", "n2", 2, "2");
  EXPECT_EQ(victims(run(wants(10, "4"))), "n2: c d");
  // Negative priorities do not make many pods cheaper than one.
  Snapshot fresh;
  std::swap(snapshot, fresh);
  add_node("n1");
  add_node("n2");
  running("e", "n1", -1, "2");
  running("f", "n1", -5, "2");
  running("g", "n2", -1, "4");
  EXPECT_EQ(victims(run(wants(10, "4"))), "n2: g");
}

TEST_F(PreemptTest, ThenTheOneThatStartedLast) {
  add_node("n1");
  add_node("n2");
  running("old", "n1", 5, "4", 1);
  running("young", "n2", 5, "4", 30);
  EXPECT_EQ(victims(run(wants(10, "4"))), "n2: young");
  // On one node, too, the pod that has run longer is more important.
  Snapshot fresh;
  std::swap(snapshot, fresh);
  add_node("n1");
  running("elder", "n1", 5, "2", 1);
  running("junior", "n1", 5, "2", 30);
  EXPECT_EQ(victims(run(wants(10, "2"))), "n1: junior");
}

TEST_F(PreemptTest, AntiAffinityIsCuredOnTheNodeItself) {
  add_node("n1");
  add_node("n2");
  const std::string term = R"({"topologyKey":"kubernetes.io/hostname","labelSelector":{"matchLabels":{"app":"a"}}})";
  running("x", "n1", 5, "1", 0, "a");
  running("y", "n2", 1, "1", 0, "a");
  running("z", "n2", 0, "1", 0, "b");
  EXPECT_EQ(victims(run(requires_pods(wants(10, "1"), "podAntiAffinity", term))), "n2: y");
}

TEST_F(PreemptTest, SpreadIsCuredByFewerPods) {
  add_node("n1");
  Value pod = labelled(wants(10, "1"), "app", "a");
  pod = spreads(
      pod, R"({"topologyKey":"kubernetes.io/hostname","maxSkew":1,"minDomains":2,"whenUnsatisfiable":"DoNotSchedule",
                         "labelSelector":{"matchLabels":{"app":"a"}}})");
  running("x", "n1", 5, "1", 0, "a");
  EXPECT_EQ(victims(run(pod)), "n1: x");
}

TEST_F(PreemptTest, AnExclusiveClaimIsFreedWithItsUser) {
  add_node("n1");
  view.known_volumes["v"] = make_volume("v", "n1");
  view.claims["default/x"] = bind_claim(make_claim("x", "local"), "v");
  view.claims["default/x"].mut("spec").set("accessModes", from(R"(["ReadWriteOncePod"])"));
  snapshot.place(make_pod_info(with_claim(with_priority(make_pod("user", "1"), 1), "x")), "n1");
  running("other", "n1", 1, "1");
  EXPECT_EQ(victims(run(with_claim(wants(10, "1"), "x"))), "n1: user");
  EXPECT_EQ(victims(run(with_claim(wants(1, "1"), "x"))), ":");
}

TEST_F(PreemptTest, NominatedPodsHoldTheirRoomAgainstLessImportantOnes) {
  add_node("n1");
  const PodPtr first = make_pod_info(with_priority(make_pod("first", "3"), 10));
  snapshot.nominate(first, "n1");
  EXPECT_EQ(run(wants(5, "2")).node, "");
  EXPECT_EQ(run(wants(10, "2")).node, "");
  EXPECT_EQ(run(wants(11, "2")).node, "n1");
  EXPECT_EQ(run(wants(5, "1")).node, "n1");
  EXPECT_EQ(run(with_priority(make_pod("first", "3"), 10)).node, "n1");
  snapshot.withdraw(first->uid);
  EXPECT_EQ(run(wants(5, "2")).node, "n1");
}

TEST_F(PreemptTest, ANominatedPodGoesToItsNode) {
  add_node("n1");
  add_node("n2");
  running("busy", "n2", 0, "2");
  EXPECT_EQ(run(wants(10, "1")).node, "n1");
  snapshot.nominate(make_pod_info(wants(10, "1")), "n2");
  EXPECT_EQ(run(wants(10, "1")).node, "n2");
}

TEST_F(PreemptTest, WhileVictimsLeaveNobodyElseIsTaken) {
  add_node("n1");
  Value victim = running("low", "n1", 1, "2");
  running("other", "n1", 1, "2");
  victim.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  snapshot.nominate(make_pod_info(wants(10, "2")), "n1");
  // Deleted by another client for another reason: does not count as a preemption.
  view.pods["default/low"] = victim;
  EXPECT_EQ(victims(run(wants(10, "4"))), "n1: low other");
  victim.mut("status").set("conditions",
                           from(R"([{"type":"DisruptionTarget","status":"True","reason":"PreemptionByScheduler"}])"));
  view.pods["default/low"] = victim;
  const SchedulingDecision decision = run(wants(10, "4"));
  EXPECT_EQ(victims(decision), ":");
  EXPECT_EQ(
      decision.message,
      "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: not eligible due to a terminating pod on the nominated node.");
  EXPECT_FALSE(decision.withdraw);
}

}  // namespace
}  // namespace berth::scheduler

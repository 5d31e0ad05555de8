#include <gtest/gtest.h>

#include "base/time/time.h"
#include "controllers/disruption/plan.h"

namespace berth::controllers::disruption {
namespace {

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value make_pod(const std::string& name, bool ready = true, bool owned = true) {
  Value pod = from(R"({"metadata":{"namespace":"default"},"status":{"phase":"Running"}})");
  pod.mut("metadata").set("name", name).set("uid", name);
  if (owned)
    pod.mut("metadata")
        .set("ownerReferences", from(R"([{"controller":true,"kind":"StatefulSet","name":"web","uid":"set"}])"));
  pod.mut("status").set("conditions",
                        Value::array({Value::object({{"type", "Ready"}, {"status", ready ? "True" : "False"}})}));
  return pod;
}

struct DisruptionTest : ::testing::Test {
  BudgetView view;
  void SetUp() override {
    view.budget = from(
        R"({"metadata":{"name":"b","namespace":"default","uid":"b","generation":2,"resourceVersion":"5"},"spec":{}})");
    view.pods = {make_pod("a"), make_pod("b"), make_pod("c", false)};
    view.scale_of = [](const Value&) { return BudgetView::Scale{"set", 4}; };
  }
  Value status() {
    const Plan plan = plan_budget(view, kNow);
    return plan.chains.empty() ? Value() : plan.chains[0][0].object["status"];
  }
};

TEST_F(DisruptionTest, MinAvailableAsANumber) {
  view.budget.mut("spec").set("minAvailable", 1);
  const Value out = status();
  EXPECT_EQ(out["expectedPods"].as_int(), 3);
  EXPECT_EQ(out["desiredHealthy"].as_int(), 1);
  EXPECT_EQ(out["currentHealthy"].as_int(), 2);
  EXPECT_EQ(out["disruptionsAllowed"].as_int(), 1);
  EXPECT_EQ(out["conditions"][0]["reason"].as_string(), "SufficientPods");
  EXPECT_EQ(out["conditions"][0]["observedGeneration"].as_int(), 2);
  view.budget.set("status", out);
  EXPECT_TRUE(plan_budget(view, kNow).empty());
}

TEST_F(DisruptionTest, PercentagesAreOfWhatTheControllerWants) {
  view.budget.mut("spec").set("maxUnavailable", "30%");
  Value out = status();
  EXPECT_EQ(out["expectedPods"].as_int(), 4);
  EXPECT_EQ(out["desiredHealthy"].as_int(), 2);  // two of four may be missing, rounded up
  EXPECT_EQ(out["disruptionsAllowed"].as_int(), 0);
  view.budget.set("spec", from(R"({"minAvailable":"50%"})"));
  EXPECT_EQ(status()["desiredHealthy"].as_int(), 2);
}

TEST_F(DisruptionTest, EvictedPodsDoNotCountUntilTheirTimeIsUp) {
  view.budget.mut("spec").set("minAvailable", 0);
  view.budget.mut("status").set("disruptedPods", from(R"({"a":"2026-01-01T00:59:00Z","gone":"2026-01-01T00:59:00Z"})"));
  Plan plan = plan_budget(view, kNow);
  EXPECT_EQ(plan.chains[0][0].object["status"]["currentHealthy"].as_int(), 1);
  EXPECT_TRUE(plan.chains[0][0].object["status"]["disruptedPods"].contains("gone"));
  EXPECT_TRUE(plan.chains[0][0].object["status"]["disruptedPods"]["gone"].is_null());
  EXPECT_EQ(plan.requeue_delay, Duration(61s));
  plan = plan_budget(view, kNow + 61s);
  EXPECT_EQ(plan.chains[0][0].object["status"]["currentHealthy"].as_int(), 2);
  ASSERT_EQ(plan.events.size(), 1u);
  EXPECT_EQ(plan.events[0].reason, "NotDeleted");
}

TEST_F(DisruptionTest, NothingIsAllowedWhereTheSizeIsUnknown) {
  view.budget.mut("spec").set("maxUnavailable", 1);
  view.budget.set("status", from(R"({"disruptionsAllowed":2,"observedGeneration":1})"));
  view.scale_of = [](const Value&) { return std::nullopt; };
  view.unscalable = [](const Value&) {
    return std::string("daemonsets.apps does not implement the scale subresource");
  };
  Value out = status();
  EXPECT_EQ(out["disruptionsAllowed"].as_int(9), 0);
  const Value condition = out["conditions"][0];
  EXPECT_EQ(condition["status"].str() + " " + condition["reason"].str() + " " + condition["message"].str(),
            "False SyncFailed daemonsets.apps does not implement the scale subresource");
  EXPECT_EQ(condition["observedGeneration"].as_int(), 1);  // counting failed for the second generation
  EXPECT_FALSE(out.contains("observedGeneration"));
  EXPECT_EQ(
      plan_budget(view, kNow).events[0].message,
      "Failed to calculate the number of expected pods: daemonsets.apps does not implement the scale subresource");
  view.pods.clear();
  out = status();
  EXPECT_EQ(out["expectedPods"].as_int(9), 0);
  EXPECT_EQ(plan_budget(view, kNow).events[0].message, "No matching pods found");
}

TEST_F(DisruptionTest, ASetThatEndsWantsThePodsItStillHas) {
  view.budget.mut("spec").set("maxUnavailable", 1);
  view.scale_of = [](const Value&) { return BudgetView::Scale{"set", 4, true}; };
  EXPECT_EQ(status()["expectedPods"].as_int(), 4) << "evictions alone: as Kubernetes counts";
  view.budget.mut("metadata").set("annotations", from(R"({"berth.dev/budget-everything":"true"})"));
  view.pods = {make_pod("a"), make_pod("b")};
  Value out = status();
  EXPECT_EQ(out["expectedPods"].as_int(), 2);
  EXPECT_EQ(out["disruptionsAllowed"].as_int(), 1);
  view.scale_of = [](const Value&) { return std::nullopt; };  // the controller is gone
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(), 1);
}

TEST_F(DisruptionTest, ASuccessorWaitsForTheNamesOfThePodsBeforeIt) {
  view.budget.mut("metadata").set("annotations", from(R"({"berth.dev/budget-everything":"true"})"));
  view.budget.mut("spec").set("maxUnavailable", 1);
  view.pods = {make_pod("web-0"), make_pod("web-1"), make_pod("web-2")};
  view.pods[0].mut("metadata").mut("ownerReferences").mut(std::size_t{0}).set("uid", "new");
  view.scale_of = [](const Value& pod) -> std::optional<BudgetView::Scale> {
    if (api::name_of(pod) != "web-0") return std::nullopt;  // pods of the predecessor
    return BudgetView::Scale{"new", 3};
  };
  EXPECT_EQ(status()["expectedPods"].as_int(), 3);
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(), 1);
}

TEST_F(DisruptionTest, ASetEndsWhateverOfItHasFailed) {
  view.budget.mut("metadata").set("annotations", from(R"({"berth.dev/budget-everything":"true"})"));
  view.scale_of = [](const Value&) { return BudgetView::Scale{"set", 3, true}; };
  view.pods = {make_pod("a"), make_pod("b", false), make_pod("c", false)};
  view.budget.mut("spec").set("maxUnavailable", 1);
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(), 1) << "nobody mends the others";
  view.budget.set("spec", from(R"({"minAvailable":"50%"})"));
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(), 1) << "the last one too";
  view.budget.set("spec", from(R"({"minAvailable":1})"));
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(), 0) << "a number is one";
}

TEST_F(DisruptionTest, ASetThatWantsNobodyMayHaveThemDeletedWhereDeletionsCount) {
  view.budget.mut("spec").set("maxUnavailable", 1);
  view.scale_of = [](const Value&) { return BudgetView::Scale{"set", 0}; };
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(9), 0) << "evictions alone: as Kubernetes counts";
  view.budget.mut("metadata").set("annotations", from(R"({"berth.dev/budget-everything":"true"})"));
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(), 2);
  view.budget.set("spec", Value::object());
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(9), 0) << "one that says nothing allows nothing";
}

TEST_F(DisruptionTest, PodsWithoutControllerAreWarnedOf) {
  view.budget.mut("spec").set("maxUnavailable", 2).set("selector", from(R"({"matchLabels":{"a":"b"}})"));
  view.pods.push_back(make_pod("loner", true, false));
  const Value out = status();
  EXPECT_EQ(out["expectedPods"].as_int(), 4);
  EXPECT_EQ(out["currentHealthy"].as_int(), 3);
  EXPECT_EQ(out["conditions"][0]["reason"].as_string(), "SufficientPods");
  const Plan plan = plan_budget(view, kNow);
  ASSERT_EQ(plan.events.size(), 1u);
  EXPECT_EQ(plan.events[0].reason, "UnmanagedPods");
  EXPECT_NE(
      plan.events[0].message.find(
          "(selector: &LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{},})"),
      std::string::npos)
      << plan.events[0].message;
}

TEST_F(DisruptionTest, ABudgetThatSaysNothingAllowsNothing) {
  const Value out = status();
  EXPECT_EQ(out["disruptionsAllowed"].as_int(9), 0);
  EXPECT_EQ(out["expectedPods"].as_int(9), 0);
  EXPECT_EQ(out["conditions"][0]["reason"].as_string(), "InsufficientPods");
}

TEST(StaleDisruption, APodThatStaysIsToldSo) {
  Value pod = make_pod("a");
  pod.mut("status")
      .mut("conditions")
      .push(from(
          R"({"type":"DisruptionTarget","status":"True","reason":"DeletionByTaintManager","lastTransitionTime":"2026-01-01T00:59:00Z"})"));
  Plan plan = plan_stale(pod, kNow);
  EXPECT_TRUE(plan.empty());
  EXPECT_EQ(plan.requeue_delay, Duration(60s));
  plan = plan_stale(pod, kNow + 60s);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].object["status"]["conditions"][0]["status"].as_string(), "False");
  Value leaving = pod;
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:59:30Z");
  EXPECT_TRUE(plan_stale(leaving, kNow + 60s).empty());
  Value ended = pod;
  ended.mut("status").set("phase", "Failed");
  EXPECT_TRUE(plan_stale(ended, kNow + 60s).empty());
  pod.mut("status").mut("conditions").mut(1).set("reason", "TerminationByKubelet");
  EXPECT_TRUE(plan_stale(pod, kNow + 60s).empty());
  EXPECT_TRUE(plan_stale(Value(), kNow).empty());
}

}  // namespace
}  // namespace berth::controllers::disruption

#include <gtest/gtest.h>

#include "base/time.h"
#include "controllers/disruption/plan.h"

namespace berth::controllers::disruption {
namespace {

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value make_pod(const std::string& name, bool ready = true, bool owned = true) {
  Value pod = from(R"({"metadata":{"namespace":"default"},"status":{"phase":"Running"}})");
  pod.mut("metadata").set("name", name).set("uid", name);
  if (owned) pod.mut("metadata").set("ownerReferences", from(R"([{"controller":true,"kind":"StatefulSet","name":"web","uid":"set"}])"));
  pod.mut("status").set("conditions", Value::array({Value::object({{"type", "Ready"}, {"status", ready ? "True" : "False"}})}));
  return pod;
}

struct DisruptionTest : ::testing::Test {
  View view;
  void SetUp() override {
    view.budget = from(R"({"metadata":{"name":"b","namespace":"default","uid":"b","generation":2,"resourceVersion":"5"},"spec":{}})");
    view.pods = {make_pod("a"), make_pod("b"), make_pod("c", false)};
    view.scale_of = [](const Value&) { return View::Scale{"set", 4}; };
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
  EXPECT_EQ(plan.requeue_after, Duration(61s));
  plan = plan_budget(view, kNow + 61s);
  EXPECT_EQ(plan.chains[0][0].object["status"]["currentHealthy"].as_int(), 2);
  ASSERT_EQ(plan.events.size(), 1u);
  EXPECT_EQ(plan.events[0].reason, "NotDeleted");
}

TEST_F(DisruptionTest, NothingIsAllowedWhereTheSizeIsUnknown) {
  view.budget.mut("spec").set("maxUnavailable", 1);
  view.budget.mut("status").set("disruptionsAllowed", 2);
  view.pods.push_back(make_pod("loner", true, false));
  Value out = status();
  EXPECT_EQ(out["disruptionsAllowed"].as_int(9), 0);
  EXPECT_EQ(out["conditions"][0]["reason"].as_string(), "SyncFailed");
  view.pods.clear();
  out = status();
  EXPECT_EQ(out["expectedPods"].as_int(9), 0);
  EXPECT_EQ(plan_budget(view, kNow).events[0].message, "No matching pods found");
}

TEST_F(DisruptionTest, ASetThatEndsWantsThePodsItStillHas) {
  view.budget.mut("spec").set("maxUnavailable", 1);
  view.scale_of = [](const Value&) { return View::Scale{"set", 4, true}; };
  EXPECT_EQ(status()["expectedPods"].as_int(), 4) << "evictions alone: as Kubernetes counts";
  view.budget.mut("metadata").set("annotations", from(R"({"berth.dev/budget-everything":"true"})"));
  view.pods = {make_pod("a"), make_pod("b")};
  Value out = status();
  EXPECT_EQ(out["expectedPods"].as_int(), 2);
  EXPECT_EQ(out["disruptionsAllowed"].as_int(), 1);
  view.scale_of = [](const Value&) { return std::nullopt; };  // it is gone
  EXPECT_EQ(status()["disruptionsAllowed"].as_int(), 1);
}

}  // namespace
}  // namespace berth::controllers::disruption

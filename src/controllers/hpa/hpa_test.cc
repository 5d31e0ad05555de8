#include <gtest/gtest.h>

#include "api/quantity.h"
#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/hpa/controller.h"
#include "controllers/hpa/plan.h"

namespace berth::controllers::hpa {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

// A pod that has been ready for half an hour and requests 100m and 100Mi.
Value make_pod(const std::string& name, const char* phase = "Running") {
  Value pod = from(
      R"({"metadata":{"namespace":"a","labels":{"app":"web"}},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"100m","memory":"100Mi"}}}]},
      "status":{"startTime":"2026-01-01T00:29:00Z","conditions":[{"type":"Ready","status":"True","lastTransitionTime":"2026-01-01T00:30:00Z"}]}})");
  pod.mut("metadata").set("name", name).set("uid", name);
  pod.mut("status").set("phase", phase);
  return pod;
}
Value usage(const std::string& pod, const char* cpu, const char* memory = "50Mi") {
  Value out = from(
      R"({"metadata":{"namespace":"a"},"timestamp":"2026-01-01T01:00:00Z","window":"15s","containers":[{"name":"c"}]})");
  out.mut("metadata").set("name", pod);
  out.mut("containers").mut(0).set("usage", Value::object({{"cpu", cpu}, {"memory", memory}}));
  return out;
}

// --- Replicas that a metric requires

struct Case {
  const char* what;
  std::vector<Value> pods;
  std::vector<Value> measured;
  int current;
  int expected;
};

int proposed(const Case& c, const Target& target, std::string* problem = nullptr) {
  Result<PodMetrics> metrics = metrics_of(c.measured, c.pods, target.resource, target.container);
  Result<Proposal> proposal =
      metrics.ok() ? replicas_for(target, c.current, c.pods, *metrics, {}, kNow) : Result<Proposal>(metrics.error());
  if (proposal.ok()) return proposal->replicas;
  if (problem) *problem = proposal.error().message;
  return -1;
}

TEST(HpaReplicas, FollowTheUtilization) {
  const Target half{"cpu", "", 50, {}};
  Value young = make_pod("y");
  young.mut("status").set("startTime", "2026-01-01T00:59:00Z");
  young.mut("status").mut("conditions").mut(0).set("lastTransitionTime", "2026-01-01T00:59:50Z");
  Value gone = make_pod("g");
  gone.mut("metadata").set("deletionTimestamp", "2026-01-01T01:00:00Z");
  const std::vector<Case> cases = {
      {"at the target", {make_pod("a"), make_pod("b")}, {usage("a", "50m"), usage("b", "50m")}, 2, 2},
      {"within the tolerance", {make_pod("a"), make_pod("b")}, {usage("a", "55m"), usage("b", "54m")}, 2, 2},
      {"beyond it", {make_pod("a"), make_pod("b")}, {usage("a", "60m"), usage("b", "58m")}, 2, 3},
      {"up", {make_pod("a"), make_pod("b")}, {usage("a", "100m"), usage("b", "100m")}, 2, 4},
      {"down",
       {make_pod("a"), make_pod("b"), make_pod("d"), make_pod("e")},
       {usage("a", "10m"), usage("b", "10m"), usage("d", "10m"), usage("e", "10m")},
       4,
       1},
      {"an unmeasured pod slows the way up", {make_pod("a"), make_pod("b")}, {usage("a", "100m")}, 2, 2},
      {"and the way down", {make_pod("a"), make_pod("b"), make_pod("d")}, {usage("a", "10m"), usage("b", "10m")}, 3, 3},
      {"a pending pod counts as idle", {make_pod("a"), make_pod("p", "Pending")}, {usage("a", "200m")}, 2, 4},
      {"a young pod's measure does not count", {make_pod("a"), young}, {usage("a", "10m"), usage("y", "900m")}, 2, 1},
      {"a leaving pod is none", {make_pod("a"), gone}, {usage("a", "100m"), usage("g", "0")}, 2, 2},
  };
  for (const Case& c : cases) EXPECT_EQ(proposed(c, half), c.expected) << c.what;
}

TEST(HpaReplicas, FollowAverageValues) {
  const Target memory{"memory", "", {}, api::Quantity::parse("50Mi")->milli_value()};
  EXPECT_EQ(
      proposed({"", {make_pod("a"), make_pod("b")}, {usage("a", "0", "100Mi"), usage("b", "0", "50Mi")}, 2, 3}, memory),
      3);
  EXPECT_EQ(proposed({"", {make_pod("a")}, {usage("a", "0", "50Mi")}, 1, 1}, memory), 1);
  const Target container{"cpu", "c", 50, {}};
  EXPECT_EQ(proposed({"", {make_pod("a")}, {usage("a", "100m")}, 1, 2}, container), 2);
}

TEST(HpaReplicas, SayWhyTheyCannot) {
  std::string problem;
  const Target half{"cpu", "", 50, {}};
  EXPECT_EQ(proposed({"", {make_pod("a")}, {}, 1, 0}, half, &problem), -1);
  EXPECT_EQ(problem, "no metrics returned from resource metrics API");
  Value bare = make_pod("a");
  bare.mut("spec").mut("containers").mut(0).erase("resources");
  (void)proposed({"", {bare}, {usage("a", "1m")}, 1, 0}, half, &problem);
  EXPECT_EQ(problem, "missing request for cpu in container c of Pod a");
  (void)proposed({"", {make_pod("a", "Pending")}, {usage("a", "1m")}, 1, 0}, half, &problem);
  EXPECT_EQ(problem, "did not receive metrics for targeted pods (pods might be unready)");
  (void)proposed({"", {make_pod("a")}, {usage("a", "1m")}, 1, 0}, {"cpu", "x", 50, {}}, &problem);
  EXPECT_EQ(problem, "container x not present in metrics for pod a/a");
}

// --- Limits

TEST(HpaLimits, WithoutBehaviorTheHighestOfFiveMinutesCounts) {
  ScalingHistory history;
  EXPECT_EQ(limit(Value(), {1, 10}, 3, 5, history, kNow).replicas, 5);
  LimitedReplicas later = limit(Value(), {1, 10}, 5, 2, history, kNow + 60s);
  EXPECT_EQ(later.replicas, 5);
  EXPECT_EQ(later.able_reason, "ScaleDownStabilized");
  later = limit(Value(), {1, 10}, 5, 2, history, kNow + 301s);
  EXPECT_EQ(later.replicas, 2);
  EXPECT_EQ(later.able_reason, "ReadyForNewScale");
  EXPECT_FALSE(later.limited);
  EXPECT_EQ(later.reason, "DesiredWithinRange");
}

TEST(HpaLimits, BoundsAndTheRateOfGrowth) {
  ScalingHistory history;
  LimitedReplicas out = limit(Value(), {1, 100}, 3, 50, history, kNow);
  EXPECT_EQ(out.replicas, 6);
  EXPECT_EQ(out.reason, "ScaleUpLimit");
  history = {};
  out = limit(Value(), {1, 5}, 3, 50, history, kNow);
  EXPECT_EQ(out.replicas, 5);
  EXPECT_EQ(out.reason, "TooManyReplicas");
  history = {};
  out = limit(Value(), {2, 5}, 3, 1, history, kNow);
  EXPECT_EQ(out.replicas, 2);
  EXPECT_EQ(out.reason, "TooFewReplicas");
  EXPECT_TRUE(out.limited);
}

TEST(HpaLimits, PoliciesOfABehavior) {
  const Value behavior = from(R"({"scaleUp":{"stabilizationWindowSeconds":0,"selectPolicy":"Max","policies":[
        {"type":"Pods","value":1,"periodSeconds":60},{"type":"Percent","value":50,"periodSeconds":60}]},
      "scaleDown":{"stabilizationWindowSeconds":0,"selectPolicy":"Min","policies":[{"type":"Pods","value":3,"periodSeconds":60},{"type":"Percent","value":10,"periodSeconds":60}]}})");
  ScalingHistory history;
  LimitedReplicas out = limit(behavior, {1, 100}, 10, 40, history, kNow);
  EXPECT_EQ(out.replicas, 15);
  EXPECT_EQ(out.reason, "ScaleUpLimit");
  record_scaling(behavior, 10, 15, history, kNow);
  EXPECT_EQ(limit(behavior, {1, 100}, 15, 40, history, kNow + 30s).replicas, 15);  // the period started with 10
  EXPECT_EQ(limit(behavior, {1, 100}, 15, 40, history, kNow + 61s).replicas, 23);
  history = {};
  out = limit(behavior, {1, 100}, 10, 1, history, kNow);
  EXPECT_EQ(out.replicas, 9);
  EXPECT_EQ(out.reason, "ScaleDownLimit");
  Value disabled = behavior;
  disabled.mut("scaleDown").set("selectPolicy", "Disabled");
  history = {};
  EXPECT_EQ(limit(disabled, {1, 100}, 10, 1, history, kNow).replicas, 10);
}

TEST(HpaLimits, StabilisedUpwardsToo) {
  const Value behavior = from(
      R"({"scaleUp":{"stabilizationWindowSeconds":60,"selectPolicy":"Max","policies":[{"type":"Percent","value":900,"periodSeconds":15}]},
      "scaleDown":{"stabilizationWindowSeconds":0,"policies":[{"type":"Percent","value":100,"periodSeconds":15}]}})");
  ScalingHistory history;
  history.recommendations.push_back({kNow - 30s, 2});
  LimitedReplicas out = limit(behavior, {1, 100}, 2, 8, history, kNow);
  EXPECT_EQ(out.replicas, 2);
  EXPECT_EQ(out.able_reason, "ScaleUpStabilized");
  EXPECT_EQ(limit(behavior, {1, 100}, 2, 8, history, kNow + 31s).replicas, 8);
}

// --- One sync

struct HpaPlan : ::testing::Test {
  HpaView view;
  ScalingHistory history;
  void SetUp() override {
    view.hpa = from(
        R"({"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"h","namespace":"a","uid":"h","resourceVersion":"3"},
        "spec":{"minReplicas":1,"maxReplicas":10,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},
                "metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]}})");
    view.target_resource = kDeployments;
    view.target = from(
        R"({"metadata":{"name":"web","namespace":"a","uid":"d","resourceVersion":"9"},"spec":{"replicas":2},"status":{"replicas":2}})");
    view.selector = "app=web";
    view.pods = {make_pod("a"), make_pod("b")};
    view.measured = std::vector<Value>{usage("a", "100m"), usage("b", "100m")};
  }
  Plan look(Duration after = 0s) { return plan_autoscaler(view, history, kNow + after); }
  static std::string condition(const Plan& plan, std::string_view type) {
    for (const Action& action : plan.then) {
      for (const Value& one : action.object["status"]["conditions"]) {
        if (one["type"].as_string() == type)
          return one["status"].str() + " " + one["reason"].str() + ": " + one["message"].str();
      }
    }
    return "";
  }
  static std::string events(const Plan& plan) {
    std::string out;
    for (const EventSpec& event : plan.events) out += event.reason + ": " + event.message + "\n";
    return out;
  }
};

TEST_F(HpaPlan, ScalesUpAndSaysSo) {
  const Plan plan = look();
  ASSERT_EQ(plan.chains.size(), 1u);
  const Action& scale = plan.chains[0][0];
  EXPECT_EQ(scale.subresource, "scale");
  EXPECT_EQ(scale.resource, kDeployments);
  EXPECT_EQ(scale.object["spec"]["replicas"].as_int(), 4);
  EXPECT_EQ(api::resource_version_of(scale.object), "9");
  EXPECT_EQ(scale.on_success[0].reason, "SuccessfulRescale");
  EXPECT_EQ(scale.on_success[0].message,
            "New size: 4; reason: cpu resource utilization (percentage of request) above target");
  EXPECT_EQ(condition(plan, "AbleToScale"),
            "True SucceededRescale: the HPA controller was able to update the target scale to 4");
  EXPECT_EQ(
      condition(plan, "ScalingActive"),
      "True ValidMetricFound: the HPA was able to successfully calculate a replica count from cpu resource utilization (percentage of request)");
  EXPECT_EQ(condition(plan, "ScalingLimited"),
            "False DesiredWithinRange: the desired count is within the acceptable range");
  const Value& status = plan.then[0].object["status"];
  EXPECT_EQ(
      json::encode(status["currentMetrics"]),
      R"([{"resource":{"current":{"averageUtilization":100,"averageValue":"100m"},"name":"cpu"},"type":"Resource"}])");
  EXPECT_EQ(status["desiredReplicas"].as_int(), 4);
  EXPECT_EQ(status["lastScaleTime"].as_string(), "2026-01-01T01:00:00Z");
  EXPECT_EQ(plan.requeue_delay, kPeriod);
}

TEST_F(HpaPlan, AtItsTargetNothingIsWritten) {
  view.measured = std::vector<Value>{usage("a", "50m"), usage("b", "50m")};
  Plan plan = look();
  EXPECT_TRUE(plan.chains.empty());
  ASSERT_EQ(plan.then.size(), 1u);
  view.hpa.set("status", plan.then[0].object["status"]);
  EXPECT_TRUE(look(15s).then.empty());
  EXPECT_TRUE(look(30s).events.empty());
}

TEST_F(HpaPlan, KeepsWithinItsBounds) {
  view.hpa.mut("spec").set("maxReplicas", 1);
  EXPECT_FALSE(needs_metrics(view));
  Plan plan = look();
  EXPECT_EQ(plan.chains[0][0].on_success[0].message,
            "New size: 1; reason: Current number of replicas above Spec.MaxReplicas");
  view.hpa.mut("spec").set("maxReplicas", 9).set("minReplicas", 5);
  plan = look();
  EXPECT_EQ(plan.chains[0][0].on_success[0].message,
            "New size: 5; reason: Current number of replicas below Spec.MinReplicas");
  view.target.mut("spec").set("replicas", 0);
  EXPECT_FALSE(needs_metrics(view));
  plan = look();
  EXPECT_TRUE(plan.chains.empty());
  EXPECT_EQ(condition(plan, "ScalingActive"),
            "False ScalingDisabled: scaling is disabled since the replica count of the target is zero");
}

TEST_F(HpaPlan, SaysWhatFailed) {
  view.measured = std::vector<Value>{};
  Plan plan = look();
  EXPECT_TRUE(plan.chains.empty());
  EXPECT_EQ(
      events(plan),
      "FailedGetResourceMetric: failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API\n"
      "FailedComputeMetricsReplicas: invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: failed to get cpu "
      "utilization: unable to get metrics for resource cpu: no metrics returned from resource metrics API\n");
  EXPECT_EQ(
      condition(plan, "ScalingActive"),
      "False FailedGetResourceMetric: the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource "
      "cpu: no metrics returned from resource metrics API");
  EXPECT_EQ(condition(plan, "AbleToScale"),
            "True SucceededGetScale: the HPA controller was able to get the target's current scale");
  view.target = Value();
  view.target_problem = "deployments.apps \"web\" not found";
  plan = look();
  EXPECT_EQ(events(plan), "FailedGetScale: deployments.apps \"web\" not found\n");
  EXPECT_EQ(
      condition(plan, "AbleToScale"),
      "False FailedGetScale: the HPA controller was unable to get the target's current scale: deployments.apps \"web\" not found");
}

TEST_F(HpaPlan, OtherMetricsAreNotAvailable) {
  view.hpa.mut("spec").mut("metrics").push(
      from(R"({"type":"Pods","pods":{"metric":{"name":"m"},"target":{"type":"AverageValue","averageValue":"1"}}})"));
  Plan plan = look();
  EXPECT_EQ(
      events(plan),
      "FailedGetPodsMetric: unable to get metric m: unable to fetch metrics from custom metrics API: no custom metrics API "
      "(custom.metrics.k8s.io) registered\n");
  EXPECT_EQ(plan.chains[0][0].object["spec"]["replicas"].as_int(), 4);  // the known metric suffices to scale up ...
  view.measured = std::vector<Value>{usage("a", "1m"), usage("b", "1m")};
  history = {};
  plan = look();
  EXPECT_TRUE(plan.chains.empty());  // ... but not to scale down
  EXPECT_EQ(condition(plan, "ScalingActive").substr(0, 26), "False FailedGetPodsMetric:");
  view.hpa.mut("spec").mut("metrics").erase(0);
  EXPECT_FALSE(needs_metrics(view));
}

TEST_F(HpaPlan, PodsBelongToOneAutoscaler) {
  view.competing = {"a/h", "a/other"};
  EXPECT_FALSE(needs_metrics(view));
  const Plan plan = look();
  EXPECT_TRUE(plan.chains.empty());
  EXPECT_EQ(condition(plan, "ScalingActive"),
            "False AmbiguousSelector: pods by selector app=web are controlled by multiple HPAs: [a/h a/other]");
  view.competing.clear();
  view.selector.clear();
  EXPECT_EQ(condition(look(), "ScalingActive"), "False InvalidSelector: the HPA target's scale is missing a selector");
}

TEST_F(HpaPlan, ToleranceOfABehavior) {
  view.measured = std::vector<Value>{usage("a", "58m"), usage("b", "58m")};
  EXPECT_FALSE(look().chains.empty());
  history = {};
  view.hpa.mut("spec").set(
      "behavior",
      from(
          R"({"scaleUp":{"tolerance":"200m","policies":[{"type":"Pods","value":4,"periodSeconds":15}]},"scaleDown":{}})"));
  EXPECT_TRUE(look().chains.empty());
}

// --- The controller

TEST(HpaController, MeasuresOnlyForAutoscalers) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api(runtime);
  int asked = 0;
  std::vector<Function<void(Result<std::vector<Value>>)>> waiting;
  InformerSet informers(runtime, api);
  auto driver = start(informers, {{kDeployments, "Deployment"}, {kStatefulSets, "StatefulSet"}},
                      [&](const std::string& ns, auto done) {
                        EXPECT_EQ(ns, "a");
                        ++asked;
                        waiting.push_back(std::move(done));
                      });
  api.put(kDeployments, from(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"a"},
      "spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}}},"status":{"replicas":1}})"));
  Value pod = make_pod("p");
  pod.mut("status").set("startTime", "2020-01-01T00:00:00Z");
  pod.mut("status").mut("conditions").mut(0).set("lastTransitionTime", "2020-01-01T00:10:00Z");
  api.put(kPods, pod);
  runtime.advance(60s);
  EXPECT_EQ(asked, 0);
  api.put(
      kHorizontalPodAutoscalers,
      from(R"({"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"h","namespace":"a"},
      "spec":{"minReplicas":1,"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"web"},
              "metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}}]}})"));
  runtime.settle();
  ASSERT_EQ(asked, 1);
  waiting[0](std::vector<Value>{usage("p", "100m")});
  runtime.settle();
  EXPECT_EQ(api.read(kDeployments, {"a", "web"})["spec"]["replicas"].as_int(), 2);
  const Value status = api.read(kHorizontalPodAutoscalers, {"a", "h"})["status"];
  EXPECT_EQ(status["desiredReplicas"].as_int(), 2);
  EXPECT_EQ(asked, 1);  // its own writes trigger no sync
  runtime.advance(14s);
  EXPECT_EQ(asked, 1);
  runtime.advance(2s);
  EXPECT_EQ(asked, 2);
  api.erase(kHorizontalPodAutoscalers, {"a", "h"});
  waiting[1](std::vector<Value>{});
  runtime.advance(120s);
  EXPECT_EQ(asked, 2);
}

}  // namespace
}  // namespace berth::controllers::hpa

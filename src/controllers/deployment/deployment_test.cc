#include <gtest/gtest.h>

#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/deployment/controller.h"
#include "controllers/deployment/plan.h"
#include "controllers/deployment/revisions.h"
#include "controllers/deployment/status.h"
#include "controllers/replicaset/controller.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::deployment {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value make_deployment(int replicas, const std::string& image = "a") {
  Value out = from(
      R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"default","uid":"dep","generation":1,"resourceVersion":"9"},
      "spec":{"selector":{"matchLabels":{"app":"web"}},"progressDeadlineSeconds":600,"revisionHistoryLimit":2,
      "strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1,"maxUnavailable":1}},
      "template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"name":"c"}]}}},"status":{}})");
  out.mut("spec").set("replicas", replicas);
  out.mut("spec").mut("template").mut("spec").mut("containers").mut(0).set("image", image);
  return out;
}

Value make_rs(const Value& deployment, int size, int available, int revision,
              const char* created = "2026-01-01T00:00:00Z") {
  Value set = make_set(deployment, template_hash(deployment["spec"]["template"], 0), revision, size);
  set.mut("metadata")
      .set("uid", "set-" + std::string(api::name_of(set)))
      .set("creationTimestamp", created)
      .set("resourceVersion", "4");
  set.set("status",
          Value::object({{"replicas", size}, {"readyReplicas", available}, {"availableReplicas", available}}));
  return set;
}

// "web-x 3, web-y 2": the sizes that a plan writes, in order.
std::string sizes(const Plan& plan, const DeploymentView& view) {
  std::string out;
  for (const auto& chain : plan.chains) {
    for (const Value& set : view.sets) {
      if (chain[0].name.name == api::name_of(set) && chain[0].verb == Action::Verb::kPatch) {
        out += set["spec"]["template"]["spec"]["containers"][0]["image"].str() +
               std::to_string(chain[0].object["spec"]["replicas"].as_int()) + " ";
      }
    }
  }
  return out;
}

std::string condition(const Plan& plan, const char* type) {
  for (const Action& action : plan.then) {
    for (const Value& one : action.object["status"]["conditions"]) {
      if (one["type"].as_string() == type)
        return one["status"].str() + " " + one["reason"].str() + " " + one["message"].str();
    }
  }
  return "";
}

TEST(DeploymentPlanTest, MakesItsFirstSet) {
  DeploymentView view;
  view.deployment = make_deployment(3);
  const Plan plan = plan_deployment(view, kNow);
  ASSERT_EQ(plan.first.size(), 2u);
  const Value& set = plan.first[0].object;
  const std::string name(api::name_of(set));
  EXPECT_EQ(name, next_set_name(view.deployment));
  EXPECT_EQ(plan.first[0].on_success[0].message, "Scaled up replica set " + name + " from 0 to 3");
  EXPECT_EQ(set["spec"]["selector"]["matchLabels"][kHashLabel].as_string(), name.substr(4));
  EXPECT_EQ(api::label_of(set["spec"]["template"], kHashLabel), name.substr(4));
  EXPECT_EQ(api::annotation_of(set, kRevision), "1");
  EXPECT_EQ(api::annotation_of(set, kMaximum), "4");
  EXPECT_EQ(plan.first[1].object["metadata"]["annotations"][kRevision].as_string(), "1");
  EXPECT_EQ(condition(plan, "Progressing"), "True NewReplicaSetCreated Created new replica set \"" + name + "\"");
  EXPECT_EQ(condition(plan, "Available"),
            "False MinimumReplicasUnavailable Deployment does not have minimum availability.");
}

TEST(DeploymentPlanTest, ANameThatIsTakenCountsOn) {
  DeploymentView view;
  view.deployment = make_deployment(3);
  view.named = make_rs(make_deployment(3, "other"), 1, 1, 1);
  const Plan plan = plan_deployment(view, kNow);
  EXPECT_EQ(plan.first[0].object["status"]["collisionCount"].as_int(), 1);
  const std::string before = next_set_name(view.deployment);
  view.deployment.mut("status").set("collisionCount", 1);
  EXPECT_NE(before, next_set_name(view.deployment));
}

TEST(DeploymentPlanTest, RollsInSteps) {
  DeploymentView view;
  view.deployment = make_deployment(4, "b");
  view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "2"}}));
  view.sets = {make_rs(make_deployment(4, "a"), 4, 4, 1), make_rs(view.deployment, 0, 0, 2, "2026-01-01T00:30:00Z")};
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "b1 ");
  view.sets[1].mut("spec").set("replicas", 1);
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "a3 ");  // one may be unavailable
  view.sets[0] = make_rs(make_deployment(4, "a"), 3, 3, 1);
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "b2 ");  // and one extra
  view.sets[1].mut("spec").set("replicas", 2);
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "");  // until a new one is available
  view.sets[1].mut("status").set("availableReplicas", 1);
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "a2 ");
  // Unavailable old pods are not waited for.
  view.sets[0].mut("status").set("availableReplicas", 2);
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "a2 ");
}

TEST(DeploymentPlanTest, NothingIsWrittenAtRest) {
  DeploymentView view;
  view.deployment = make_deployment(2);
  view.sets = {make_rs(view.deployment, 2, 2, 1)};
  view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "1"}}));
  view.sets[0].mut("metadata").mut("annotations").set(kDesired, "2").set(kMaximum, "3");
  Plan plan = plan_deployment(view, kNow);
  EXPECT_EQ(condition(plan, "Progressing").substr(0, 27), "True NewReplicaSetAvailable");
  Value status = view.deployment["status"];
  const Value change = plan.then.at(0).object["status"];
  for (const auto& [key, value] : change.entries()) status.set(key, value);
  view.deployment.set("status", status);
  plan = plan_deployment(view, kNow + 1h);
  EXPECT_TRUE(plan.empty() && plan.then.empty());
  EXPECT_FALSE(plan.requeue_delay.has_value());
}

TEST(DeploymentPlanTest, RollingBackTakesTheOldSetUnderANewNumber) {
  DeploymentView view;
  view.deployment = make_deployment(1, "a");
  view.sets = {make_rs(view.deployment, 0, 0, 1), make_rs(make_deployment(1, "b"), 1, 1, 2, "2026-01-01T00:30:00Z")};
  const Plan plan = plan_deployment(view, kNow);
  ASSERT_EQ(plan.first.size(), 1u);
  EXPECT_EQ(plan.first[0].object["metadata"]["annotations"][kRevision].as_string(), "3");
  EXPECT_EQ(plan.first[0].object["metadata"]["annotations"][kRevisionHistory].as_string(), "1");
}

TEST(DeploymentPlanTest, ScalingInTheMiddleOfARolloutIsSharedOut) {
  DeploymentView view;
  view.deployment = make_deployment(10, "b");
  view.deployment.mut("spec").set("replicas", 20);
  view.sets = {make_rs(make_deployment(10, "a"), 8, 8, 1),
               make_rs(make_deployment(10, "b"), 3, 1, 2, "2026-01-01T00:30:00Z")};
  view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "2"}}));
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "a15 b6 ");
  view.deployment.mut("spec").set("replicas", 0);
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "a0 b0 ");
}

TEST(DeploymentPlanTest, PausedDeploymentsOnlyScale) {
  DeploymentView view;
  view.deployment = make_deployment(3, "b");
  view.deployment.mut("spec").set("paused", true);
  view.sets = {make_rs(make_deployment(2, "a"), 2, 2, 1)};
  const Plan plan = plan_deployment(view, kNow);
  EXPECT_TRUE(plan.first.empty());
  EXPECT_EQ(sizes(plan, view), "a3 ");
  EXPECT_EQ(condition(plan, "Progressing"), "Unknown DeploymentPaused Deployment is paused");
}

TEST(DeploymentPlanTest, RecreateWaitsForTheLastOldPod) {
  DeploymentView view;
  view.deployment = make_deployment(2, "b");
  view.deployment.mut("spec").set("strategy", from(R"({"type":"Recreate"})"));
  const Value old = make_rs(make_deployment(2, "a"), 2, 2, 1);
  view.sets = {old};
  view.pods = {from(
      R"({"metadata":{"name":"p","ownerReferences":[{"controller":true,"uid":"x"}]},"status":{"phase":"Running"}})")};
  EXPECT_EQ(sizes(plan_deployment(view, kNow), view), "a0 ");
  view.sets = {make_rs(make_deployment(2, "a"), 0, 0, 1)};
  view.sets[0].mut("metadata").mut("annotations").set(kDesired, "2");
  EXPECT_TRUE(plan_deployment(view, kNow).first.empty());
  view.pods.clear();
  EXPECT_EQ(plan_deployment(view, kNow).first[0].object["spec"]["replicas"].as_int(), 2);
}

TEST(DeploymentPlanTest, HistoryIsLimited) {
  DeploymentView view;
  view.deployment = make_deployment(1, "z");
  view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "5"}}));
  for (int i = 1; i <= 4; ++i) view.sets.push_back(make_rs(make_deployment(1, std::to_string(i)), 0, 0, i));
  view.sets.push_back(make_rs(view.deployment, 1, 1, 5));
  for (Value& set : view.sets) set.mut("metadata").mut("annotations").set(kDesired, "1").set(kMaximum, "2");
  const Plan plan = plan_deployment(view, kNow);
  ASSERT_EQ(plan.chains.size(), 2u);
  EXPECT_EQ(plan.chains[0][0].verb, Action::Verb::kDelete);
  EXPECT_EQ(plan.chains[0][0].name.name, api::name_of(view.sets[0]));
}

TEST(DeploymentPlanTest, SetsWithPodsCountAsHistoryAndStay) {
  DeploymentView view;
  view.deployment = make_deployment(1, "z");
  view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "5"}}));
  for (int i = 1; i <= 4; ++i) view.sets.push_back(make_rs(make_deployment(1, std::to_string(i)), 0, 0, i));
  view.sets.push_back(make_rs(view.deployment, 1, 1, 5));
  for (Value& set : view.sets) set.mut("metadata").mut("annotations").set(kDesired, "1").set(kMaximum, "2");
  view.sets[0].mut("status").set("replicas", 1).set("terminatingReplicas", 1);
  view.deployment.set("status", from(R"({"replicas":2,"updatedReplicas":1,"availableReplicas":1})"));
  view.deployment.mut("spec").set("paused", true);  // cleaned up whatever the status
  const Plan plan = plan_deployment(view, kNow);
  std::string gone;
  for (const auto& chain : plan.chains) {
    if (chain[0].verb == Action::Verb::kDelete) gone += chain[0].name.name + " ";
  }
  EXPECT_EQ(gone, std::string(api::name_of(view.sets[1])) + " ");
  view.deployment.mut("spec").erase("revisionHistoryLimit");
  for (const auto& chain : plan_deployment(view, kNow).chains) EXPECT_NE(chain[0].verb, Action::Verb::kDelete);
}

TEST(DeploymentPlanTest, RecreateWaitsForSetsThatStillReportPods) {
  DeploymentView view;
  view.deployment = make_deployment(2, "b");
  view.deployment.mut("spec").set("strategy", from(R"({"type":"Recreate"})"));
  view.sets = {make_rs(make_deployment(2, "a"), 0, 0, 1)};
  view.sets[0].mut("metadata").mut("annotations").set(kDesired, "2");
  view.sets[0].mut("status").set("replicas", 1);
  EXPECT_TRUE(plan_deployment(view, kNow).first.empty());
  view.sets[0].mut("status").set("replicas", 0);
  EXPECT_EQ(plan_deployment(view, kNow).first.size(), 2u);
}

TEST(DeploymentPlanTest, RecreateNumbersASetItGoesBackToAtOnce) {
  DeploymentView view;
  view.deployment = make_deployment(1, "a");
  view.deployment.mut("spec").set("strategy", from(R"({"type":"Recreate"})"));
  view.sets = {make_rs(view.deployment, 0, 0, 1), make_rs(make_deployment(1, "b"), 1, 1, 2, "2026-01-01T00:30:00Z")};
  const Plan plan = plan_deployment(view, kNow);
  ASSERT_EQ(plan.first.size(), 1u);
  EXPECT_EQ(plan.first[0].object["metadata"]["annotations"][kRevision].as_string(), "3");
}

TEST(DeploymentPlanTest, SharesOfASizeThatNobodyNoted) {
  struct Case {
    int status_replicas, desired;
    const char* sizes;
  };
  // Of sets with 8 and 3 pods; the surge is 1.
  for (const Case& c : {Case{11, 20, "a15 b6 "}, {0, 20, "a18 "}, {11, 5, "a4 b2 "}, {11, 0, "a0 b0 "}}) {
    DeploymentView view;
    view.deployment = make_deployment(10, "b");
    view.deployment.mut("spec").set("replicas", c.desired);
    view.deployment.mut("status").set("replicas", c.status_replicas);
    view.sets = {make_rs(make_deployment(10, "a"), 8, 8, 1),
                 make_rs(make_deployment(10, "b"), 3, 1, 2, "2026-01-01T00:30:00Z")};
    for (Value& set : view.sets) set.mut("metadata").mut("annotations").erase(kMaximum);
    view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "2"}}));
    std::string found = sizes(plan_deployment(view, kNow), view);
    if (c.status_replicas == 0) found = found.substr(0, 4);  // the largest set gets the complete change
    EXPECT_EQ(found, c.sizes) << c.status_replicas << " " << c.desired;
  }
}

TEST(DeploymentPlanTest, TheHistoryOfASetDoesNotGrowForEver) {
  Value set = make_rs(make_deployment(1), 0, 0, 777);
  std::string history = "1";
  while (history.size() < 1998) history += ",22";
  set.mut("metadata").mut("annotations").set(kRevisionHistory, history);
  const std::string after = new_set_annotations(make_deployment(1), set, 800)[kRevisionHistory].str();
  EXPECT_LE(after.size(), 2000u);
  EXPECT_TRUE(after.starts_with("22,22")) << after.substr(0, 20);
  EXPECT_TRUE(after.ends_with(",22,777"));
}

TEST(DeploymentPlanTest, FailuresOfSetsAreTakenOver) {
  DeploymentView view;
  view.deployment = make_deployment(1);
  view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "1"}}));
  view.sets = {make_rs(view.deployment, 1, 0, 1)};
  view.sets[0].mut("metadata").mut("annotations").set(kDesired, "1").set(kMaximum, "2");
  view.sets[0].mut("status").set(
      "conditions", from(R"([{"type":"ReplicaFailure","status":"True","reason":"FailedCreate","message":"no room",
      "lastTransitionTime":"2026-01-01T00:40:00Z"}])"));
  const Plan plan = plan_deployment(view, kNow);
  EXPECT_EQ(condition(plan, "ReplicaFailure"), "True FailedCreate no room");
  for (const Value& one : plan.then[0].object["status"]["conditions"]) {
    if (one["type"].as_string() != "ReplicaFailure") continue;
    EXPECT_EQ(one["lastUpdateTime"].as_string(), "2026-01-01T00:40:00Z");
  }
}

TEST(DeploymentPlanTest, LeavingPodsAreCountedOnceAllSetsTell) {
  DeploymentView view;
  view.deployment = make_deployment(1);
  view.sets = {make_rs(view.deployment, 1, 1, 1)};
  auto terminating = [&] { return plan_deployment(view, kNow).then.at(0).object["status"]["terminatingReplicas"]; };
  view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "1"}}));
  view.sets[0].mut("metadata").mut("annotations").set(kDesired, "1").set(kMaximum, "2");
  view.sets[0].mut("status").set("observedGeneration", 1);
  EXPECT_TRUE(terminating().is_null());
  view.sets[0].mut("status").set("terminatingReplicas", 0);
  EXPECT_EQ(terminating(), Value(0));
}

TEST(DeploymentPlanTest, ARefusedSetIsTold) {
  DeploymentView view;
  view.deployment = make_deployment(1);
  Plan plan = plan_deployment(view, kNow);
  EXPECT_EQ(plan.first[0].on_failure[0].reason, "ReplicaSetCreateError");
  ASSERT_TRUE(plan.explain_refusal);
  plan.explain_refusal("exceeded quota", plan.otherwise);
  EXPECT_EQ(plan.otherwise[0].object["status"]["conditions"][0]["message"].as_string(),
            "Failed to create new replica set \"" + next_set_name(view.deployment) + "\": exceeded quota");
}

TEST(DeploymentPlanTest, AStuckRolloutIsCalledThat) {
  DeploymentView view;
  view.deployment = make_deployment(1);
  view.deployment.mut("metadata").set("annotations", Value::object({{kRevision, "1"}}));
  view.sets = {make_rs(view.deployment, 1, 0, 1)};
  view.sets[0].mut("metadata").mut("annotations").set(kDesired, "1").set(kMaximum, "2");
  view.deployment.set("status",
                      from(R"({"replicas":1,"updatedReplicas":1,"conditions":[{"type":"Progressing","status":"True",
      "reason":"ReplicaSetUpdated","lastUpdateTime":"2026-01-01T00:55:00Z","lastTransitionTime":"2026-01-01T00:55:00Z"}]})"));
  Plan plan = plan_deployment(view, kNow);
  EXPECT_EQ(plan.requeue_delay, Duration(301s));
  plan = plan_deployment(view, kNow + 301s);
  EXPECT_EQ(condition(plan, "Progressing"), "False ProgressDeadlineExceeded ReplicaSet \"" +
                                                next_set_name(view.deployment) + "\" has timed out progressing.");
}

TEST(DeploymentPlanTest, Percentages) {
  EXPECT_EQ(part_in("25%", 10, true), 3);
  EXPECT_EQ(part_in("25%", 10, false), 2);
  EXPECT_EQ(part_in(7, 10, false), 7);
  Value one = make_deployment(1);
  one.mut("spec").mut("strategy").set("rollingUpdate", from(R"({"maxSurge":0,"maxUnavailable":"25%"})"));
  EXPECT_EQ(bounds_of(one).unavailable, 1);
}

// Deployments, sets and pods together; the test plays the node.
struct DeploymentTest : ::testing::Test {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  std::unique_ptr<Driver> deployments, sets;
  int most = 0, least = 1000;

  void start() {
    deployments = std::make_unique<Driver>(informers, make_controller(informers));
    sets = std::make_unique<Driver>(informers, replicaset::make_controller(informers));
  }
  // Makes pods ready one at a time until there is no further change.
  void run() {
    for (int i = 0; i < 200; ++i) {
      runtime.advance(1s);
      int ready = 0, all = 0;
      Value next;
      for (const Value& pod : informers.get(kPods).list()) {
        ++all;
        if (api::is_pod_ready(pod)) {
          ++ready;
        } else if (next.is_null()) {
          next = pod;
        }
      }
      most = std::max(most, all);
      least = std::min(least, ready);
      if (next.is_null()) continue;
      next.mut("status").set("phase", "Running");
      Value is_ready =
          Value::object({{"type", "Ready"}, {"status", "True"}, {"lastTransitionTime", format_time(runtime.now())}});
      next.mut("status").set("conditions", Value::array({is_ready}));
      api.put(kPods, next);
    }
  }
  Value deployment() { return api.read(kDeployments, {"default", "web"}); }
};

TEST_F(DeploymentTest, RollsWithinItsBoundsAndRests) {
  api.put(kDeployments, make_deployment(4));
  start();
  run();
  EXPECT_EQ(deployment()["status"]["availableReplicas"].as_int(), 4);
  Value changed = deployment();
  changed.mut("spec").mut("template").mut("spec").mut("containers").mut(0).set("image", "b");
  changed.mut("metadata").set("generation", 2);
  api.put(kDeployments, changed);
  most = 0;
  least = 1000;
  run();
  EXPECT_EQ(api.count(kPods), 4u);
  for (const Value& pod : informers.get(kPods).list())
    EXPECT_EQ(pod["spec"]["containers"][0]["image"].as_string(), "b");
  EXPECT_LE(most, 5);
  EXPECT_GE(least, 3);
  EXPECT_EQ(api::annotation_of(deployment(), kRevision), "2");
  EXPECT_EQ(api::condition_of(deployment(), "Progressing")["reason"].as_string(), "NewReplicaSetAvailable");
  EXPECT_EQ(deployment()["status"]["unavailableReplicas"].as_int(), 0);
  const std::size_t calls = api.calls.size();
  runtime.advance(2h);
  EXPECT_EQ(api.calls.size(), calls);
}

}  // namespace
}  // namespace berth::controllers::deployment

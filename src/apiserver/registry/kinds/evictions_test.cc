// What disruption budgets say to evictions.
#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

using namespace api::resources;  // NOLINT

struct EvictionTest : RegistryValues {
  // A running pod of node n1 with label a=b.
  void make_pod(const std::string& name, bool ready = true) {
    create(kPods, R"({"metadata":{"name":")" + name +
                      R"(","labels":{"a":"b"}},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"i:1"}]}})");
    patch(call(kPods, name, "status"),
          std::string(R"({"status":{"phase":"Running","conditions":[{"type":"Ready","status":")") +
              (ready ? "True" : "False") + R"("}]}})");
  }
  void make_budget(const std::string& name, std::string_view status,
                   std::string_view spec = R"({"minAvailable":1,"selector":{"matchLabels":{"a":"b"}}})") {
    create(kPodDisruptionBudgets, R"({"metadata":{"name":")" + name + R"("},"spec":)" + std::string(spec) + "}");
    patch(call(kPodDisruptionBudgets, name, "status"), R"({"status":)" + std::string(status) + "}");
  }
  // "ok", or "429 message | cause | retry after".
  std::string evict(const std::string& name, std::string_view body = "{}") {
    const Result<Answer> answer =
        wait([&](Done done) { registry_->create(call(kPods, name, "eviction"), parsed(body), std::move(done)); });
    if (answer.ok()) return "ok";
    const Error& e = answer.error();
    std::string out = std::to_string(api::http_code(e.code)) + " " + e.message;
    if (e.details && !e.details->causes.empty()) {
      out += " | " + e.details->causes[0].reason + ": " + e.details->causes[0].message + " | " +
             std::to_string(e.details->retry_after_seconds);
    }
    return out;
  }
  Value pod(const std::string& name) { return get(call(kPods, name)); }
  Value budget(const std::string& name) { return get(call(kPodDisruptionBudgets, name)); }
};

constexpr const char* kRefused =
    "429 Cannot evict pod as it would violate the pod's disruption budget. | DisruptionBudget: The disruption budget ";

TEST_F(EvictionTest, TheBudgetPaysAndThePodIsToldWhy) {
  make_pod("p");
  make_budget("one",
              R"({"observedGeneration":1,"disruptionsAllowed":1,"currentHealthy":2,"desiredHealthy":1,"expectedPods":2,
      "conditions":[{"type":"DisruptionAllowed","status":"True","reason":"SufficientPods","message":"","lastTransitionTime":"2026-01-01T00:00:00Z","observedGeneration":1}]})");
  EXPECT_EQ(evict("p", R"({"deleteOptions":{"dryRun":["All"]}})"), "ok");
  EXPECT_FALSE(api::is_terminating(pod("p")));
  EXPECT_EQ(budget("one")["status"]["disruptionsAllowed"].as_int(), 1);
  EXPECT_EQ(evict("p"), "ok");
  EXPECT_TRUE(api::is_terminating(pod("p")));
  const Value& target = api::condition_of(pod("p"), "DisruptionTarget");
  EXPECT_EQ(target["status"].str() + " " + target["reason"].str() + " " + target["message"].str(),
            "True EvictionByEvictionAPI Eviction API: evicting");
  const Value status = budget("one")["status"];
  EXPECT_EQ(status["disruptionsAllowed"].as_int(), 0);
  EXPECT_TRUE(status["disruptedPods"].contains("p"));
  EXPECT_EQ(status["conditions"][0]["reason"].as_string(), "InsufficientPods");
  EXPECT_EQ(evict("p"), "ok");  // on its way already: it costs nothing
}

// conditions[].observedGeneration is there where the agent has set status.observedGeneration.
TEST_F(EvictionTest, TheConditionHasAGenerationWhereTheAgentSawOne) {
  for (const char* name : {"unseen", "seen"}) make_pod(name);
  patch(call(kPods, "seen", "status"), R"({"status":{"observedGeneration":1}})");
  auto generation = [&](const std::string& name) {
    EXPECT_EQ(evict(name), "ok");
    const Value evicted = pod(name);
    return api::condition_of(evicted, "DisruptionTarget")["observedGeneration"];
  };
  EXPECT_TRUE(generation("unseen").is_null());
  EXPECT_EQ(generation("seen"), pod("seen")["metadata"]["generation"]);
}

TEST_F(EvictionTest, WhatABudgetSaysWhenItRefuses) {
  make_pod("p");
  make_budget("one", R"({"observedGeneration":0,"disruptionsAllowed":5})");
  EXPECT_EQ(evict("p"), std::string(kRefused) + "one is still being processed by the server. | 10");
  const auto status = [&](std::string_view change) {
    patch(call(kPodDisruptionBudgets, "one", "status"), R"({"status":)" + std::string(change) + "}");
  };
  status(R"({"observedGeneration":1,"disruptionsAllowed":0,"currentHealthy":1,"desiredHealthy":1})");
  EXPECT_EQ(evict("p"), std::string(kRefused) + "one needs 1 healthy pods and has 1 currently | 0");
  EXPECT_EQ(evict("p", R"({"deleteOptions":{"dryRun":["All"]}})"),
            std::string(kRefused) + "one needs 1 healthy pods and has 1 currently | 0");
  status(R"({"currentHealthy":5})");
  EXPECT_EQ(evict("p"), std::string(kRefused) + "one does not allow evicting pods currently | 0");
  status(
      R"({"conditions":[{"type":"DisruptionAllowed","status":"False","reason":"SyncFailed","message":"no controllers","lastTransitionTime":"2026-01-01T00:00:00Z"}]})");
  EXPECT_EQ(evict("p"), std::string(kRefused) +
                            "one does not allow evicting pods currently because it failed sync: no controllers | 0");
  EXPECT_FALSE(api::is_terminating(pod("p")));
  EXPECT_EQ(evict("p", R"({"metadata":{"name":"q"}})"), "400 name in URL does not match name in Eviction object");
}

TEST_F(EvictionTest, UnhealthyPodsAndTheirPolicies) {
  make_pod("p", false);
  make_budget("one", R"({"observedGeneration":1,"disruptionsAllowed":0,"currentHealthy":0,"desiredHealthy":1})");
  EXPECT_EQ(evict("p"), std::string(kRefused) + "one needs 1 healthy pods and has 0 currently | 0");
  patch(call(kPodDisruptionBudgets, "one", "status"), R"({"status":{"currentHealthy":1}})");
  EXPECT_EQ(evict("p"), "ok");  // the others suffice
  make_pod("q", false);
  patch(call(kPodDisruptionBudgets, "one", "status"), R"({"status":{"currentHealthy":0}})");
  patch(call(kPodDisruptionBudgets, "one"), R"({"spec":{"unhealthyPodEvictionPolicy":"AlwaysAllow"}})");
  EXPECT_EQ(evict("q"), "ok");
  EXPECT_EQ(budget("one")["status"]["disruptedPods"].size(), 0u);
  make_pod("r");
  EXPECT_EQ(evict("r"), std::string(kRefused) + "one is still being processed by the server. | 10");
}

TEST_F(EvictionTest, NoBudgetOrTooMany) {
  make_pod("p");
  make_budget("one", R"({"observedGeneration":1,"disruptionsAllowed":5})");
  make_budget("two", R"({"observedGeneration":1,"disruptionsAllowed":5})", R"({"selector":{}})");
  EXPECT_EQ(evict("p"),
            "500 This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.");
  // A pod without labels belongs to no budget, one of another namespace's neither; one that has ended never counts.
  patch(call(kPods, "p"), R"({"metadata":{"labels":null}})");
  EXPECT_EQ(evict("p"), "ok");
  make_pod("q");
  patch(call(kPods, "q", "status"), R"({"status":{"phase":"Succeeded"}})");
  EXPECT_EQ(evict("q"), "ok");
}

}  // namespace
}  // namespace berth::apiserver::registry

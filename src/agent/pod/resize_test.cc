#include "agent/pod/resize.h"

#include <gtest/gtest.h>

#include "agent/testing/test_values.h"

namespace berth::agent {
namespace {

using testing::parsed;

Value pod_asking(const char* cpu, const char* memory) {
  Value resources = Value::object({{"requests", Value::object({{"cpu", cpu}, {"memory", memory}})}});
  Value container = Value::object({{"name", "c"}, {"resources", resources}});
  return Value::object({{"metadata", Value::object({{"generation", 2}})},
                        {"spec", Value::object({{"containers", Value::array({container})}})}});
}

TEST(Resize, TheNodeSaysNoForNowOrForGood) {
  const api::ResourceList node = api::resource_list(parsed(R"({"cpu":"4","memory":"4Gi"})"));
  const api::ResourceList used = api::resource_list(parsed(R"({"cpu":"2500m","memory":"1Gi"})"));
  EXPECT_FALSE(refuse_resize(pod_asking("1500m", "3Gi"), node, used));
  auto later = refuse_resize(pod_asking("1501m", "1Gi"), node, used);
  ASSERT_TRUE(later);
  EXPECT_EQ(later->reason, "Deferred");
  EXPECT_EQ(later->message, "Node didn't have enough resource: cpu, requested: 1501, used: 2500, capacity: 4000");
  auto never = refuse_resize(pod_asking("5", "5Gi"), node, used);
  ASSERT_TRUE(never);
  EXPECT_EQ(never->reason, "Infeasible");
  EXPECT_EQ(never->message, "Node didn't have enough capacity: memory, requested: 5368709120, capacity: 4294967296");
}

TEST(Resize, RestartsWhereThePolicyOfWhatChangesSaysSo) {
  Value container = parsed(R"({"name":"c","resizePolicy":[{"resourceName":"cpu","restartPolicy":"NotRequired"},
                                                          {"resourceName":"memory","restartPolicy":"RestartContainer"}]})");
  Value small = parsed(R"({"requests":{"cpu":"100m","memory":"64Mi"}})"),
        fast = parsed(R"({"requests":{"cpu":"200m","memory":"64Mi"}})");
  Value large = parsed(R"({"requests":{"cpu":"0.1","memory":"65Mi"}})");
  EXPECT_FALSE(resize_restarts(container, small, fast));
  EXPECT_TRUE(resize_restarts(container, small, large));
  EXPECT_FALSE(resize_restarts(parsed(R"({"name":"c"})"), small, large));
}

TEST(Resize, AGrantTakesTheSpecsPlace) {
  Value pod = pod_asking("1", "1Gi");
  Value grant = grant_of(pod_asking("2", "1Gi")["spec"]);
  Value granted = with_grant(pod, grant);
  EXPECT_EQ(granted["spec"]["containers"][0]["resources"]["requests"]["cpu"], "2");
  EXPECT_EQ(grant_of(granted["spec"]), grant);
  EXPECT_EQ(
      resize_text("started", pod, grant),
      R"(Pod resize started: {"containers":[{"name":"c","resources":{"requests":{"cpu":"2","memory":"1Gi"}}}],"generation":2})");
}

TEST(Resize, NoLimitIsTheLargest) {
  Limits bounded{2000, 100, 1 << 20, 0}, free{0, 200, 2 << 20, 0};
  Limits both = larger(bounded, free);
  EXPECT_EQ(both.cpu_milli_limit, 0);
  EXPECT_EQ(both.cpu_milli_request, 200);
  EXPECT_EQ(both.memory_bytes, 2 << 20);
}

}  // namespace
}  // namespace berth::agent

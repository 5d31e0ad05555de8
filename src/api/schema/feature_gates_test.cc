#include "api/schema/feature_gates.h"

#include <gtest/gtest.h>

namespace berth::api::schema {
namespace {

Value parsed(std::string_view text) { return json::parse(text).value(); }
const Kind& set_kind() { return *builtin().find_kind("apps/v1", "StatefulSet"); }
Value set_with(std::string_view rolling) {
  return parsed(R"({"spec":{"updateStrategy":{"type":"RollingUpdate","rollingUpdate":)" + std::string(rolling) + "}}}");
}

TEST(FeatureGates, FieldsOfGatesThatAreOffAreDropped) {
  Value set = set_with(R"({"partition":1,"maxUnavailable":2})");
  drop_disabled(set_kind(), FeatureGates(), Value(), set);
  EXPECT_EQ(set, set_with(R"({"partition":1})"));
}

TEST(FeatureGates, WhatIsInUseIsKept) {
  Value set = set_with(R"({"maxUnavailable":2})");
  drop_disabled(set_kind(), FeatureGates(), set_with(R"({"maxUnavailable":1})"), set);
  EXPECT_EQ(set, set_with(R"({"maxUnavailable":2})"));
}

TEST(FeatureGates, AnObjectOfSuchFieldsAloneGoesWithThem) {
  Value set = set_with(R"({"maxUnavailable":2})");
  drop_disabled(set_kind(), FeatureGates(), set_with("{}"), set);
  EXPECT_EQ(set, parsed(R"({"spec":{"updateStrategy":{"type":"RollingUpdate"}}})"));
  set = set_with("{}");
  drop_disabled(set_kind(), FeatureGates(), Value(), set);
  EXPECT_EQ(set, set_with("{}"));
}

TEST(FeatureGates, AGateThatIsOnKeepsItsFields) {
  FeatureGates gates;
  ASSERT_TRUE(gates.set("MaxUnavailableStatefulSet=true").ok());
  Value set = set_with(R"({"maxUnavailable":2})");
  drop_disabled(set_kind(), gates, Value(), set);
  EXPECT_EQ(set, set_with(R"({"maxUnavailable":2})"));
}

TEST(FeatureGates, ListsAreReachedWhereverTheyAre) {
  const Kind& pod = *builtin().find_kind("v1", "Pod");
  auto volumes = [](std::string_view source) {
    return parsed(R"({"spec":{"volumes":[{"name":"a","emptyDir":{}},{"name":"b","projected":{"sources":[)" +
                  std::string(source) + "]}}]}}");
  };
  Value object = volumes(R"({"clusterTrustBundle":{"path":"p"},"secret":{"name":"s"}})");
  drop_disabled(pod, FeatureGates(), Value(), object);
  EXPECT_EQ(object, volumes(R"({"secret":{"name":"s"}})"));
}

TEST(FeatureGates, OnlyWhatIsObeyedCanBeSet) {
  FeatureGates gates;
  EXPECT_TRUE(gates.set("HPAScaleToZero=false,APIServerTracing=true").ok());
  EXPECT_EQ(
      gates.set("HPAScaleToZero=true").error().message,
      "--feature-gates: HPAScaleToZero is always off in Berth; these can be set: ContainerStopSignals, MaxUnavailableStatefulSet");
  EXPECT_EQ(gates.set("Bogus=true").error().message, "--feature-gates: Kubernetes 1.36 has no feature gate \"Bogus\"");
  EXPECT_EQ(gates.set("MaxUnavailableStatefulSet").error().message,
            "--feature-gates: expected NAME=true or NAME=false, found \"MaxUnavailableStatefulSet\"");
  EXPECT_FALSE(gates.enabled("MaxUnavailableStatefulSet"));
}

}  // namespace
}  // namespace berth::api::schema

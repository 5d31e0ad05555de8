#include "api/object.h"

#include <gtest/gtest.h>

namespace berth::api {
namespace {

Value parsed(std::string_view text) { return json::parse(text).value(); }
Time at(std::string_view text) { return parse_time(text).value(); }

TEST(Object, group_versions_read_and_print) {
  EXPECT_EQ(GroupVersion::parse("v1"), (GroupVersion{"", "v1"}));
  EXPECT_EQ(GroupVersion::parse("apps/v1"), (GroupVersion{"apps", "v1"}));
  EXPECT_EQ((GroupVersion{"apps", "v1"}).to_string(), "apps/v1");
  EXPECT_EQ((GroupVersion{"", "v1"}).to_string(), "v1");
  EXPECT_EQ((Resource{"apps", "v1", "deployments"}).group_resource(), "deployments.apps");
}

TEST(Object, the_controller_is_the_reference_that_says_so) {
  const Value pod = parsed(R"({"metadata":{"ownerReferences":[{"uid":"a"},{"uid":"b","controller":true}]}})");
  EXPECT_EQ(controller_of(pod)["uid"].as_string(), "b");
  EXPECT_TRUE(is_controlled_by(pod, "b"));
  EXPECT_FALSE(is_controlled_by(pod, "a"));
  EXPECT_FALSE(is_controlled_by(parsed("{}"), ""));
  const Value reference =
      controller_reference(parsed(R"({"metadata":{"name":"web","uid":"u"}})"), "apps/v1", "StatefulSet");
  EXPECT_EQ(
      json::encode(reference),
      R"({"apiVersion":"apps/v1","blockOwnerDeletion":true,"controller":true,"kind":"StatefulSet","name":"web","uid":"u"})");
}

TEST(Object, a_condition_keeps_its_transition_time_until_its_status_changes) {
  Value conditions;
  EXPECT_TRUE(set_condition(conditions, "Ready", "False", "Wait", "", at("2026-01-01T00:00:00Z")));
  EXPECT_FALSE(set_condition(conditions, "Ready", "False", "Wait", "", at("2026-01-01T00:00:09Z")));
  EXPECT_TRUE(set_condition(conditions, "Ready", "False", "Other", "text", at("2026-01-01T00:00:09Z")));
  EXPECT_EQ(conditions[0]["lastTransitionTime"].as_string(), "2026-01-01T00:00:00Z");
  EXPECT_TRUE(set_condition(conditions, "Ready", "True", "", "", at("2026-01-01T00:00:09Z")));
  EXPECT_EQ(conditions[0]["lastTransitionTime"].as_string(), "2026-01-01T00:00:09Z");
  EXPECT_FALSE(conditions[0].contains("reason"));
  EXPECT_FALSE(conditions[0].contains("message"));
  EXPECT_TRUE(set_condition(conditions, "Other", "True", "", "", at("2026-01-01T00:00:09Z")));
  EXPECT_EQ(conditions.size(), 2u);
  const Value pod = Value::object({{"status", Value::object({{"conditions", conditions}, {"phase", "Failed"}})}});
  EXPECT_TRUE(is_pod_ready(pod));
  EXPECT_TRUE(is_pod_terminal(pod));
  EXPECT_TRUE(condition_of(pod, "None").is_null());
}

}  // namespace
}  // namespace berth::api

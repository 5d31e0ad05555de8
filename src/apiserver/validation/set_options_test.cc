#include "api/set_options.h"

#include <gtest/gtest.h>

#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

const api::schema::Kind& set_kind() { return *api::schema::builtin().find_kind("apps/v1", "StatefulSet"); }

Value set_with(std::string_view annotation = {}, std::string_view value = {}) {
  Value set =
      json::parse(
          R"({"metadata":{"name":"db","namespace":"default"},"spec":{"selector":{"matchLabels":{"a":"b"}},"serviceName":"db",
      "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}},
      "volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{"accessModes":["ReadWriteOnce"],"storageClassName":"s",
        "resources":{"requests":{"storage":"1Gi"}}}}]}})")
          .value();
  if (!annotation.empty()) set.mut("metadata").mut("annotations").set(annotation, value);
  api::schema::apply_defaults(set_kind(), set);
  return set;
}

std::string causes_of(const std::vector<Cause>& causes) {
  std::vector<std::string> lines;
  for (const Cause& cause : causes) lines.push_back(cause.field + ": " + cause.message);
  return join(lines, "\n");
}
std::string created(std::string_view annotation, std::string_view value) {
  return causes_of(validate_create(set_kind(), set_with(annotation, value)));
}

TEST(SetOptions, ReadsRangesInAnyOrder) {
  const auto ranges = api::parse_ordinals(" 4-6,1, 5-8 ,2");
  ASSERT_TRUE(ranges.ok());
  ASSERT_EQ(ranges->size(), 2u);
  EXPECT_EQ((*ranges)[0].first, 1);
  EXPECT_EQ((*ranges)[0].last, 2);
  EXPECT_EQ((*ranges)[1].last, 8);
  for (const char* bad : {"a", "1-", "-1", "3-1", "1,,2", "1-2-3", "99999999999", "+1"})
    EXPECT_FALSE(api::parse_ordinals(bad).ok()) << bad;
  EXPECT_EQ(api::format_ordinals({0, 1, 2, 5, 7, 8}), "0-2,5,7-8");
  EXPECT_EQ(api::format_ordinals({}), "");
}

TEST(SetOptions, WhatCannotBeReadIsRefusedByName) {
  EXPECT_EQ(created(api::kSkipOrdinals, "1,4-6"), "");
  EXPECT_EQ(
      created(api::kSkipOrdinals, "1,x"),
      "metadata.annotations[berth.dev/skip-ordinals]: Invalid value: \"1,x\": must be ordinals and ranges of them, separated by "
      "commas (e.g. \"1,4-6\")");
  EXPECT_EQ(created(api::kOrderedTeardown, "yes"),
            "metadata.annotations[berth.dev/ordered-teardown]: Invalid value: \"yes\": must be \"true\" or \"false\"");
  EXPECT_EQ(created(api::kUpdateStrategy, "Recreate"), "");
  EXPECT_NE(created(api::kUpdateStrategy, "Blue"), "");
}

TEST(SetOptions, HowManyMayBeMissing) {
  for (const char* good : {"1", "2", "2147483647", "1%", "40%", "100%"})
    EXPECT_EQ(created(api::kMaxUnavailable, good), "") << good;
  for (const char* bad :
       {"0", "-1", "+2", "2147483648", "99999999999999999999", "0%", "101%", "40 %", "%", "two", "1.5", "1e3"}) {
    EXPECT_EQ(created(api::kMaxUnavailable, bad),
              "metadata.annotations[berth.dev/max-unavailable]: Invalid value: " + quoted(bad) +
                  ": must be a number of members from 1 on, or a percentage of them from 1% to 100% "
                  "(e.g. \"2\" or \"40%\")");
  }
  EXPECT_EQ(api::set_options_of(set_with(api::kMaxUnavailable, "3")).max_unavailable, Value(3));
  EXPECT_EQ(api::set_options_of(set_with(api::kMaxUnavailable, "40%")).max_unavailable, Value("40%"));
  EXPECT_TRUE(api::set_options_of(set_with(api::kMaxUnavailable, "0")).max_unavailable.is_null())
      << "stored by something else: as if absent";
}

TEST(SetOptions, OverridesAreCheckedAgainstTheSchemaAndTheTemplate) {
  const std::string at = "metadata.annotations[berth.dev/ordinal-overrides]";
  EXPECT_EQ(
      created(
          api::kOrdinalOverrides,
          R"({"1-2": {"nodeSelector": {"a": "b"}, "containers": [{"name": "c", "resources": {"limits": {"cpu": 2}}}]}})"),
      "");
  EXPECT_EQ(created(api::kOrdinalOverrides, "\"0\":\n  containers:\n  - {name: c, env: [{name: A, value: x}]}\n"), "")
      << "YAML too";
  EXPECT_EQ(created(api::kOrdinalOverrides, R"({"1": {"containers": [{"name": "d", "image": "x"}]}})"),
            at + "[1].containers[0].name: Not found: \"d\"");
  EXPECT_NE(created(api::kOrdinalOverrides, R"({"x": {}})").find("a key must be an ordinal"), std::string::npos);
  EXPECT_NE(created(api::kOrdinalOverrides, R"({"1": {"hostNetwork": true}})").find("\"hostNetwork\" cannot differ"),
            std::string::npos);
  EXPECT_NE(created(api::kOrdinalOverrides, R"({"1": {"containers": [{"name": "c", "command": []}]}})")
                .find("\"command\" of a container"),
            std::string::npos);
  EXPECT_NE(created(api::kOrdinalOverrides, R"({"1": {"containers": [{"name": "c", "image": 7}]}})")
                .find("cannot unmarshal number"),
            std::string::npos);
  EXPECT_NE(
      created(
          api::kOrdinalOverrides,
          R"({"1": {"containers": [{"name": "c", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}]}})")
          .find(at + "[1]: spec.template.spec.containers[0].resources.requests"),
      std::string::npos);
  EXPECT_NE(created(api::kOrdinalOverrides, "{").find("must be JSON or YAML"), std::string::npos);
}

TEST(SetOptions, ClaimTemplatesMayChangeWhereAskedFor) {
  const Value plain = set_with(), before = set_with(api::kClaimTemplateUpdates, "true");
  auto changed = [](Value set, auto change) {
    change(set.mut("spec").mut("volumeClaimTemplates"));
    return set;
  };
  auto resize = [](std::string_view size) {
    return [size](Value& templates) {
      templates.mut(0).mut("spec").mut("resources").mut("requests").set("storage", size);
    };
  };
  EXPECT_NE(causes_of(validate_update(set_kind(), plain, changed(plain, resize("2Gi")), ""))
                .find("updates to statefulset spec for fields other than"),
            std::string::npos);
  EXPECT_EQ(causes_of(validate_update(set_kind(), before, changed(before, resize("2Gi")), "")), "");
  EXPECT_EQ(
      causes_of(validate_update(set_kind(), before, changed(before, resize("512Mi")), "")),
      "spec.volumeClaimTemplates[0].spec.resources.requests.storage: Invalid value: \"512Mi\": must not be less than 1Gi: volumes grow, "
      "they do not shrink");
  EXPECT_EQ(
      causes_of(validate_update(
          set_kind(), before, changed(before, [](Value& all) { all.mut(0).mut("spec").set("storageClassName", "t"); }),
          "")),
      "spec.volumeClaimTemplates[0].spec: Forbidden: only resources.requests.storage and volumeAttributesClassName may change: claims that "
      "exist cannot follow");
  EXPECT_EQ(causes_of(validate_update(set_kind(), before,
                                      changed(before,
                                              [](Value& all) {
                                                all.push(all[0]);
                                                all.mut(1).mut("metadata").set("name", "logs");
                                              }),
                                      "")),
            "");
  EXPECT_EQ(causes_of(validate_update(set_kind(), before,
                                      changed(before, [](Value& all) { all.erase(std::size_t{0}); }), "")),
            "");
}

TEST(SetOptions, ALongNameThatIsThereMayStillChange) {
  Value before = set_with();
  before.mut("metadata").set("name", std::string(60, 'a'));
  Value after = before;
  after.mut("spec").set("replicas", 3);
  EXPECT_EQ(causes_of(validate_update(set_kind(), before, after, "")), "");
  EXPECT_NE(causes_of(validate_create(set_kind(), before)), "");
}

}  // namespace
}  // namespace berth::apiserver::validation

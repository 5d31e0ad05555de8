// Rules of single kinds that a replay of recorded creates (tools/replay) does not reach: updates and options.
#include <gtest/gtest.h>

#include "api/schema/schema.h"
#include "apiserver/validation/validation.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

std::string line_of(const Cause& cause) { return cause.field + " | " + cause.reason + " | " + cause.message; }

Value stateful_set() {
  Value bases = json::parse(read_file(BERTH_SOURCE_DIR "/tests/data/recorded/validation-base.json").value()).value();
  Value set = bases["StatefulSet"];
  set.mut("metadata").set("namespace", "default");
  api::schema::apply_defaults(*api::schema::builtin().find_kind("apps/v1", "StatefulSet"), set);
  return set;
}

TEST(Validation, StatefulSetUpdatesAreLimited) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("apps/v1", "StatefulSet");
  Value before = stateful_set(), after = before;
  after.mut("spec").set("replicas", 3);
  after.mut("spec").mut("template").mut("spec").mut("containers").mut(0).set("image", "nginx:9");
  EXPECT_TRUE(validate_update(kind, before, after, "").empty());
  after.mut("spec").set("serviceName", "other");
  std::vector<Cause> causes = validate_update(kind, before, after, "");
  ASSERT_EQ(causes.size(), 1u);
  EXPECT_EQ(
      line_of(causes[0]),
      "spec | FieldValueForbidden | Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
      "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

// The causes of a daemon set whose spec is otherwise fine.
std::string daemon_set_causes(std::string_view strategy, std::string_view more = "{}") {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("apps/v1", "DaemonSet");
  Value set =
      json::parse(R"({"metadata":{"name":"d","namespace":"default"},"spec":{"selector":{"matchLabels":{"a":"b"}},
      "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}})")
          .value();
  set.mut("spec").set("updateStrategy", json::parse(strategy).value());
  const Value extra = json::parse(more).value();
  for (auto [key, value] : extra.entries()) set.mut("spec").set(key, value);
  api::schema::apply_defaults(kind, set);
  std::vector<std::string> lines;
  for (const Cause& cause : validate_create(kind, set)) lines.push_back(line_of(cause));
  return join(lines, "\n");
}

TEST(Validation, DaemonSetStrategies) {
  const std::string at = "spec.updateStrategy.rollingUpdate";
  EXPECT_EQ(daemon_set_causes("{}"), "");
  EXPECT_EQ(daemon_set_causes(R"({"type":"OnDelete"})"), "");
  EXPECT_EQ(daemon_set_causes(R"({"rollingUpdate":{"maxUnavailable":0,"maxSurge":"30%"}})"), "");
  EXPECT_EQ(daemon_set_causes(R"({"rollingUpdate":{"maxUnavailable":0}})"),
            at + ".maxUnavailable | FieldValueRequired | Required value: cannot be 0 when maxSurge is 0");
  EXPECT_EQ(daemon_set_causes(R"({"rollingUpdate":{"maxSurge":1}})"),
            at + ".maxSurge | FieldValueInvalid | Invalid value: 1: may not be set when maxUnavailable is non-zero");
  EXPECT_EQ(daemon_set_causes(R"({"rollingUpdate":{"maxUnavailable":"101%"}})"),
            at + ".maxUnavailable | FieldValueInvalid | Invalid value: \"101%\": must not be greater than 100%");
  EXPECT_EQ(
      daemon_set_causes(R"({"type":"Sometimes"})"),
      "spec.updateStrategy | FieldValueNotSupported | Unsupported value: {\"Type\":\"Sometimes\",\"RollingUpdate\":null}: supported values: \"RollingUpdate\", \"OnDelete\"");
}

TEST(Validation, DaemonSetSpec) {
  EXPECT_EQ(
      daemon_set_causes("{}", R"({"selector":{"matchLabels":{"a":"c"}}})"),
      "spec.template.metadata.labels | FieldValueInvalid | Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`");
  EXPECT_EQ(daemon_set_causes("{}", R"({"minReadySeconds":-1,"revisionHistoryLimit":-2})"),
            "spec.minReadySeconds | FieldValueInvalid | Invalid value: -1: must be greater than or equal to 0\n"
            "spec.revisionHistoryLimit | FieldValueInvalid | Invalid value: -2: must be greater than or equal to 0");
  EXPECT_EQ(
      daemon_set_causes(
          "{}",
          R"({"template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i:1"}]}}})"),
      "spec.template.spec.restartPolicy | FieldValueNotSupported | Unsupported value: \"Never\": supported values: \"Always\"");
}

TEST(Validation, ReplicationControllers) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("v1", "ReplicationController");
  auto causes = [&](std::string_view spec) {
    Value rc =
        json::parse(R"({"metadata":{"name":"r","namespace":"default"},"spec":)" + std::string(spec) + "}").value();
    api::schema::apply_defaults(kind, rc);
    std::vector<std::string> lines;
    for (const Cause& cause : validate_create(kind, rc)) lines.push_back(line_of(cause));
    return join(lines, "\n");
  };
  const std::string pod_template =
      R"("template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}})";
  EXPECT_EQ(causes("{" + pod_template + "}"), "");
  EXPECT_EQ(causes("{}"),
            "spec.selector | FieldValueRequired | Required value\nspec.template | FieldValueRequired | Required value");
  EXPECT_EQ(
      causes(R"({"replicas":-1,"selector":{"a":"c"},)" + pod_template + "}"),
      "spec.replicas | FieldValueInvalid | Invalid value: -1: must be greater than or equal to 0\n"
      "spec.template.metadata.labels | FieldValueInvalid | Invalid value: {\"a\":\"b\"}: `selector` does not match template `labels`");
}

TEST(Validation, PodUpdatesAreLimited) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("v1", "Pod");
  Value before =
      json::parse(R"({"metadata":{"name":"p","namespace":"d"},"spec":{"containers":[{"name":"c","image":"a"}]}})")
          .value();
  api::schema::apply_defaults(kind, before);
  Value image = before;
  image.mut("spec").mut("containers").mut(0).set("image", "b");
  EXPECT_TRUE(validate_update(kind, before, image, "").empty());
  Value node = before;
  node.mut("spec").set("hostname", "x");
  const std::vector<Cause> refused = validate_update(kind, before, node, "");
  ASSERT_EQ(refused.size(), 1u);
  // The difference is of the internal types.
  EXPECT_NE(
      refused[0].message.find(
          "\n  \"ImagePullSecrets\": null,\n- \"Hostname\": \"\",\n+ \"Hostname\": \"x\",\n  \"Subdomain\": \"\",\n"),
      std::string::npos)
      << refused[0].message;
  Value longer = before;
  longer.mut("spec").set(
      "tolerations",
      json::parse(R"([{"key":"k","operator":"Exists","effect":"NoExecute","tolerationSeconds":3}])").value());
  EXPECT_TRUE(validate_update(kind, before, longer, "").empty());
  Value shorter = longer;
  shorter.mut("spec").mut("tolerations").mut(0).set("tolerationSeconds", 1);
  EXPECT_TRUE(validate_update(kind, longer, shorter, "").empty());
  EXPECT_EQ(validate_update(kind, longer, before, "")[0].message,
            "Forbidden: existing toleration can not be modified except its tolerationSeconds");
  Value gated = before;
  gated.mut("spec").set("schedulingGates", json::parse(R"([{"name":"a.b/g"}])").value());
  EXPECT_EQ(validate_update(kind, before, gated, "")[0].message,
            "Forbidden: only deletion is allowed, but found new scheduling gate 'a.b/g'");
  EXPECT_TRUE(validate_update(kind, gated, before, "").empty());
  Value narrowed = gated;
  narrowed.mut("spec").set("nodeSelector", Value::object({{"a", "b"}}));
  EXPECT_TRUE(validate_update(kind, gated, narrowed, "").empty());
  EXPECT_EQ(validate_update(kind, narrowed, gated, "")[0].message,
            "Invalid value: null: only additions to spec.nodeSelector are allowed (no mutations or deletions)");
  Value more = before;
  Value second = before["spec"]["containers"][0];
  second.set("name", "d");
  more.mut("spec").mut("containers").push(second);
  EXPECT_EQ(validate_update(kind, before, more, "")[0].message,
            "Forbidden: pod updates may not add or remove containers");
}

TEST(Validation, FrozenConfigStaysFrozen) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("v1", "ConfigMap");
  Value before = json::parse(R"({"metadata":{"name":"c","namespace":"d"},"immutable":true,"data":{"a":"b"}})").value();
  Value after = before;
  after.mut("data").set("a", "c");
  ASSERT_EQ(validate_update(kind, before, after, "").size(), 1u);
  EXPECT_EQ(validate_update(kind, before, after, "")[0].field, "data");
}

TEST(Validation, ClaimsGrowAndNeverShrink) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("v1", "PersistentVolumeClaim");
  auto claim = [](const char* size) {
    return json::
        parse(std::string(
                  R"({"metadata":{"name":"c","namespace":"d"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":")") +
              size + R"("}}},"status":{"phase":"Bound","capacity":{"storage":"2Gi"}}})")
            .value();
  };
  EXPECT_TRUE(validate_update(kind, claim("2Gi"), claim("3Gi"), "").empty());
  EXPECT_EQ(validate_update(kind, claim("2Gi"), claim("1Gi"), "")[0].message,
            "Forbidden: field can not be less than status.capacity");
}

}  // namespace
}  // namespace berth::apiserver::validation

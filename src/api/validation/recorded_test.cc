// Replays what a real Kubernetes (1.20) refused: the same causes in the same order, but for what 1.36 words differently.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "api/schema/schema.h"
#include "api/validation/validation.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::validation {
namespace {

// "spec.containers[0].name" -> steps; numbers are indexes.
void put(Value& object, std::string_view path, const Value& to) {
  std::vector<std::string> steps;
  for (std::string_view part : split(path, '.')) {
    Cut index = cut(part, "[");
    steps.emplace_back(index.before);
    if (index.found) steps.emplace_back(index.after.substr(0, index.after.size() - 1));
  }
  Value* at = &object;
  for (std::size_t i = 0; i + 1 < steps.size(); ++i) {
    at = at->is_array() ? &at->mut(static_cast<std::size_t>(parse_int(steps[i]).value())) : &at->mut(steps[i]);
  }
  if (to.as_string() == "<removed>") {
    at->erase(steps.back());
  } else {
    at->set(steps.back(), to);
  }
}

std::string line_of(const Cause& cause) { return cause.field + " | " + cause.reason + " | " + cause.message; }

// What 1.36 says where 1.20 said something else, by "Kind field=value". Each is a change of upstream's in between.
const std::map<std::string, std::vector<std::string>>& newer_words() {
  static const std::map<std::string, std::vector<std::string>> kWords = {
      // 1.34: names of variables may be any printable text.
      {"Pod spec.containers[0].env=[{\"name\":\"1-bad name\"}]", {}},
      // 1.24: a grpc port and httpGet.path have defaults; IPs are worded alike everywhere.
      {"Pod spec.hostAliases=[{\"ip\":\"x\"}]",
       {"spec.hostAliases[0].ip | FieldValueInvalid | Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"}},
      {"Pod spec.dnsConfig={\"nameservers\":[\"bad\"]}",
       {"spec.dnsConfig.nameservers[0] | FieldValueInvalid | Invalid value: \"bad\": must be a valid IP address, (e.g. 10.9.8.7 or "
        "2001:db8::ffff)"}},
      // Berth's own: names that would make no pods are refused.
      {"StatefulSet metadata.name=\"x.y\"", {"metadata.name | FieldValueInvalid | Invalid value: \"x.y\": must not contain dots"}},
      // 1.33: a subdomain where a label is wanted is told apart from other text.
      {"Namespace metadata.name=\"a.b\"", {"metadata.name | FieldValueInvalid | Invalid value: \"a.b\": must not contain dots"}},
      // 1.34: lengths are counted in bytes.
      {"Pod metadata.labels={\"" + std::string(64, 'a') + "\":\"x\"}",
       {"metadata.labels | FieldValueInvalid | Invalid value: \"" + std::string(64, 'a') + "\": name part must be no more than 63 bytes"}},
      {"StatefulSet metadata.name=\"" + std::string(64, 'a') + "\"",
       {"metadata.name | FieldValueInvalid | Invalid value: \"" + std::string(64, 'a') + "\": must be no more than 52 characters: pods carry the "
        "set's name with a revision's hash as a label, which has at most 63"}},
      // 1.22: another version of the parser of schedules.
      {"CronJob spec.schedule=\"x\"", {"spec.schedule | FieldValueInvalid | Invalid value: \"x\": expected exactly 5 fields, found 1: [x]"}},
      // 1.22: a fourth access mode.
      {"PersistentVolumeClaim spec.accessModes=[\"X\"]",
       {"spec.accessModes | FieldValueNotSupported | Unsupported value: \"X\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", "
        "\"ReadWriteOnce\", \"ReadWriteOncePod\""}},
      // 1.21: every namespace carries its name as a label, which is then wrong too.
      {"Namespace metadata.name=\"-x\"",
       {"metadata.name | FieldValueInvalid | Invalid value: \"-x\": a lowercase RFC 1123 label must consist of lower case alphanumeric "
        "characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')",
        "metadata.labels | FieldValueInvalid | Invalid value: \"-x\": a valid label must be an empty string or consist of alphanumeric "
        "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', "
        "regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"}},
      // Go prints a struct with its addresses; the object is shown as JSON instead.
      {"Pod spec.containers[0].securityContext={\"allowPrivilegeEscalation\":false,\"privileged\":true}",
       {"spec.containers[0].securityContext | FieldValueInvalid | Invalid value: {\"allowPrivilegeEscalation\":false,\"privileged\":true}: "
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"}},
  };
  return kWords;
}

// What the registry gives a job before it is looked at.
void identify(Value& job) {
  job.mut("metadata").set("uid", "u");
  Value labels = Value::object();
  for (const char* prefix : {"", "batch.kubernetes.io/"}) {
    labels.set(std::string(prefix) + "job-name", job["metadata"]["name"]).set(std::string(prefix) + "controller-uid", "u");
  }
  job.mut("spec").set("selector", json::parse(R"({"matchLabels":{"batch.kubernetes.io/controller-uid":"u"}})").value());
  job.mut("spec").mut("template").mut("metadata").set("labels", labels);
}

TEST(RecordedValidation, SameCauses) {
  Value bases = json::parse(read_file(BERTH_SOURCE_DIR "/tests/data/recorded/validation-base.json").value()).value();
  std::string lines = read_file(BERTH_SOURCE_DIR "/tests/data/recorded/validation.jsonl").value();
  const std::set<std::string> elsewhere = {"CustomResourceDefinition", "RoleBinding", "ClusterRole", "MutatingWebhookConfiguration"};
  int replayed = 0;
  for (std::string_view line : split(lines, '\n')) {
    if (trim(line).empty()) continue;
    Value row = json::parse(line).value();
    std::string base_name = row["kind"].str();
    int code = static_cast<int>(row["code"].as_int());
    // 400 is the decoder's, 403 admission's.
    if (elsewhere.contains(base_name) || code == 400 || code == 403) continue;
    Value object = bases[base_name];
    put(object, row["set"].as_string(), row["to"]);
    if (object["kind"].as_string() == "PodDisruptionBudget") object.set("apiVersion", "policy/v1");
    if (object["kind"].as_string() == "CronJob") object.set("apiVersion", "batch/v1");
    const schema::Kind* kind = schema::builtin().find_kind(object["apiVersion"].as_string(), object["kind"].as_string());
    ASSERT_NE(kind, nullptr) << base_name;
    if (kind->namespaced) object.mut("metadata").set("namespace", "default");
    if (base_name == "Job") identify(object);
    schema::DecodeProblems problems;
    Result<Value> decoded = schema::decode(*kind, object, &problems);
    std::string id = base_name + " " + row["set"].str() + "=" + json::encode(row["to"]);
    if (!decoded.ok()) {
      ADD_FAILURE() << id << ": not decoded: " << decoded.error().message;
      continue;
    }
    schema::apply_defaults(*kind, *decoded);
    std::vector<std::string> expected, found;
    for (const Value& cause : row["response"]["details"]["causes"]) {
      if (code == 422) expected.push_back(cause["field"].str() + " | " + cause["reason"].str() + " | " + cause["message"].str());
    }
    if (auto newer = newer_words().find(id); newer != newer_words().end()) expected = newer->second;
    for (const Cause& cause : validate_create(*kind, *decoded)) found.push_back(line_of(cause));
    EXPECT_EQ(join(found, "\n"), join(expected, "\n")) << id;
    ++replayed;
  }
  EXPECT_GT(replayed, 80);
}

Value stateful_set() {
  Value bases = json::parse(read_file(BERTH_SOURCE_DIR "/tests/data/recorded/validation-base.json").value()).value();
  Value set = bases["StatefulSet"];
  set.mut("metadata").set("namespace", "default");
  schema::apply_defaults(*schema::builtin().find_kind("apps/v1", "StatefulSet"), set);
  return set;
}

TEST(Validation, StatefulSetUpdatesAreLimited) {
  const schema::Kind& kind = *schema::builtin().find_kind("apps/v1", "StatefulSet");
  Value before = stateful_set(), after = before;
  after.mut("spec").set("replicas", 3);
  after.mut("spec").mut("template").mut("spec").mut("containers").mut(0).set("image", "nginx:9");
  EXPECT_TRUE(validate_update(kind, before, after, "").empty());
  after.mut("spec").set("serviceName", "other");
  std::vector<Cause> causes = validate_update(kind, before, after, "");
  ASSERT_EQ(causes.size(), 1u);
  EXPECT_EQ(line_of(causes[0]),
            "spec | FieldValueForbidden | Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
            "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
}

// The causes of a daemon set whose spec is otherwise fine.
std::string daemon_set_causes(std::string_view strategy, std::string_view more = "{}") {
  const schema::Kind& kind = *schema::builtin().find_kind("apps/v1", "DaemonSet");
  Value set = json::parse(R"({"metadata":{"name":"d","namespace":"default"},"spec":{"selector":{"matchLabels":{"a":"b"}},
      "template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}}})").value();
  set.mut("spec").set("updateStrategy", json::parse(strategy).value());
  const Value extra = json::parse(more).value();
  for (auto [key, value] : extra.entries()) set.mut("spec").set(key, value);
  schema::apply_defaults(kind, set);
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
            at + ".maxSurge | FieldValueInvalid | Invalid value: intstr.IntOrString{Type:0, IntVal:1, StrVal:\"\"}: may not be set when maxUnavailable is non-zero");
  EXPECT_EQ(daemon_set_causes(R"({"rollingUpdate":{"maxUnavailable":"101%"}})"),
            at + ".maxUnavailable | FieldValueInvalid | Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:\"101%\"}: must not be greater than 100%");
  EXPECT_EQ(daemon_set_causes(R"({"type":"Sometimes"})"),
            "spec.updateStrategy | FieldValueNotSupported | Unsupported value: apps.DaemonSetUpdateStrategy{Type:\"Sometimes\", "
            "RollingUpdate:(*apps.RollingUpdateDaemonSet)(nil)}: supported values: \"RollingUpdate\", \"OnDelete\"");
}

TEST(Validation, DaemonSetSpec) {
  EXPECT_EQ(daemon_set_causes("{}", R"({"selector":{"matchLabels":{"a":"c"}}})"),
            "spec.template.metadata.labels | FieldValueInvalid | Invalid value: map[string]string{\"a\":\"b\"}: `selector` does not match template `labels`");
  EXPECT_EQ(daemon_set_causes("{}", R"({"minReadySeconds":-1,"revisionHistoryLimit":-2})"),
            "spec.minReadySeconds | FieldValueInvalid | Invalid value: -1: must be greater than or equal to 0\n"
            "spec.revisionHistoryLimit | FieldValueInvalid | Invalid value: -2: must be greater than or equal to 0");
  EXPECT_EQ(daemon_set_causes("{}", R"({"template":{"metadata":{"labels":{"a":"b"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i:1"}]}}})"),
            "spec.template.spec.restartPolicy | FieldValueNotSupported | Unsupported value: \"Never\": supported values: \"Always\"");
}

TEST(Validation, ReplicationControllers) {
  const schema::Kind& kind = *schema::builtin().find_kind("v1", "ReplicationController");
  auto causes = [&](std::string_view spec) {
    Value rc = json::parse(R"({"metadata":{"name":"r","namespace":"default"},"spec":)" + std::string(spec) + "}").value();
    schema::apply_defaults(kind, rc);
    std::vector<std::string> lines;
    for (const Cause& cause : validate_create(kind, rc)) lines.push_back(line_of(cause));
    return join(lines, "\n");
  };
  const std::string pod_template = R"("template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}})";
  EXPECT_EQ(causes("{" + pod_template + "}"), "");
  EXPECT_EQ(causes("{}"), "spec.selector | FieldValueRequired | Required value\nspec.template | FieldValueRequired | Required value");
  EXPECT_EQ(causes(R"({"replicas":-1,"selector":{"a":"c"},)" + pod_template + "}"),
            "spec.replicas | FieldValueInvalid | Invalid value: -1: must be greater than or equal to 0\n"
            "spec.template.metadata.labels | FieldValueInvalid | Invalid value: map[string]string{\"a\":\"b\"}: `selector` does not match template `labels`");
}

TEST(Validation, PodUpdatesAreLimited) {
  const schema::Kind& kind = *schema::builtin().find_kind("v1", "Pod");
  Value before = json::parse(R"({"metadata":{"name":"p","namespace":"d"},"spec":{"containers":[{"name":"c","image":"a"}]}})").value();
  schema::apply_defaults(kind, before);
  Value image = before;
  image.mut("spec").mut("containers").mut(0).set("image", "b");
  EXPECT_TRUE(validate_update(kind, before, image, "").empty());
  Value node = before;
  node.mut("spec").set("hostname", "x");
  ASSERT_EQ(validate_update(kind, before, node, "").size(), 1u);
  Value more = before;
  Value second = before["spec"]["containers"][0];
  second.set("name", "d");
  more.mut("spec").mut("containers").push(second);
  EXPECT_EQ(validate_update(kind, before, more, "")[0].message, "Forbidden: pod updates may not add or remove containers");
}

TEST(Validation, FrozenConfigStaysFrozen) {
  const schema::Kind& kind = *schema::builtin().find_kind("v1", "ConfigMap");
  Value before = json::parse(R"({"metadata":{"name":"c","namespace":"d"},"immutable":true,"data":{"a":"b"}})").value();
  Value after = before;
  after.mut("data").set("a", "c");
  ASSERT_EQ(validate_update(kind, before, after, "").size(), 1u);
  EXPECT_EQ(validate_update(kind, before, after, "")[0].field, "data");
}

TEST(Validation, ClaimsGrowAndNeverShrink) {
  const schema::Kind& kind = *schema::builtin().find_kind("v1", "PersistentVolumeClaim");
  auto claim = [](const char* size) {
    return json::parse(std::string(R"({"metadata":{"name":"c","namespace":"d"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":")") + size +
                       R"("}}},"status":{"phase":"Bound","capacity":{"storage":"2Gi"}}})").value();
  };
  EXPECT_TRUE(validate_update(kind, claim("2Gi"), claim("3Gi"), "").empty());
  EXPECT_EQ(validate_update(kind, claim("2Gi"), claim("1Gi"), "")[0].message, "Forbidden: field can not be less than status.capacity");
}

}  // namespace
}  // namespace berth::validation

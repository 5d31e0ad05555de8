#include "apiserver/openapi/openapi.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace berth::apiserver::openapi {
namespace {

const api::schema::Schema& kinds() { return api::schema::builtin(); }

Value json_of(std::string_view text) {
  auto parsed = json::parse(text);
  EXPECT_TRUE(parsed.ok()) << text.substr(0, 100);
  return parsed.ok() ? *parsed : Value();
}

const Value& v2() {
  static const Value kDocument = json_of(v2_json(kinds()));
  return kDocument;
}

Value v3(std::string_view path) {
  auto text = v3_json(kinds(), path);
  EXPECT_TRUE(text.ok()) << path;
  return text.ok() ? json_of(*text) : Value();
}

void collect_refs(const Value& value, std::set<std::string>& found) {
  if (value["$ref"].is_string()) found.insert(value["$ref"].str());
  for (const Value& element : value) collect_refs(element, found);
  for (json::Entry entry : value.entries()) collect_refs(entry.value, found);
}

// Operations by "METHOD path".
std::map<std::string, Value> operations_of(const Value& document) {
  std::map<std::string, Value> found;
  for (json::Entry path : document["paths"].entries()) {
    for (json::Entry method : path.value.entries()) {
      if (method.key != "parameters") found[std::string(method.key) + " " + std::string(path.key)] = method.value;
    }
  }
  return found;
}

bool has_parameter(const Value& operation, std::string_view name, std::string_view in) {
  for (const Value& p : operation["parameters"]) {
    if (p["name"].as_string() == name && p["in"].as_string() == in) return true;
  }
  return false;
}

std::set<std::string> gvks_of(const Value& definitions) {
  std::set<std::string> found;
  for (json::Entry entry : definitions.entries()) {
    for (const Value& gvk : entry.value["x-kubernetes-group-version-kind"]) {
      found.insert(gvk["group"].str() + "/" + gvk["version"].str() + "/" + gvk["kind"].str());
    }
  }
  return found;
}

std::vector<std::string> groups() {
  std::vector<std::string> found;
  for (json::Entry entry : v3_index(kinds())["paths"].entries()) found.emplace_back(entry.key);
  return found;
}

TEST(OpenApiV2, ReferencesResolveAndEveryKindIsThere) {
  std::set<std::string> refs;
  collect_refs(v2(), refs);
  EXPECT_GT(refs.size(), 200u);
  for (const std::string& ref : refs) {
    ASSERT_TRUE(ref.starts_with("#/definitions/")) << ref;
    EXPECT_TRUE(v2()["definitions"].contains(ref.substr(14))) << ref;
  }
  std::set<std::string> gvks = gvks_of(v2()["definitions"]);
  auto check = [&](const api::schema::Kind* kind) {
    EXPECT_TRUE(gvks.contains(kind->group + "/" + kind->version + "/" + kind->kind)) << kind->kind;
  };
  for (const api::schema::Kind* kind : kinds().kinds()) check(kind);
  for (const api::schema::Kind* kind : kinds().other_kinds()) check(kind);
  EXPECT_TRUE(gvks.contains("apps/v1/DeleteOptions"));
}

TEST(OpenApiV2, ADefinitionToTheLetter) {
  const Value& spec = v2()["definitions"]["io.k8s.api.core.v1.PodSpec"];
  EXPECT_EQ(spec["required"], json_of(R"(["containers"])"));
  Value containers = spec["properties"]["containers"];
  EXPECT_FALSE(containers["description"].as_string().empty());
  containers.erase("description");
  EXPECT_EQ(containers, json_of(R"({"type":"array","items":{"$ref":"#/definitions/io.k8s.api.core.v1.Container"},
    "x-kubernetes-list-type":"map","x-kubernetes-list-map-keys":["name"],"x-kubernetes-patch-merge-key":"name",
    "x-kubernetes-patch-strategy":"merge"})"));
  EXPECT_EQ(spec["properties"]["volumes"]["x-kubernetes-patch-strategy"].as_string(), "merge,retainKeys");
  EXPECT_EQ(spec["properties"]["restartPolicy"]["enum"], json_of(R"(["Always","Never","OnFailure"])"));
  EXPECT_EQ(spec["properties"]["nodeSelector"]["x-kubernetes-map-type"].as_string(), "atomic");
  EXPECT_EQ(spec["properties"]["overhead"]["additionalProperties"],
            json_of(R"({"$ref":"#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"})"));
  const Value& definitions = v2()["definitions"];
  EXPECT_EQ(definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["format"].as_string(), "int-or-string");
  EXPECT_EQ(definitions["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"]["default"].as_string(), "TCP");
  EXPECT_EQ(definitions["io.k8s.api.core.v1.Secret"]["properties"]["data"]["additionalProperties"],
            json_of(R"({"type":"string","format":"byte"})"));
  EXPECT_EQ(definitions["io.k8s.api.apps.v1.StatefulSet"]["x-kubernetes-group-version-kind"],
            json_of(R"([{"group":"apps","kind":"StatefulSet","version":"v1"}])"));
  EXPECT_EQ(definitions["io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"]["x-kubernetes-map-type"].as_string(),
            "atomic");
}

void check_operations(const Value& document) {
  std::set<std::string> ids;
  for (const auto& [name, operation] : operations_of(document)) {
    EXPECT_TRUE(ids.insert(operation["operationId"].str()).second) << name << " " << operation["operationId"].str();
    EXPECT_FALSE(operation["x-kubernetes-action"].as_string().empty()) << name;
    EXPECT_TRUE(operation["x-kubernetes-group-version-kind"]["kind"].is_string()) << name;
    EXPECT_FALSE(operation["responses"].empty()) << name;
    std::string_view action = operation["x-kubernetes-action"].as_string();
    if (action == "post" || action == "put" || action == "patch") {
      EXPECT_TRUE(has_parameter(operation, "dryRun", "query")) << name;
      EXPECT_TRUE(has_parameter(operation, "fieldValidation", "query")) << name;
      EXPECT_TRUE(has_parameter(operation, "fieldManager", "query")) << name;
    }
    if (action == "list") {
      EXPECT_TRUE(has_parameter(operation, "watch", "query")) << name;
    }
  }
}

TEST(OpenApiV2, Operations) {
  check_operations(v2());
  auto operations = operations_of(v2());
  const std::pair<const char*, const char*> ids[] = {
      {"get /api/v1/pods", "listCoreV1PodForAllNamespaces"},
      {"get /api/v1/namespaces/{namespace}/pods", "listCoreV1NamespacedPod"},
      {"post /api/v1/namespaces/{namespace}/pods", "createCoreV1NamespacedPod"},
      {"delete /api/v1/namespaces/{namespace}/pods", "deleteCoreV1CollectionNamespacedPod"},
      {"get /api/v1/namespaces/{namespace}/pods/{name}/log", "readCoreV1NamespacedPodLog"},
      {"post /api/v1/namespaces/{namespace}/pods/{name}/exec", "connectCoreV1PostNamespacedPodExec"},
      {"post /api/v1/namespaces/{namespace}/pods/{name}/eviction", "createCoreV1NamespacedPodEviction"},
      {"patch /apis/apps/v1/namespaces/{namespace}/statefulsets/{name}/scale", "patchAppsV1NamespacedStatefulSetScale"},
      {"put /api/v1/namespaces/{name}/finalize", "replaceCoreV1NamespaceFinalize"},
      {"put /api/v1/nodes/{name}", "replaceCoreV1Node"},
      {"get /apis/events.k8s.io/v1/events", "listEventsV1EventForAllNamespaces"},
      {"post /apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "createAuthorizationV1SelfSubjectAccessReview"},
  };
  for (const auto& [name, id] : ids) EXPECT_EQ(operations[name]["operationId"].as_string(), id) << name;
  EXPECT_FALSE(operations.contains("delete /api/v1/namespaces")) << "namespaces have no deletecollection";
  EXPECT_FALSE(operations.contains("get /api/v1/namespaces/{namespace}/bindings"));
  const Value& eviction = operations["post /api/v1/namespaces/{namespace}/pods/{name}/eviction"];
  EXPECT_EQ(eviction["x-kubernetes-group-version-kind"],
            json_of(R"({"group":"policy","kind":"Eviction","version":"v1"})"));
  const Value& patch = operations["patch /apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"];
  EXPECT_TRUE(has_parameter(patch, "force", "query"));
  EXPECT_TRUE(has_parameter(patch, "body", "body"));
  EXPECT_EQ(patch["consumes"].size(), 4u);
}

TEST(OpenApiV3, IndexNamesEveryGroupOnceWithItsHash) {
  std::vector<std::string> found = groups();
  EXPECT_EQ(found,
            (std::vector<std::string>{"api/v1", "apis/apps/v1", "apis/authentication.k8s.io/v1",
                                      "apis/authorization.k8s.io/v1", "apis/autoscaling/v1", "apis/autoscaling/v2",
                                      "apis/batch/v1", "apis/coordination.k8s.io/v1", "apis/discovery.k8s.io/v1",
                                      "apis/events.k8s.io/v1", "apis/metrics.k8s.io/v1beta1", "apis/node.k8s.io/v1",
                                      "apis/policy/v1", "apis/scheduling.k8s.io/v1", "apis/storage.k8s.io/v1"}));
  std::set<std::string> urls;
  for (json::Entry entry : v3_index(kinds())["paths"].entries()) {
    std::string url = entry.value["serverRelativeURL"].str();
    EXPECT_TRUE(url.starts_with("/openapi/v3/" + std::string(entry.key) + "?hash=")) << url;
    urls.insert(url.substr(url.find('=')));
  }
  EXPECT_EQ(urls.size(), found.size());
}

TEST(OpenApiV3, DocumentsAreWhole) {
  std::set<std::string> gvks;
  for (const std::string& group : groups()) {
    Value document = v3(group);
    EXPECT_EQ(document["openapi"].as_string(), "3.0.0");
    std::set<std::string> refs;
    collect_refs(document, refs);
    EXPECT_FALSE(refs.empty());
    for (const std::string& ref : refs) {
      ASSERT_TRUE(ref.starts_with("#/components/schemas/")) << ref;
      EXPECT_TRUE(document["components"]["schemas"].contains(ref.substr(21))) << group << " " << ref;
    }
    check_operations(document);
    for (const std::string& gvk : gvks_of(document["components"]["schemas"])) gvks.insert(gvk);
  }
  for (const api::schema::Kind* kind : kinds().kinds()) {
    EXPECT_TRUE(gvks.contains(kind->group + "/" + kind->version + "/" + kind->kind)) << kind->kind;
  }
}

TEST(OpenApiV3, ReferencesStandAlone) {
  Value document = v3("apis/apps/v1");
  const Value& set = document["components"]["schemas"]["io.k8s.api.apps.v1.StatefulSet"];
  EXPECT_EQ(set["properties"]["spec"]["allOf"],
            json_of(R"([{"$ref":"#/components/schemas/io.k8s.api.apps.v1.StatefulSetSpec"}])"));
  for (json::Entry type : document["components"]["schemas"].entries()) {
    for (json::Entry property : type.value["properties"].entries()) {
      EXPECT_TRUE(!property.value.contains("$ref") || property.value.size() == 1) << type.key << "." << property.key;
    }
  }
  EXPECT_FALSE(document["components"]["schemas"].contains("io.k8s.api.core.v1.Node")) << "not of this group";
  const Value& patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"]["patch"];
  EXPECT_TRUE(patch["requestBody"]["content"].contains("application/apply-patch+yaml"));
  EXPECT_EQ(patch["responses"]["200"]["content"]["application/json"]["schema"],
            json_of(R"({"$ref":"#/components/schemas/io.k8s.api.apps.v1.StatefulSet"})"));
}

TEST(OpenApiV3, UnknownGroup) {
  for (const char* path : {"apis/nope/v1", "", "api", "apis/apps"}) {
    EXPECT_TRUE(v3_json(kinds(), path).failed_with(Code::kNotFound)) << path;
  }
}

// --- The protobuf form, read back by hand.

using Fields = std::vector<std::pair<int, std::string>>;  // number and bytes; numbers as "1"

Fields fields_of(std::string_view bytes) {
  Fields found;
  std::size_t at = 0;
  auto varint = [&] {
    std::uint64_t value = 0;
    for (int shift = 0; at < bytes.size(); shift += 7) {
      auto byte = static_cast<unsigned char>(bytes[at++]);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.size()) {
    std::uint64_t tag = varint();
    std::uint64_t value = varint();
    if ((tag & 7) == 0) {
      found.emplace_back(static_cast<int>(tag >> 3), std::to_string(value));
      continue;
    }
    EXPECT_EQ(tag & 7, 2u);
    EXPECT_LE(value, bytes.size() - at);
    found.emplace_back(static_cast<int>(tag >> 3), std::string(bytes.substr(at, value)));
    at += value;
  }
  return found;
}

std::string only(const Fields& fields, int number) {
  std::string found;
  int count = 0;
  for (const auto& [n, bytes] : fields) {
    if (n != number) continue;
    found = bytes;
    ++count;
  }
  EXPECT_LE(count, 1) << number;
  return found;
}

Value any_of(std::string_view bytes) { return json_of(only(fields_of(bytes), 2)); }

// The Schema message as the JSON it was made from.
Value schema_of(std::string_view bytes) {
  Value made = Value::object();
  auto named = [](std::string_view pair) {
    Fields fields = fields_of(pair);
    return std::pair(only(fields, 1), only(fields, 2));
  };
  for (const auto& [number, content] : fields_of(bytes)) {
    switch (number) {
      case 1: made.set("$ref", content); break;
      case 2: made.set("format", content); break;
      case 4: made.set("description", content); break;
      case 5: made.set("default", any_of(content)); break;
      case 19: made.mut("required").push(content); break;
      case 20: made.mut("enum").push(any_of(content)); break;
      case 21: made.set("additionalProperties", schema_of(only(fields_of(content), 1))); break;
      case 22: made.set("type", only(fields_of(content), 1)); break;
      case 23: made.set("items", schema_of(only(fields_of(content), 1))); break;
      case 25:
        for (const auto& property : fields_of(content)) {
          auto [name, value] = named(property.second);
          made.mut("properties").set(name, schema_of(value));
        }
        break;
      case 31: {
        auto [name, value] = named(content);
        made.set(name, any_of(value));
        break;
      }
      default: ADD_FAILURE() << "field " << number;
    }
  }
  return made;
}

TEST(OpenApiProtobuf, DefinitionsAreThoseOfTheJson) {
  Fields document = fields_of(v2_protobuf(kinds()));
  EXPECT_EQ(only(document, 1), "2.0");
  EXPECT_EQ(only(fields_of(only(document, 2)), 2), v2()["info"]["version"].as_string());
  Value definitions = Value::object();
  for (const auto& [number, bytes] : fields_of(only(document, 9))) {
    EXPECT_EQ(number, 1);
    Fields pair = fields_of(bytes);
    definitions.set(only(pair, 1), schema_of(only(pair, 2)));
  }
  EXPECT_EQ(definitions.size(), v2()["definitions"].size());
  for (json::Entry entry : v2()["definitions"].entries()) {
    Value expected = entry.value;
    EXPECT_EQ(definitions[entry.key], expected) << entry.key;
  }
}

TEST(OpenApiProtobuf, PatchOperationsSayWhatKubectlLooksFor) {
  Fields document = fields_of(v2_protobuf(kinds()));
  std::size_t patches = 0, paths = 0;
  for (const auto& [number, bytes] : fields_of(only(document, 8))) {
    ASSERT_EQ(number, 2);
    ++paths;
    Fields pair = fields_of(bytes);
    std::string patch = only(fields_of(only(pair, 2)), 8);
    if (patch.empty()) continue;
    Value extensions = Value::object();
    std::set<std::string> query;
    for (const auto& [field, content] : fields_of(patch)) {
      if (field == 13) {
        Fields extension = fields_of(content);
        extensions.set(only(extension, 1), any_of(only(extension, 2)));
      }
      if (field != 8) continue;
      Fields other = fields_of(only(fields_of(only(fields_of(content), 1)), 2));  // NonBodyParameter, if it is one
      if (std::string parameter = only(other, 3); !parameter.empty()) query.insert(only(fields_of(parameter), 4));
    }
    if (extensions["x-kubernetes-action"].as_string() == "connect") continue;
    ++patches;
    std::string path = only(pair, 1);
    EXPECT_EQ(extensions["x-kubernetes-group-version-kind"],
              v2()["paths"][path]["patch"]["x-kubernetes-group-version-kind"]);
    EXPECT_TRUE(query.contains("dryRun") && query.contains("fieldValidation")) << path;
  }
  EXPECT_EQ(paths, v2()["paths"].size());
  EXPECT_GT(patches, 25u);
}

TEST(OpenApi, SameEveryTime) {
  EXPECT_EQ(v2_protobuf(kinds()), v2_protobuf(kinds()));
  EXPECT_EQ(*v3_json(kinds(), "api/v1"), *v3_json(kinds(), "api/v1"));
  EXPECT_EQ(v3_index(kinds()), v3_index(kinds()));
}

}  // namespace
}  // namespace berth::apiserver::openapi

#include "api/schema/schema.h"

#include <gtest/gtest.h>

#include <set>

namespace berth::api::schema {
namespace {

constexpr std::string_view kMeta = R"(package m as meta
group - version v1 order 0
type ListMeta
| Of a list.
  resourceVersion string 2
    | Revision.
)";

constexpr std::string_view kSmall = R"(# A comment
package x as x
group ex.io version v1 order 5

kind Thing
  names things thing th thi
  scope Cluster
  categories all misc
  verbs create list
  subresource status: get
  subresource scale autoscaling/v1 Scale: get update

enum Colour Red Green
  Blue ""
alias Words {}[]string

type Thing
| A thing,
| in two lines.
  kind   string   -
  spec   *Spec    2   required
  colour Colour   3   default="Red"
    | Its colour.
  words  Words    4   zero
  parts  []*Spec  5.7 list=map(a,b) merge=a retainKeys
  tags   []string 6   list=set merge
  when   time     7   required omit
  m      {}string 8   atomic

type Spec atomic
  a string 1 required
  b double 2
  n meta.ListMeta 3
)";

Result<std::unique_ptr<Schema>> load(std::string_view text) {
  return parse_schema({{"meta", kMeta}, {"x.schema", text}});
}

TEST(SchemaFile, ReadsEverything) {
  auto parsed = load(kSmall);
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const Schema& schema = **parsed;
  ASSERT_EQ(schema.kinds().size(), 1u);
  const Kind& kind = *schema.kinds()[0];
  EXPECT_EQ(schema.find({"ex.io", "v1", "things"}), &kind);
  EXPECT_EQ(schema.find({"ex.io", "v2", "things"}), nullptr);
  EXPECT_EQ(schema.find_kind("ex.io/v1", "Thing"), &kind);
  EXPECT_EQ(schema.find_kind("v1", "Thing"), nullptr);
  EXPECT_EQ(kind.singular, "thing");
  EXPECT_EQ(kind.short_names, (std::vector<std::string>{"th", "thi"}));
  EXPECT_EQ(kind.categories, (std::vector<std::string>{"all", "misc"}));
  EXPECT_FALSE(kind.namespaced);
  EXPECT_TRUE(kind.has_verb("list"));
  EXPECT_FALSE(kind.has_verb("watch"));
  EXPECT_TRUE(kind.has_subresource("scale"));
  ASSERT_NE(kind.subresource("scale"), nullptr);
  EXPECT_EQ(kind.subresource("scale")->group, "autoscaling");
  EXPECT_EQ(kind.subresource("scale")->kind, "Scale");
  EXPECT_EQ(kind.subresource("scale")->verbs, (std::vector<std::string>{"get", "update"}));
  EXPECT_EQ(kind.subresource("status")->kind, "Thing");
  EXPECT_EQ(kind.subresource("log"), nullptr);

  const Type& type = *kind.type;
  EXPECT_EQ(type.name, "x.Thing");
  EXPECT_EQ(type.short_name(), "Thing");
  EXPECT_EQ(type.description, "A thing, in two lines.");
  EXPECT_EQ(type.find("nothing"), nullptr);
  const Field& spec = *type.find("spec");
  EXPECT_EQ(spec.shape, Shape::kObject);
  EXPECT_TRUE(spec.required && spec.pointer && spec.type->atomic);
  const Field& colour = *type.find("colour");
  EXPECT_EQ(colour.shape, Shape::kString);
  EXPECT_EQ(colour.enum_values, (std::vector<std::string>{"Red", "Green", "Blue", ""}));
  EXPECT_EQ(colour.default_value, Value("Red"));
  EXPECT_EQ(colour.go_type, "x.Colour");
  EXPECT_EQ(colour.description, "Its colour.");
  const Field& words = *type.find("words");
  EXPECT_EQ(words.shape, Shape::kMap);
  EXPECT_EQ(words.element->shape, Shape::kList);
  EXPECT_EQ(words.element->element->shape, Shape::kString);
  EXPECT_FALSE(words.omit_empty);
  const Field& parts = *type.find("parts");
  EXPECT_EQ(parts.list_type, ListType::kMap);
  EXPECT_EQ(parts.list_map_keys, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(parts.patch_merge && parts.patch_retain_keys);
  EXPECT_EQ(parts.patch_merge_key, "a");
  EXPECT_EQ(parts.proto_outer, 5);
  EXPECT_EQ(parts.proto_number, 7);
  EXPECT_EQ(type.find("tags")->list_type, ListType::kSet);
  EXPECT_TRUE(type.find("tags")->patch_merge && type.find("tags")->patch_merge_key.empty());
  EXPECT_TRUE(type.find("when")->required && type.find("when")->omit_empty);
  EXPECT_TRUE(type.find("m")->atomic_map);
  EXPECT_EQ(schema.find_type("x.Spec")->find("b")->proto_wire, "fixed64");
  EXPECT_EQ(schema.find_type("x.Spec")->zero, Value::object({{"a", ""}, {"n", Value::object()}}));
}

TEST(SchemaFile, KindsWithListHaveAListType) {
  auto parsed = load(kSmall);
  ASSERT_TRUE(parsed.ok());
  const Kind* list = (*parsed)->find_kind("ex.io/v1", "ThingList");
  ASSERT_NE(list, nullptr);
  EXPECT_TRUE(list->plural.empty());
  ASSERT_EQ((*parsed)->other_kinds().size(), 1u);
  EXPECT_EQ((*parsed)->other_kinds()[0], list);
  EXPECT_EQ(list->type->name, "x.ThingList");
  EXPECT_EQ(list->type->find("items")->element->type, (*parsed)->find_type("x.Thing"));
  EXPECT_EQ(list->type->find("metadata")->type->name, "m.ListMeta");
}

TEST(SchemaFile, ErrorsNameFileAndLine) {
  const std::string head = "package x as x\ngroup g version v1 order 1\n";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"group g version v1 order 1\n", "x.schema:1: the first line must be: package NAME as ALIAS"},
      {"package x\n", "x.schema:1: expected: package NAME as ALIAS"},
      {"package x as meta\n", "x.schema:1: alias used by another file"},
      {"package x as x\n", "x.schema:1: no group line"},
      {"# nothing\n", "x.schema:1: no package line"},
      {"package x as x\ngroup g version v1 order one\n",
       "x.schema:2: expected: group GROUP version VERSION order NUMBER"},
      {head + "\nfoo bar\n", "x.schema:4: expected package, group, kind, alias, enum, type or |, found \"foo\""},
      {head + "kind Thing\n", "x.schema:3: no type of that name: Thing"},
      {head + "kind\n", "x.schema:3: expected: kind NAME"},
      {head + "kind T\n  scope Universe\ntype T\n",
       "x.schema:4: expected names, scope, categories, verbs or subresource, found \"  scope Universe\""},
      {head + "kind T\n  subresource status get\ntype T\n",
       "x.schema:4: expected: subresource NAME [API-VERSION KIND]: VERB..."},
      {head + "type T\nkind T\nkind T\n", "x.schema:5: kind or plural defined twice"},
      {head + "type T\ntype T\n", "x.schema:4: defined twice: T"},
      {head + "type T x\n", "x.schema:3: expected: type NAME [atomic] [embeds=NUMBER:GO-TYPE...]"},
      {head + "enum E\n", "x.schema:3: expected: enum NAME VALUE..."},
      {head + "alias A\n", "x.schema:3: expected: alias NAME TYPE [GO-TYPE]"},
      {head + "alias A string\nalias A string\n", "x.schema:4: defined twice: A"},
      {head + "alias A B\nalias B A\ntype T\n  a A 1\n", "x.schema:6: types nested too deeply (an alias of itself?)"},
      {head + "type T\n  a string\n", "x.schema:4: expected: NAME TYPE NUMBER [FLAG...]"},
      {head + "type T\n  a string x\n", "x.schema:4: not a field number: \"x\""},
      {head + "type T\n  a string 0\n", "x.schema:4: not a field number: \"0\""},
      {head + "type T\n  a Nope 1\n", "x.schema:4: no such type: \"Nope\""},
      {head + "type T\n  a nope.T 1\n", "x.schema:4: no file has the alias \"nope\""},
      {head + "type T\n  a string 1 wild\n", "x.schema:4: unknown flag \"wild\""},
      {head + "type T\n  a string 1 list=set\n", "x.schema:4: list= on a field that is no list"},
      {head + "type T\n  a []string 1 list=map()\n",
       "x.schema:4: expected list=atomic, list=set or list=map(KEY,...), found \"list=map()\""},
      {head + "type T\n  a string 1\n  a string 2\n", "x.schema:5: field given twice: a"},
      {head + "| lost\n", "x.schema:3: a description must follow a type or a field"},
  };
  for (const auto& [text, message] : cases) {
    auto parsed = load(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_EQ(parsed.error().message, message) << text;
  }
  auto bad_default = load(head + "type T\n  a string 1 default={\n");
  ASSERT_FALSE(bad_default.ok());
  EXPECT_TRUE(bad_default.error().message.starts_with("x.schema:4: default: ")) << bad_default.error().message;
}

TEST(Builtin, ServesTheKindsInUpstreamsOrder) {
  std::vector<std::string> found;
  for (const Kind* kind : builtin().kinds()) found.push_back(kind->api_version() + " " + kind->plural);
  EXPECT_EQ(found, (std::vector<std::string>{"v1 bindings",
                                             "v1 componentstatuses",
                                             "v1 configmaps",
                                             "v1 endpoints",
                                             "v1 events",
                                             "v1 limitranges",
                                             "v1 namespaces",
                                             "v1 nodes",
                                             "v1 persistentvolumeclaims",
                                             "v1 persistentvolumes",
                                             "v1 pods",
                                             "v1 podtemplates",
                                             "v1 replicationcontrollers",
                                             "v1 resourcequotas",
                                             "v1 secrets",
                                             "v1 serviceaccounts",
                                             "v1 services",
                                             "apps/v1 controllerrevisions",
                                             "apps/v1 daemonsets",
                                             "apps/v1 deployments",
                                             "apps/v1 replicasets",
                                             "apps/v1 statefulsets",
                                             "events.k8s.io/v1 events",
                                             "authentication.k8s.io/v1 selfsubjectreviews",
                                             "authentication.k8s.io/v1 tokenreviews",
                                             "authorization.k8s.io/v1 localsubjectaccessreviews",
                                             "authorization.k8s.io/v1 selfsubjectaccessreviews",
                                             "authorization.k8s.io/v1 selfsubjectrulesreviews",
                                             "authorization.k8s.io/v1 subjectaccessreviews",
                                             "autoscaling/v2 horizontalpodautoscalers",
                                             "autoscaling/v1 horizontalpodautoscalers",
                                             "batch/v1 cronjobs",
                                             "batch/v1 jobs",
                                             "policy/v1 poddisruptionbudgets",
                                             "storage.k8s.io/v1 storageclasses",
                                             "scheduling.k8s.io/v1 priorityclasses",
                                             "coordination.k8s.io/v1 leases",
                                             "node.k8s.io/v1 runtimeclasses",
                                             "discovery.k8s.io/v1 endpointslices",
                                             "metrics.k8s.io/v1beta1 nodes",
                                             "metrics.k8s.io/v1beta1 pods"}));
  for (auto [version, kind] : {std::pair("autoscaling/v1", "Scale"),
                               {"policy/v1", "Eviction"},
                               {"v1", "Status"},
                               {"v1", "DeleteOptions"},
                               {"authentication.k8s.io/v1", "TokenRequest"},
                               {"v1", "PodList"},
                               {"apps/v1", "StatefulSetList"}}) {
    EXPECT_NE(builtin().find_kind(version, kind), nullptr) << kind;
  }
}

TEST(Builtin, EverySubresourceKindIsKnownOrAConnection) {
  const std::set<std::string> connections = {"PodAttachOptions", "PodExecOptions",   "PodPortForwardOptions",
                                             "PodProxyOptions",  "NodeProxyOptions", "ServiceProxyOptions"};
  for (const Kind* kind : builtin().kinds()) {
    for (const Subresource& sub : kind->subresource_details) {
      std::string version = sub.group.empty() ? sub.version : sub.group + "/" + sub.version;
      EXPECT_TRUE(connections.contains(sub.kind) || builtin().find_kind(version, sub.kind)) << kind->kind << sub.name;
      EXPECT_FALSE(sub.verbs.empty());
    }
  }
}

TEST(Builtin, EveryTypeAndFieldIsDescribed) {
  for (const Type* type : builtin().types()) {
    EXPECT_FALSE(type->description.empty()) << type->name;
    for (const Field& field : type->fields) EXPECT_FALSE(field.description.empty()) << type->name << "." << field.name;
  }
}

TEST(Builtin, ListMapKeysAndMergeKeysExist) {
  for (const Type* type : builtin().types()) {
    std::set<std::pair<int, int>> numbers;
    for (const Field& field : type->fields) {
      if (field.proto_number != 0) {
        EXPECT_TRUE(numbers.insert({field.proto_outer, field.proto_number}).second) << type->name << "." << field.name;
      }
      std::vector<std::string> keys = field.list_map_keys;
      if (!field.patch_merge_key.empty()) keys.push_back(field.patch_merge_key);
      for (const std::string& key : keys) {
        ASSERT_EQ(field.element->shape, Shape::kObject) << type->name << "." << field.name;
        EXPECT_NE(field.element->type->find(key), nullptr) << type->name << "." << field.name << " " << key;
      }
    }
  }
}

TEST(Builtin, SomeFieldsToTheLetter) {
  const Type& spec = *builtin().find_type("io.k8s.api.core.v1.PodSpec");
  const Field& containers = *spec.find("containers");
  EXPECT_TRUE(containers.required && containers.patch_merge && containers.has_list_type);
  EXPECT_EQ(containers.patch_merge_key, "name");
  EXPECT_EQ(containers.list_type, ListType::kMap);
  EXPECT_EQ(containers.proto_number, 2);
  EXPECT_TRUE(spec.find("volumes")->patch_retain_keys);
  EXPECT_TRUE(spec.find("nodeSelector")->atomic_map);
  EXPECT_EQ(spec.find("topologySpreadConstraints")->list_map_keys,
            (std::vector<std::string>{"topologyKey", "whenUnsatisfiable"}));
  const Type& volume = *builtin().find_type("io.k8s.api.core.v1.Volume");
  EXPECT_EQ(volume.find("emptyDir")->proto_outer, 2);
  EXPECT_EQ(volume.find("emptyDir")->proto_number, 2);
  const Type& port = *builtin().find_type("io.k8s.api.core.v1.ContainerPort");
  EXPECT_EQ(port.find("protocol")->default_value, Value("TCP"));
  EXPECT_EQ(port.find("protocol")->enum_values, (std::vector<std::string>{"TCP", "UDP", "SCTP"}));
  EXPECT_TRUE(builtin().find_type("io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector")->atomic);
  const Kind& pods = *builtin().find({"", "v1", "pods"});
  EXPECT_EQ(pods.short_names, (std::vector<std::string>{"po"}));
  EXPECT_EQ(pods.categories, (std::vector<std::string>{"all"}));
  EXPECT_EQ(pods.subresource("eviction")->group, "policy");
  EXPECT_FALSE(builtin().find({"", "v1", "namespaces"})->has_verb("deletecollection"));
}

}  // namespace
}  // namespace berth::api::schema

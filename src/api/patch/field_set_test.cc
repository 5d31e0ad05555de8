#include "api/patch/field_set.h"

#include "api/patch/test_support.h"
#include "api/patch/typed_value.h"

namespace berth::api::patch {
namespace {

FieldSet set_of(std::string_view fields_v1) {
  auto set = FieldSet::from_fields_v1(j(fields_v1));
  EXPECT_TRUE(set.ok());
  return set.ok() ? *set : FieldSet();
}
std::string text(const FieldSet& set) { return json::encode(set.to_fields_v1()); }

TEST(FieldSet, ReadsAndWritesFieldsV1) {
  const std::string all =
      R"({"f:a":{".":{},"f:b":{}},"f:c":{"k:{\"name\":\"x\"}":{".":{},"f:name":{}}},"f:d":{"v:\"s\"":{},"v:1":{}},"i:0":{}})";
  EXPECT_EQ(text(set_of(all)), all);
  EXPECT_TRUE(set_of(all).has("f:a"));
  EXPECT_FALSE(set_of(all).has("f:c"));
  EXPECT_TRUE(set_of("{}").empty());
  for (const char* bad : {R"({"a":{}})", R"({"k:{":{}})", R"({"f:a":{"x:1":{}}})", "[]", R"({"f:a":1})"}) {
    EXPECT_FALSE(FieldSet::from_fields_v1(j(bad)).ok()) << bad;
  }
}

TEST(FieldSet, Algebra) {
  const FieldSet a = set_of(R"({"f:a":{".":{},"f:b":{}},"f:c":{}})");
  const FieldSet b = set_of(R"({"f:a":{"f:b":{},"f:d":{}}})");
  EXPECT_EQ(text(a.united(b)), R"({"f:a":{".":{},"f:b":{},"f:d":{}},"f:c":{}})");
  EXPECT_EQ(text(a.without(b)), R"({"f:a":{},"f:c":{}})");
  EXPECT_EQ(text(b.without(a)), R"({"f:a":{"f:d":{}}})");
  EXPECT_EQ(text(a.common(b)), R"({"f:a":{"f:b":{}}})");
  EXPECT_EQ(text(a.without(set_of(R"({"f:a":{}})"))), R"({"f:a":{"f:b":{}},"f:c":{}})") << "paths below stay";
  EXPECT_TRUE(a.without(a).empty());
  EXPECT_TRUE(a == a.united(a));
  EXPECT_FALSE(a == b);
}

TEST(FieldSet, PathsAsPeopleReadThem) {
  EXPECT_EQ(to_string({"f:spec", "f:containers", R"(k:{"name":"c"})", "f:ports",
                       R"(k:{"containerPort":80,"protocol":"TCP"})", "f:name"}),
            R"(.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"].name)");
  EXPECT_EQ(to_string({"f:metadata", "f:finalizers", R"(v:"a/b")"}), R"(.metadata.finalizers[="a/b"])");
  EXPECT_EQ(to_string({"f:x", "i:3"}), ".x[3]");
}

SchemaPosition pod() { return SchemaPosition::root(*kind_of("v1", "Pod").type); }

TEST(TypedValue, FieldSetFollowsListTypes) {
  const Value object = j(R"({"metadata":{"labels":{"a":"1"},"finalizers":["x/y"]},
      "spec":{"nodeSelector":{"k":"v"},"tolerations":[{"key":"t"}],
              "containers":[{"name":"c","args":["1"],"ports":[{"containerPort":80}]}],
              "volumes":[{"name":"v","emptyDir":{}}]}})");
  EXPECT_EQ(
      text(field_set_of(pod(), object)),
      R"({"f:metadata":{"f:finalizers":{"v:\"x/y\"":{}},"f:labels":{"f:a":{}}},)"
      R"("f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:args":{},"f:name":{},)"
      R"("f:ports":{"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{}}}}},)"
      R"("f:nodeSelector":{},"f:tolerations":{},"f:volumes":{"k:{\"name\":\"v\"}":{".":{},"f:emptyDir":{},"f:name":{}}}}})");
}

TEST(TypedValue, ComparisonTellsAddedModifiedAndRemoved) {
  const Value before = j(
      R"({"metadata":{"labels":{"a":"1","b":"2"}},"spec":{"containers":[{"name":"c","image":"i","env":[{"name":"A"}]}]}})");
  const Value after = j(
      R"({"metadata":{"labels":{"a":"9"},"annotations":{"n":"1"}},"spec":{"containers":[{"name":"c","image":"i"},{"name":"d","resources":{}}]}})");
  Comparison change = compare(pod(), before, after);
  EXPECT_EQ(text(change.modified), R"({"f:metadata":{"f:labels":{"f:a":{}}}})");
  EXPECT_EQ(
      text(change.added),
      R"({"f:metadata":{"f:annotations":{".":{},"f:n":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"d\"}":{".":{},"f:name":{},"f:resources":{}}}}})");
  EXPECT_EQ(
      text(change.removed),
      R"({"f:metadata":{"f:labels":{"f:b":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{"f:env":{".":{},"k:{\"name\":\"A\"}":{".":{},"f:name":{}}}}}}})");
  // A struct that Go holds by value is there even where no client sent it: its first content adds nothing else.
  change = compare(pod(), j(R"({"metadata":{}})"), j(R"({"metadata":{},"status":{"phase":"Running"}})"));
  EXPECT_EQ(text(change.added), R"({"f:status":{"f:phase":{}}})");
  Comparison none = compare(pod(), before, before);
  EXPECT_TRUE(none.added.empty() && none.modified.empty() && none.removed.empty());
}

TEST(TypedValue, MergeKeepsOrder) {
  auto containers = [](std::string_view names) {
    Value list = Value::array();
    for (char name : names) list.push(Value::object({{"name", std::string(1, name)}}));
    return Value::object({{"spec", Value::object({{"containers", list}})}});
  };
  struct Case {
    const char *under, *over, *want;
  };
  for (const Case& c :
       {Case{"ab", "c", "a b c"}, Case{"abc", "cb", "a c b"}, Case{"ac", "abc", "a b c"}, Case{"xayb", "ab", "x a y b"},
        Case{"", "ba", "b a"}, Case{"ab", "", "a b"}, Case{"abc", "cab", "c a b"}}) {
    Value out = merged(pod(), containers(c.under), containers(c.over));
    EXPECT_EQ(order(out["spec"]["containers"]), c.want) << c.under << " + " << c.over;
  }
  Value out = merged(pod(), j(R"({"spec":{"nodeName":"a","nodeSelector":{"x":"1"},"tolerations":[{"key":"a"}]}})"),
                     j(R"({"spec":{"nodeSelector":{"y":"2"},"tolerations":[{"key":"b"}]}})"));
  EXPECT_EQ(out, j(R"({"spec":{"nodeName":"a","nodeSelector":{"y":"2"},"tolerations":[{"key":"b"}]}})"))
      << "atomic maps and lists are taken whole";
}

TEST(TypedValue, RemovingItems) {
  const Value object = j(
      R"({"metadata":{"labels":{"a":"1"},"finalizers":["p","q"]},"spec":{"containers":[{"name":"c","image":"i"},{"name":"d"}]}})");
  Value out = without_items(
      pod(), object,
      set_of(
          R"({"f:metadata":{"f:labels":{"f:a":{}},"f:finalizers":{"v:\"p\"":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{"f:image":{}},"k:{\"name\":\"d\"}":{}}}})"));
  EXPECT_EQ(out, j(R"({"metadata":{"finalizers":["q"]},"spec":{"containers":[{"name":"c"}]}})"));
  EXPECT_EQ(without_items(pod(), object, set_of(R"({"f:metadata":{},"f:spec":{}})")), j("{}"));
  EXPECT_EQ(without_items(pod(), object, set_of(R"({"f:absent":{}})")), object);
}

TEST(TypedValue, NamedFieldsBecomeMembers) {
  EXPECT_EQ(
      text(with_named_fields(
          pod(),
          set_of(
              R"({"f:metadata":{"f:labels":{"f:a":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{"f:image":{}}}}})"))),
      R"({"f:metadata":{".":{},"f:labels":{".":{},"f:a":{}}},"f:spec":{".":{},"f:containers":{".":{},"k:{\"name\":\"c\"}":{"f:image":{}}}}})");
}

TEST(TypedValue, Checks) {
  auto trouble = [](std::string_view object) {
    Status status = check_typed(pod(), j(object));
    return status.ok() ? "" : status.error().message;
  };
  EXPECT_EQ(trouble(R"({"spec":{"containers":[{"name":"c"}]}})"), "");
  EXPECT_EQ(trouble(R"({"spec":{"foo":1}})"), ".spec.foo: field not declared in schema");
  EXPECT_EQ(trouble(R"({"spec":{"containers":[{"name":"c"},{"name":"c"}]}})"),
            R"(.spec.containers: duplicate entries for key [name="c"])");
  // A key that is left out has its type's zero value, as upstream's schema has it.
  EXPECT_EQ(trouble(R"({"spec":{"containers":[{"image":"c"}]}})"), "");
  EXPECT_EQ(trouble(R"({"spec":{"containers":{}}})"),
            ".spec.containers: expected list, got &value.valueUnstructured{Value:map[string]interface {}{}}");
  EXPECT_EQ(trouble(R"({"metadata":{"labels":{"a":1}}})"),
            ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}");
}

}  // namespace
}  // namespace berth::api::patch

#include "api/patch/patch.h"
#include "api/patch/test_support.h"

namespace berth::api::patch {
namespace {

const schema::Type& pod() { return *kind_of("v1", "Pod").type; }
const schema::Type& deployment() { return *kind_of("apps/v1", "Deployment").type; }

Value patched(const schema::Type& type, const Value& object, std::string_view patch) {
  auto result = apply_strategic_patch(type, object, j(patch));
  EXPECT_TRUE(result.ok()) << patch << ": " << (result.ok() ? "" : result.error().message);
  return result.ok() ? *result : Value();
}
std::string refusal(const schema::Type& type, const Value& object, std::string_view patch) {
  auto result = apply_strategic_patch(type, object, j(patch));
  EXPECT_FALSE(result.ok()) << patch;
  return result.ok() ? "" : result.error().message;
}

Value two_containers() {
  return j(R"({"metadata":{"labels":{"a":"1","b":"2"},"finalizers":["f/1","f/2"]},
               "spec":{"containers":[{"name":"web","image":"i1","args":["x"],"env":[{"name":"A","value":"1"}]},
                                     {"name":"side","image":"i2"}]}})");
}

TEST(StrategicPatch, MapsAreMergedAndNullsRemove) {
  Value out = patched(pod(), two_containers(), R"({"metadata":{"labels":{"a":null,"c":"3"},"annotations":{"x":"y"}}})");
  EXPECT_EQ(out["metadata"]["labels"], j(R"({"b":"2","c":"3"})"));
  EXPECT_EQ(out["metadata"]["annotations"], j(R"({"x":"y"})"));
  EXPECT_EQ(out["spec"], two_containers()["spec"]);
  out = patched(pod(), j("{}"), R"({"metadata":{"labels":{"a":null}}})");
  EXPECT_EQ(out, j(R"({"metadata":{"labels":{}}})")) << "a null is never stored";
}

TEST(StrategicPatch, ListsAreMergedByTheirKey) {
  Value out = patched(pod(), two_containers(), R"({"spec":{"containers":[{"name":"side","image":"i3"}]}})");
  EXPECT_EQ(order(out["spec"]["containers"]), "web side");
  EXPECT_EQ(out["spec"]["containers"][0]["image"].str(), "i1");
  EXPECT_EQ(out["spec"]["containers"][1]["image"].str(), "i3");
  out =
      patched(pod(), two_containers(), R"({"spec":{"containers":[{"name":"web","env":[{"name":"B","value":"2"}]}]}})");
  EXPECT_EQ(order(out["spec"]["containers"][0]["env"]), "B A");
}

TEST(StrategicPatch, NewElementsComeFirstAsUpstreamHasIt) {
  Value out = patched(pod(), two_containers(), R"({"spec":{"containers":[{"name":"new","image":"i"}]}})");
  EXPECT_EQ(order(out["spec"]["containers"]), "new web side");
}

TEST(StrategicPatch, ListsWithoutStrategyAreReplaced) {
  Value out = patched(pod(), two_containers(), R"({"spec":{"containers":[{"name":"web","args":["p","q"]}]}})");
  EXPECT_EQ(order(out["spec"]["containers"][0]["args"]), "p q");
}

TEST(StrategicPatch, SetsAreMergedWithoutDoubles) {
  Value out = patched(pod(), two_containers(), R"({"metadata":{"finalizers":["f/3","f/1","f/3"]}})");
  EXPECT_EQ(order(out["metadata"]["finalizers"]), "f/3 f/1 f/2");
}

TEST(StrategicPatch, DeleteFromPrimitiveList) {
  Value out =
      patched(pod(), two_containers(), R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["f/1","absent"]}})");
  EXPECT_EQ(order(out["metadata"]["finalizers"]), "f/2");
  out = patched(pod(), two_containers(),
                R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["f/1"],"finalizers":["f/9"]}})");
  EXPECT_EQ(order(out["metadata"]["finalizers"]), "f/9 f/2");
  out = patched(pod(), j("{}"), R"({"metadata":{"$deleteFromPrimitiveList/finalizers":["f/1"]}})");
  EXPECT_EQ(out, j(R"({"metadata":{}})"));
  EXPECT_EQ(refusal(pod(), two_containers(), R"({"metadata":{"$deleteFromPrimitiveList/finalizers":"f/1"}})"),
            "invalid patch format of primitive list");
  EXPECT_EQ(refusal(pod(), two_containers(), R"({"metadata":{"$deleteFromPrimitiveList":["f/1"]}})"),
            "invalid patch format of primitive list");
}

TEST(StrategicPatch, DirectivesOnElements) {
  Value out = patched(pod(), two_containers(), R"({"spec":{"containers":[{"$patch":"delete","name":"web"}]}})");
  EXPECT_EQ(order(out["spec"]["containers"]), "side");
  out = patched(pod(), two_containers(), R"({"spec":{"containers":[{"$patch":"delete","name":"absent"}]}})");
  EXPECT_EQ(order(out["spec"]["containers"]), "web side");
  out =
      patched(pod(), two_containers(), R"({"spec":{"containers":[{"$patch":"replace"},{"name":"only","image":"z"}]}})");
  EXPECT_EQ(out["spec"]["containers"], j(R"([{"name":"only","image":"z"}])"));
  out = patched(pod(), two_containers(), R"({"spec":{"containers":[{"$patch":"merge","name":"web","image":"z"}]}})");
  EXPECT_EQ(out["spec"]["containers"][0]["image"].str(), "z");
  EXPECT_FALSE(out["spec"]["containers"][0].contains("$patch"));
  // On a list that is not there: nothing to delete, and no directive is stored.
  out = patched(pod(), j("{}"), R"({"spec":{"volumes":[{"$patch":"delete","name":"v"},{"name":"w","emptyDir":{}}]}})");
  EXPECT_EQ(out["spec"]["volumes"], j(R"([{"name":"w","emptyDir":{}}])"));
}

TEST(StrategicPatch, DirectivesOnMaps) {
  Value out = patched(pod(), two_containers(), R"({"metadata":{"labels":{"$patch":"replace","z":"9"}}})");
  EXPECT_EQ(out["metadata"]["labels"], j(R"({"z":"9"})"));
  out = patched(pod(), two_containers(), R"({"metadata":{"labels":{"$patch":"delete"}}})");
  EXPECT_EQ(out["metadata"]["labels"], j("{}"));
  out = patched(pod(), two_containers(), R"({"metadata":{"labels":{"$patch":"merge","z":"9"}}})");
  EXPECT_EQ(out["metadata"]["labels"], j(R"({"a":"1","b":"2","z":"9"})"));
  EXPECT_EQ(refusal(pod(), two_containers(), R"({"metadata":{"labels":{"$patch":"spin"}}})"),
            "unknown patch type: spin in map: map[$patch:spin]");
}

TEST(StrategicPatch, SetElementOrder) {
  Value out =
      patched(pod(), two_containers(), R"({"spec":{"$setElementOrder/containers":[{"name":"side"},{"name":"web"}]}})");
  EXPECT_EQ(order(out["spec"]["containers"]), "side web");
  out = patched(pod(), two_containers(),
                R"({"spec":{"$setElementOrder/containers":[{"name":"web"},{"name":"new"},{"name":"side"}],
                            "containers":[{"name":"new","image":"n"}]}})");
  EXPECT_EQ(order(out["spec"]["containers"]), "web new side");
  // What only the server knows keeps its place among what it knew before.
  out = patched(pod(), j(R"({"spec":{"containers":[{"name":"a"},{"name":"injected"},{"name":"b"}]}})"),
                R"({"spec":{"$setElementOrder/containers":[{"name":"a"},{"name":"b"},{"name":"c"}],
                            "containers":[{"name":"c"}]}})");
  EXPECT_EQ(order(out["spec"]["containers"]), "a injected b c");
  out = patched(pod(), two_containers(), R"({"metadata":{"$setElementOrder/finalizers":["f/2","f/1"]}})");
  EXPECT_EQ(order(out["metadata"]["finalizers"]), "f/2 f/1");
  out = patched(pod(), two_containers(),
                R"({"spec":{"$setElementOrder/containers":[{"name":"side"}],
                            "containers":[{"$patch":"delete","name":"web"}]}})");
  EXPECT_EQ(order(out["spec"]["containers"]), "side");
  EXPECT_NE(refusal(pod(), two_containers(),
                    R"({"spec":{"$setElementOrder/containers":[{"name":"web"}],"containers":[{"name":"other"}]}})")
                .find("doesn't match $setElementOrder list"),
            std::string::npos);
  out = patched(pod(), j("{}"), R"({"spec":{"$setElementOrder/containers":[{"name":"web"}]}})");
  EXPECT_EQ(out, j(R"({"spec":{}})"));
}

TEST(StrategicPatch, RetainKeys) {
  const Value before = j(R"({"spec":{"strategy":{"type":"RollingUpdate","rollingUpdate":{"maxSurge":1}}}})");
  Value out = patched(deployment(), before, R"({"spec":{"strategy":{"$retainKeys":["type"],"type":"Recreate"}}})");
  EXPECT_EQ(out["spec"]["strategy"], j(R"({"type":"Recreate"})"));
  EXPECT_EQ(refusal(deployment(), before, R"({"spec":{"strategy":{"$retainKeys":["type"],"rollingUpdate":{}}}})"),
            "invalid patch format of retainKeys");
  EXPECT_EQ(refusal(deployment(), before, R"({"spec":{"strategy":{"$retainKeys":"type"}}})"),
            "invalid patch format of retainKeys");
  // Of an element: a volume that changes its source.
  out = patched(pod(), j(R"({"spec":{"volumes":[{"name":"v","emptyDir":{}}]}})"),
                R"({"spec":{"volumes":[{"$retainKeys":["name","hostPath"],"name":"v","hostPath":{"path":"/x"}}]}})");
  EXPECT_EQ(out["spec"]["volumes"], j(R"([{"name":"v","hostPath":{"path":"/x"}}])"));
}

TEST(StrategicPatch, BadPatchesNameTheTrouble) {
  EXPECT_EQ(refusal(pod(), two_containers(), R"({"spec":{"containers":[{"image":"x"}]}})"),
            "map: map[image:x] does not contain declared merge key: name");
  EXPECT_EQ(refusal(pod(), two_containers(), R"({"spec":{"containers":[{"$patch":"spin","name":"web"}]}})"),
            "unknown patch type: spin in map: map[$patch:spin name:web]");
  EXPECT_EQ(refusal(pod(), two_containers(), R"([1])"), "invalid JSON document");
  EXPECT_EQ(refusal(pod(), two_containers(), R"({"spec":{"$setElementOrder/containers":"x"}})"),
            "expected a slice, but received a string");
}

TEST(StrategicPatch, TypesThatChangeAreReplaced) {
  Value out = patched(pod(), j(R"({"spec":{"unknown":{"a":1}}})"), R"({"spec":{"unknown":[1]}})");
  EXPECT_EQ(out["spec"]["unknown"], j("[1]"));
  out = patched(deployment(), j(R"({"spec":{"strategy":{"rollingUpdate":{"maxSurge":1}}}})"),
                R"({"spec":{"strategy":{"rollingUpdate":{"maxSurge":"25%"}}}})");
  EXPECT_EQ(out["spec"]["strategy"]["rollingUpdate"]["maxSurge"].str(), "25%");
}

TEST(StrategicPatch, PortsAreKeyedByContainerPortAlone) {
  Value out = patched(
      pod(), j(R"({"spec":{"containers":[{"name":"c","ports":[{"containerPort":80,"name":"http"}]}]}})"),
      R"({"spec":{"containers":[{"name":"c","ports":[{"containerPort":80,"name":"web"},{"containerPort":81}]}]}})");
  EXPECT_EQ(out["spec"]["containers"][0]["ports"], j(R"([{"containerPort":80,"name":"web"},{"containerPort":81}])"));
}

}  // namespace
}  // namespace berth::api::patch

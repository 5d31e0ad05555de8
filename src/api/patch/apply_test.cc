#include "api/patch/managers.h"
#include "api/patch/patch.h"
#include "api/patch/test_support.h"
#include "base/time/time.h"

namespace berth::api::patch {
namespace {

Time at(int second) { return *parse_time("2026-01-02T03:04:00Z") + std::chrono::seconds(second); }
const schema::Kind& configmaps() { return kind_of("v1", "ConfigMap"); }
const schema::Kind& deployments() { return kind_of("apps/v1", "Deployment"); }
const schema::Kind& pods() { return kind_of("v1", "Pod"); }

Value configmap(std::string_view data) {
  return Value::object({{"apiVersion", "v1"},
                        {"kind", "ConfigMap"},
                        {"metadata", Value::object({{"name", "c"}, {"namespace", "d"}})},
                        {"data", j(data)}});
}

// "m1 Apply {...}" lines.
std::vector<std::string> owners(const Value& object) {
  std::vector<std::string> out;
  for (const Value& entry : object["metadata"]["managedFields"]) {
    std::string line = entry["manager"].str() + " " + entry["operation"].str();
    if (!entry["subresource"].is_null()) line += "/" + entry["subresource"].str();
    out.push_back(line + " " + json::encode(entry["fieldsV1"]));
  }
  return out;
}
using Lines = std::vector<std::string>;

Applied must_apply(const schema::Kind& kind, const Value& live, const Value& applied, std::string_view manager,
                   bool force = false, int second = 0) {
  auto result = apply(kind, live, applied, manager, force, "", at(second));
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return result.ok() ? *result : Applied();
}

TEST(TrackUpdate, AChangeMovesOwnership) {
  Value first = track_update(configmaps(), nullptr, configmap(R"({"a":"1","b":"1"})"), "one", "", at(0));
  EXPECT_EQ(owners(first), (Lines{R"(one Update {"f:data":{".":{},"f:a":{},"f:b":{}}})"}));
  EXPECT_EQ(first["metadata"]["managedFields"][0]["time"].str(), "2026-01-02T03:04:00Z");
  EXPECT_EQ(first["metadata"]["managedFields"][0]["apiVersion"].str(), "v1");
  Value second = track_update(configmaps(), first, configmap(R"({"a":"2","b":"1","c":"1"})"), "two", "", at(5));
  EXPECT_EQ(owners(second),
            (Lines{R"(one Update {"f:data":{".":{},"f:b":{}}})", R"(two Update {"f:data":{"f:a":{},"f:c":{}}})"}));
  EXPECT_EQ(second["metadata"]["managedFields"][0]["time"].str(), "2026-01-02T03:04:00Z")
      << "whoever loses keeps his time";
  // The same again changes nothing, not even a time.
  Value third = track_update(configmaps(), second, configmap(R"({"a":"2","b":"1","c":"1"})"), "two", "", at(9));
  EXPECT_EQ(third["metadata"]["managedFields"], second["metadata"]["managedFields"]);
  // Removed fields have no owner.
  Value fourth = track_update(configmaps(), second, configmap(R"({"a":"2"})"), "two", "", at(9));
  EXPECT_EQ(owners(fourth), (Lines{R"(one Update {"f:data":{}})", R"(two Update {"f:data":{"f:a":{}}})"}));
}

TEST(TrackUpdate, AnAppliersEmptyMapStaysWhenItsKeysAreTaken) {
  auto applied = [](const Value& live, const char* data, const char* manager) {
    return apply(configmaps(), live, configmap(data), manager, true, "", at(0)).value().object;
  };
  Value first = applied(nullptr, R"({"a":"1","b":"1"})", "m1");
  Value second = applied(first, R"({"a":"2"})", "m2");
  Value third = applied(second, "{}", "m1");
  EXPECT_EQ(owners(third), (Lines{R"(m1 Apply {"f:data":{}})", R"(m2 Apply {"f:data":{"f:a":{}}})"}));
  Value fourth = track_update(configmaps(), third, configmap(R"({"a":"7","u":"1"})"), "u", "", at(5));
  EXPECT_EQ(owners(fourth), (Lines{R"(m1 Apply {"f:data":{}})", R"(u Update {"f:data":{"f:a":{},"f:u":{}}})"}));
}

TEST(TrackUpdate, SubresourcesHaveEntriesOfTheirOwn) {
  Value pod = j(R"({"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"nodeName":"n"},"status":{}})");
  pod = track_update(pods(), nullptr, pod, "kubelet", "", at(0));
  Value running = pod;
  running.set("status", j(R"({"phase":"Running"})"));
  // A client cannot change managed fields through a subresource.
  running.mut("metadata").set("managedFields", Value::array());
  running = track_update(pods(), pod, running, "kubelet", "status", at(1));
  EXPECT_EQ(owners(running), (Lines{R"(kubelet Update {"f:spec":{"f:nodeName":{}}})",
                                    R"(kubelet Update/status {"f:status":{"f:phase":{}}})"}));
}

TEST(TrackUpdate, ClientsMayResetAndMayForget) {
  Value first = track_update(configmaps(), nullptr, configmap(R"({"a":"1"})"), "one", "", at(0));
  Value forgot = track_update(configmaps(), first, configmap(R"({"a":"1"})"), "two", "", at(1));
  EXPECT_EQ(owners(forgot), owners(first));
  for (const char* reset : {"[]", "[{}]"}) {
    Value cleared = configmap(R"({"a":"2"})");
    cleared.mut("metadata").set("managedFields", j(reset));
    cleared = track_update(configmaps(), first, cleared, "two", "", at(1));
    EXPECT_FALSE(cleared["metadata"].contains("managedFields")) << "not tracked any more until it is applied";
    Value later = track_update(configmaps(), cleared, configmap(R"({"a":"3"})"), "two", "", at(2));
    EXPECT_FALSE(later["metadata"].contains("managedFields"));
  }
  Value broken = configmap(R"({"a":"2"})");
  broken.mut("metadata").set("managedFields", j(R"([{"manager":"x","operation":"Spin"}])"));
  EXPECT_EQ(owners(track_update(configmaps(), first, broken, "two", "", at(1))),
            (Lines{R"(one Update {"f:data":{}})", R"(two Update {"f:data":{"f:a":{}}})"}));
}

TEST(TrackUpdate, AtMostTenUpdaters) {
  Value object = track_update(configmaps(), nullptr, configmap(R"({"k":"0"})"), "m00", "", at(0));
  for (int i = 1; i < 14; ++i) {
    Value next = object;
    next.mut("data").set("k" + std::to_string(i), "1");
    object = track_update(configmaps(), object, next, "m" + std::to_string(10 + i), "", at(i));
  }
  const Value& entries = object["metadata"]["managedFields"];
  EXPECT_EQ(entries.size(), 10u);
  EXPECT_EQ(entries[0]["manager"].str(), "ancient-changes");
  EXPECT_EQ(json::encode(entries[0]["fieldsV1"]),
            R"({"f:data":{".":{},"f:k":{},"f:k1":{},"f:k2":{},"f:k3":{},"f:k4":{}}})");
  EXPECT_EQ(entries[0]["time"].str(), "2026-01-02T03:04:04Z");
  EXPECT_EQ(entries[9]["manager"].str(), "m23");
}

TEST(Apply, CreatesAndOwnsWhatWasSent) {
  Applied made = must_apply(configmaps(), nullptr, configmap(R"({"x":"1","y":"1"})"), "m1");
  EXPECT_EQ(made.object["data"], j(R"({"x":"1","y":"1"})"));
  EXPECT_EQ(owners(made.object), (Lines{R"(m1 Apply {"f:data":{"f:x":{},"f:y":{}}})"}));
  // Again: nothing moves, not even the time.
  Applied again = must_apply(configmaps(), made.object, configmap(R"({"x":"1","y":"1"})"), "m1", false, 30);
  EXPECT_EQ(again.object, made.object);
}

TEST(Apply, ConflictsNameTheOwnerAndTheField) {
  Value live = must_apply(configmaps(), nullptr, configmap(R"({"x":"1","y":"1"})"), "m1").object;
  Applied refused = must_apply(configmaps(), live, configmap(R"({"x":"2"})"), "m2");
  ASSERT_EQ(refused.conflicts.size(), 1u);
  EXPECT_EQ(refused.object, live);
  Error error = conflict_error(refused.conflicts);
  EXPECT_EQ(error.code, Code::kConflict);
  EXPECT_EQ(error.message, R"(Apply failed with 1 conflict: conflict with "m1": .data.x)");
  ASSERT_EQ(error.details->causes.size(), 1u);
  EXPECT_EQ(error.details->causes[0].reason, "FieldManagerConflict");
  EXPECT_EQ(error.details->causes[0].message, R"(conflict with "m1")");
  EXPECT_EQ(error.details->causes[0].field, ".data.x");
  // The same value is no conflict: the field is shared.
  Applied shared = must_apply(configmaps(), live, configmap(R"({"x":"1"})"), "m2");
  EXPECT_TRUE(shared.conflicts.empty());
  EXPECT_EQ(owners(shared.object),
            (Lines{R"(m2 Apply {"f:data":{"f:x":{}}})", R"(m1 Apply {"f:data":{"f:x":{},"f:y":{}}})"}));
  // Force takes it.
  Applied forced = must_apply(configmaps(), live, configmap(R"({"x":"2"})"), "m2", true);
  EXPECT_TRUE(forced.conflicts.empty());
  EXPECT_EQ(forced.object["data"], j(R"({"x":"2","y":"1"})"));
  EXPECT_EQ(owners(forced.object), (Lines{R"(m1 Apply {"f:data":{"f:y":{}}})", R"(m2 Apply {"f:data":{"f:x":{}}})"}));
}

TEST(Apply, SeveralConflictsAreGroupedByManager) {
  Value live = must_apply(configmaps(), nullptr, configmap(R"({"x":"1"})"), "m1").object;
  Value updated = live;
  updated.mut("data").set("y", "1").set("z", "1");
  live = track_update(configmaps(), live, updated, "editor", "", at(1));
  Applied refused = must_apply(configmaps(), live, configmap(R"({"x":"2","y":"2","z":"2"})"), "m2");
  EXPECT_EQ(conflict_error(refused.conflicts).message,
            "Apply failed with 3 conflicts: conflicts with \"editor\" using v1:\n- .data.y\n- .data.z\n"
            "conflicts with \"m1\":\n- .data.x");
}

TEST(Apply, WhatIsNoLongerSentGoesUnlessAnotherOwnsIt) {
  Value live = must_apply(configmaps(), nullptr, configmap(R"({"x":"1","y":"1","z":"1"})"), "m1").object;
  live = must_apply(configmaps(), live, configmap(R"({"y":"1"})"), "m2").object;
  Value unowned = live;
  unowned.mut("data").set("u", "1");
  live = track_update(configmaps(), live, unowned, "editor", "", at(1));
  Applied less = must_apply(configmaps(), live, configmap(R"({"z":"1"})"), "m1");
  EXPECT_EQ(less.object["data"], j(R"({"u":"1","y":"1","z":"1"})"));
  EXPECT_EQ(owners(less.object), (Lines{R"(m2 Apply {"f:data":{"f:y":{}}})", R"(m1 Apply {"f:data":{"f:z":{}}})",
                                        R"(editor Update {"f:data":{"f:u":{}}})"}));
}

Value deployment(std::string_view containers, std::string_view volumes = "[]") {
  Value out =
      j(R"({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"},"spec":{"template":{"spec":{}}}})");
  out.mut("spec").mut("template").mut("spec").set("containers", j(containers));
  if (volumes != "[]") out.mut("spec").mut("template").mut("spec").set("volumes", j(volumes));
  return out;
}
const Value& spec_of(const Value& deployment) { return deployment["spec"]["template"]["spec"]; }

TEST(Apply, ElementsOfListsComeAndGoByTheirOwner) {
  Value live =
      must_apply(deployments(), nullptr, deployment(R"([{"name":"a","image":"1"},{"name":"b","image":"1"}])"), "m1")
          .object;
  live = must_apply(deployments(), live, deployment(R"([{"name":"side","image":"s"}])"), "injector").object;
  EXPECT_EQ(order(spec_of(live)["containers"]), "a b side");
  live = must_apply(deployments(), live, deployment(R"([{"name":"b","image":"2"}])"), "m1").object;
  EXPECT_EQ(order(spec_of(live)["containers"]), "b side");
  EXPECT_EQ(spec_of(live)["containers"][0]["image"].str(), "2");
  // A volume changes its source: the old one must not stay beside the new one.
  Value with_volume =
      must_apply(deployments(), live, deployment("[]", R"([{"name":"v","emptyDir":{}}])"), "vol").object;
  Value changed =
      must_apply(deployments(), with_volume, deployment("[]", R"([{"name":"v","hostPath":{"path":"/x"}}])"), "vol")
          .object;
  EXPECT_EQ(spec_of(changed)["volumes"], j(R"([{"name":"v","hostPath":{"path":"/x"}}])"));
}

TEST(Apply, AnObjectThatBecomesEmptyStays) {
  Value live =
      must_apply(deployments(), nullptr, deployment("[]", R"([{"name":"v","emptyDir":{"medium":"Memory"}}])"), "m")
          .object;
  live = must_apply(deployments(), live, deployment("[]", R"([{"name":"v","emptyDir":{}}])"), "m").object;
  EXPECT_EQ(spec_of(live)["volumes"], j(R"([{"name":"v","emptyDir":{}}])"));
}

TEST(Apply, FieldsOfOthersInsideAnElementKeepIt) {
  Value live = must_apply(deployments(), nullptr, deployment(R"([{"name":"a","image":"1"}])"), "m1").object;
  live = must_apply(deployments(), live, deployment(R"([{"name":"a","env":[{"name":"E","value":"1"}]}])"), "m2").object;
  live = must_apply(deployments(), live, deployment(R"([{"name":"other","image":"o"}])"), "m1").object;
  EXPECT_EQ(order(spec_of(live)["containers"]), "a other");
  EXPECT_EQ(spec_of(live)["containers"][0], j(R"({"name":"a","env":[{"name":"E","value":"1"}]})"));
}

TEST(Apply, ObjectsFromBeforeTheFirstApply) {
  Value live = configmap(R"({"x":"1"})");
  live.mut("metadata").set("uid", "u");
  Applied refused = must_apply(configmaps(), live, configmap(R"({"x":"2"})"), "m1");
  ASSERT_EQ(refused.conflicts.size(), 1u);
  EXPECT_EQ(conflict_error(refused.conflicts).message,
            R"(Apply failed with 1 conflict: conflict with "before-first-apply" using v1: .data.x)");
  Applied fine = must_apply(configmaps(), live, configmap(R"({"y":"2"})"), "m1");
  EXPECT_EQ(owners(fine.object),
            (Lines{R"(m1 Apply {"f:data":{"f:y":{}}})", R"(before-first-apply Update {"f:data":{".":{},"f:x":{}}})"}));
}

TEST(Apply, KubectlMayTakeOverWhatItAppliedFromTheClient) {
  Value live = configmap(R"({"x":"1","y":"1"})");
  Value last = configmap(R"({"x":"1"})");
  live.mut("metadata").mut("annotations").set("kubectl.kubernetes.io/last-applied-configuration", json::encode(last));
  live = track_update(configmaps(), nullptr, live, "kubectl-client-side-apply", "", at(0));
  Applied upgraded = must_apply(configmaps(), live, configmap(R"({"x":"2"})"), "kubectl");
  EXPECT_TRUE(upgraded.conflicts.empty());
  EXPECT_EQ(upgraded.object["data"]["x"].str(), "2");
  EXPECT_EQ(upgraded.object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"].str(),
            json::encode(configmap(R"({"x":"2"})")) + "\n");
  Applied refused = must_apply(configmaps(), live, configmap(R"({"y":"2"})"), "kubectl");
  EXPECT_EQ(refused.conflicts.size(), 1u) << "it never applied that one";
  EXPECT_EQ(must_apply(configmaps(), live, configmap(R"({"x":"2"})"), "other").conflicts.size(), 1u);
}

TEST(Apply, RefusesWhatItCannotTrack) {
  auto refusal = [](const schema::Kind& kind, const Value& applied) {
    auto result = apply(kind, nullptr, applied, "m", false, "", at(0));
    EXPECT_FALSE(result.ok());
    return result.ok() ? "" : result.error().message;
  };
  Value wrong = configmap("{}");
  wrong.set("apiVersion", "v2");
  EXPECT_EQ(refusal(configmaps(), wrong),
            "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1");
  Value managed = configmap("{}");
  managed.mut("metadata").set("managedFields", Value::array());
  EXPECT_EQ(refusal(configmaps(), managed), "metadata.managedFields must be nil");
  Value unknown = configmap("{}");
  unknown.set("dota", j("{}"));
  EXPECT_EQ(refusal(configmaps(), unknown),
            "failed to create typed patch object (d/c; /v1, Kind=ConfigMap): .dota: field not declared in schema");
  EXPECT_EQ(
      refusal(deployments(), deployment(R"([{"name":"a"},{"name":"a"}])")),
      R"(failed to create typed patch object (/d; apps/v1, Kind=Deployment): .spec.template.spec.containers: duplicate entries for key [name="a"])");
}

}  // namespace
}  // namespace berth::api::patch

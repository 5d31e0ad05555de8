// What a real Kubernetes answered to patches and applies (tests/data/recorded/patch.jsonl), replayed.

#include <map>

#include "api/patch/patch.h"
#include "api/patch/test_support.h"
#include "base/files.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::api::patch {
namespace {

class Recorded : public ::testing::Test {
 protected:
  Recorded() {
    auto text = read_file(std::string(BERTH_SOURCE_DIR) + "/tests/data/recorded/patch.jsonl");
    EXPECT_TRUE(text.ok());
    if (!text.ok()) return;
    for (std::string_view line : split(*text, '\n')) {
      if (!line.empty()) cases_[j(line)["case"].str()] = j(line);
    }
  }
  const Value& at(const std::string& name) {
    EXPECT_TRUE(cases_.contains(name)) << name;
    return cases_[name];
  }
  const Value& response(const std::string& name) { return at(name)["response"]; }
  static std::string manager(const Value& recorded) {
    Cut query = cut(recorded["path"].as_string(), "fieldManager=");
    return query.found ? std::string(cut(query.after, "&").before) : "unknown";
  }
  static const Value& managed(const Value& object) { return object["metadata"]["managedFields"]; }
  static Value unmanaged(Value object) {
    object.mut("metadata").erase("managedFields");
    return object;
  }
  // A write that led from one recorded object to the next, by the same rules as there.
  void expect_tracked(const schema::Kind& kind, const Value& before, const std::string& name) {
    const Value& want = response(name);
    Value newest = managed(want)[managed(want).size() - 1];
    Value got =
        track_update(kind, before, unmanaged(want), manager(at(name)), "", *parse_time(newest["time"].as_string()));
    EXPECT_EQ(json::encode_pretty(managed(got)), json::encode_pretty(managed(want))) << name;
  }

  std::map<std::string, Value> cases_;
  const schema::Kind& configmaps_ = kind_of("v1", "ConfigMap");
  const schema::Kind& deployments_ = kind_of("apps/v1", "Deployment");
};

TEST_F(Recorded, OrdinaryWritesOfAConfigMap) {
  expect_tracked(configmaps_, nullptr, "create");
  expect_tracked(configmaps_, response("create"), "update");
  expect_tracked(configmaps_, nullptr, "generateName");
  expect_tracked(configmaps_, response("json patch"), "merge patch");
  expect_tracked(configmaps_, response("merge patch"), "strategic patch");
  expect_tracked(configmaps_, response("strategic patch"), "finalizer holds");
}

TEST_F(Recorded, PatchesGiveTheSameContent) {
  const Value& json_patched = response("json patch");
  Value before = json_patched;
  before.mut("data").erase("b");
  auto patched = apply_json_patch(before, at("json patch")["body"]);
  ASSERT_TRUE(patched.ok());
  EXPECT_EQ((*patched)["data"], json_patched["data"]);
  EXPECT_EQ(apply_merge_patch(json_patched, at("merge patch")["body"])["data"], response("merge patch")["data"]);
  auto strategic = apply_strategic_patch(*configmaps_.type, response("merge patch"), at("strategic patch")["body"]);
  ASSERT_TRUE(strategic.ok());
  EXPECT_EQ((*strategic)["metadata"]["labels"], response("strategic patch")["metadata"]["labels"]);
  auto bad = apply_json_patch(before, at("json patch bad path")["body"]);
  ASSERT_TRUE(bad.failed_with(Code::kInvalid));
  EXPECT_EQ(bad.error().message, response("json patch bad path")["message"].str());
}

TEST_F(Recorded, AppliesOfAConfigMap) {
  const Value body = j(at("apply conflict")["body"].as_string());
  Value first = body;
  first.set("data", j(R"({"x":"1","y":"1"})"));
  auto live = apply(configmaps_, nullptr, first, "m1", false, "", *parse_time("2026-11-20T17:08:00Z"));
  ASSERT_TRUE(live.ok());

  auto refused = apply(configmaps_, live->object, body, "m2", false, "", {});
  ASSERT_TRUE(refused.ok());
  const Error error = conflict_error(refused->conflicts);
  const Value& want = response("apply conflict");
  EXPECT_EQ(error.message, want["message"].str());
  ASSERT_EQ(error.details->causes.size(), want["details"]["causes"].size());
  EXPECT_EQ(error.details->causes[0].reason, want["details"]["causes"][0]["reason"].str());
  EXPECT_EQ(error.details->causes[0].message, want["details"]["causes"][0]["message"].str());
  EXPECT_EQ(error.details->causes[0].field, want["details"]["causes"][0]["field"].str());

  const Time now = *parse_time("2026-11-20T17:08:00Z");
  auto forced = apply(configmaps_, live->object, body, "m2", true, "", now);
  ASSERT_TRUE(forced.ok());
  EXPECT_EQ(managed(forced->object), managed(response("apply force")));
  EXPECT_EQ(forced->object["data"], response("apply force")["data"]);

  auto dropped = apply(configmaps_, response("apply force"), j(at("apply drops a field")["body"].as_string()), "m1",
                       false, "", now);
  ASSERT_TRUE(dropped.ok());
  EXPECT_TRUE(dropped->conflicts.empty());
  // 1.20 forgot an applier of an empty map; newer versions do not.
  EXPECT_EQ(managed(dropped->object).size(), 2u);
  EXPECT_EQ(json::encode(managed(dropped->object)[0]["fieldsV1"]), R"({"f:data":{}})");
  EXPECT_EQ(managed(dropped->object)[1], managed(response("apply drops a field"))[0]);
  EXPECT_EQ(dropped->object["data"], response("apply drops a field")["data"]);

  expect_tracked(configmaps_, response("apply drops a field"), "update after apply");
}

TEST_F(Recorded, AppliesOfADeployment) {
  const Time now = *parse_time("2026-11-20T17:08:00Z");
  auto made = apply(deployments_, nullptr, j(at("apply deployment")["body"].as_string()), "m1", false, "", now);
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(json::encode_pretty(managed(made->object)), json::encode_pretty(managed(response("apply deployment"))));
  const std::string second = "apply deployment by another manager";
  auto joined =
      apply(deployments_, response("apply deployment"), j(at(second)["body"].as_string()), "m2", false, "", now);
  ASSERT_TRUE(joined.ok()) << joined.error().message;
  EXPECT_TRUE(joined->conflicts.empty());
  EXPECT_EQ(json::encode_pretty(managed(joined->object)), json::encode_pretty(managed(response(second))));
  EXPECT_EQ(joined->object["spec"], response(second)["spec"]);
}

TEST_F(Recorded, AControllersStatusUpdate) {
  const Value& before = response("apply deployment by another manager");
  const Value& want = response("status ignored on main");
  Value after = track_update(deployments_, before, unmanaged(want), "kube-controller-manager", "",
                             *parse_time("2026-11-20T17:08:00Z"));
  // The last entry there is of the write that the name speaks of; since 1.22 it leaves no trace.
  Value expected = managed(want);
  expected.erase(expected.size() - 1);
  EXPECT_EQ(json::encode_pretty(managed(after)), json::encode_pretty(expected));
}

}  // namespace
}  // namespace berth::api::patch

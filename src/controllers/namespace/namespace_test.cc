#include <gtest/gtest.h>

#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/namespace/controller.h"
#include "controllers/namespace/plan.h"

namespace berth::controllers::namespaces {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = Time(std::chrono::hours(24 * 365 * 56));

Value leaving() {
  return from(
      R"({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"a","uid":"ns","resourceVersion":"3","deletionTimestamp":"2026-01-01T00:00:00Z"},
      "spec":{"finalizers":["kubernetes"]},"status":{"phase":"Terminating"}})");
}

Value thing(const char* kind, const char* name) {
  return Value::object({{"apiVersion", "v1"},
                        {"kind", kind},
                        {"metadata", Value::object({{"name", name}, {"namespace", "a"}, {"uid", name}})}});
}

const Value& condition(const Plan& plan, std::string_view type) {
  static const Value none;
  for (const Action& action : plan.then) {
    for (const Value& one : action.object["status"]["conditions"]) {
      if (one["type"].as_string() == type) return one;
    }
  }
  return none;
}

TEST(NamespacePlanTest, PodsGoFirst) {
  NamespaceView view{leaving(), {{kConfigMaps, {thing("ConfigMap", "c")}}, {kPods, {thing("Pod", "p")}}}, false};
  Plan plan = plan_namespace(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].resource, kPods);
  EXPECT_EQ(condition(plan, "NamespaceContentRemaining")["message"].as_string(),
            "Some resources are remaining: configmaps. has 1 resource instances, pods. has 1 resource instances");
  view.contents[1].items.clear();
  view.contents[0].items[0].mut("metadata").set("finalizers", from(R"(["example.com/hold"])"));
  plan = plan_namespace(view, kNow);
  EXPECT_EQ(plan.chains[0][0].resource, kConfigMaps);
  EXPECT_EQ(condition(plan, "NamespaceFinalizersRemaining")["message"].as_string(),
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances");
  view.contents[0].items[0].mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_TRUE(plan_namespace(view, kNow).chains.empty());
}

TEST(NamespacePlanTest, ConditionsNameOnlyWhatStays) {
  Value held = thing("ConfigMap", "held");
  held.mut("metadata").set("finalizers", from(R"(["example.com/hold"])"));
  NamespaceView view{
      leaving(), {{kConfigMaps, {thing("ConfigMap", "c"), held}}, {kServices, {thing("Service", "s")}}}, false};
  Plan plan = plan_namespace(view, kNow);
  EXPECT_EQ(plan.chains.size(), 3u);
  EXPECT_EQ(condition(plan, "NamespaceContentRemaining")["message"].as_string(),
            "Some resources are remaining: configmaps. has 1 resource instances");
  view.contents[0].items.pop_back();
  plan = plan_namespace(view, kNow);
  EXPECT_EQ(plan.chains.size(), 2u);
  EXPECT_TRUE(plan.then.empty());
}

TEST(NamespacePlanTest, PodsOfASetWithOrderedTeardownAreLeftToIt) {
  Value set = thing("StatefulSet", "web"), member = thing("Pod", "web-1");
  set.mut("metadata").set("finalizers", from(R"(["berth.dev/ordered-teardown"])"));
  member.mut("metadata")
      .set("ownerReferences", Value::array({api::controller_reference(set, "apps/v1", "StatefulSet")}));
  NamespaceView view{
      leaving(), {{kPods, {thing("Pod", "p"), member}}, {kStatefulSets, {set, thing("StatefulSet", "db")}}}, false};
  auto deleted = [&] {
    std::vector<std::string> out;
    for (const auto& chain : plan_namespace(view, kNow).chains) out.push_back(chain[0].name.name);
    return out;
  };
  EXPECT_EQ(deleted(), (std::vector<std::string>{"p", "web"}));
  view.contents[0].items = {member};
  view.contents[1].items[0].mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_TRUE(deleted().empty()) << "the set sees to its last pod";
  view.contents[1].items[0].mut("metadata").erase("finalizers");
  EXPECT_EQ(deleted(), std::vector<std::string>{"web-1"}) << "it no longer does";
  view.contents[0].items.clear();
  EXPECT_EQ(deleted(), std::vector<std::string>{"db"});
}

TEST(NamespacePlanTest, LetGoOnlyWhenTheServerSaysItIsEmpty) {
  NamespaceView view{leaving(), {{kPods, {}}}, false};
  EXPECT_TRUE(plan_namespace(view, kNow).empty());
  view.live = true;
  const Plan plan = plan_namespace(view, kNow);
  ASSERT_EQ(plan.chains.size(), 1u);
  EXPECT_EQ(plan.chains[0][0].subresource, "finalize");
  EXPECT_TRUE(plan.chains[0][0].object["spec"]["finalizers"].empty());
  view.object.mut("metadata").erase("deletionTimestamp");
  EXPECT_TRUE(plan_namespace(view, kNow).empty());
}

TEST(NamespacePlanTest, ConditionsBecomeFalseWhenNothingIsLeft) {
  NamespaceView view{leaving(), {{kPods, {}}}, true};
  const Value text = from(R"([{"type": "NamespaceContentRemaining", "status": "True", "reason": "SomeResourcesRemain",
    "message": "Some resources are remaining: pods. has 1 resource instances", "lastTransitionTime": "2026-01-01T00:00:00Z"}])");
  for (const bool held : {true, false}) {
    view.object = leaving();
    if (held) {
      view.object.mut("metadata").set("finalizers", from(R"(["example.com/hold"])"));
    } else {
      view.object.mut("status").set("conditions", text);
    }
    Plan plan = plan_namespace(view, kNow);
    ASSERT_EQ(plan.chains.size(), 1u);
    ASSERT_EQ(plan.chains[0].size(), 1u) << "what comes after this has another version of the namespace";
    const Action& action = plan.chains[0][0];
    EXPECT_EQ(action.subresource, "status");
    std::map<std::string, std::string> statuses;
    for (const Value& condition : action.object["status"]["conditions"]) {
      statuses[condition["type"].str()] = condition["status"].str() + " " + condition["reason"].str();
    }
    EXPECT_EQ(statuses.size(), 5u);
    EXPECT_EQ(statuses["NamespaceContentRemaining"], "False ContentRemoved");
    EXPECT_EQ(statuses["NamespaceFinalizersRemaining"], "False ContentHasNoFinalizers");
    view.object.mut("status").set("conditions", action.object["status"]["conditions"]);
    plan = plan_namespace(view, kNow + 1h);
    ASSERT_EQ(plan.chains.size(), 1u);
    EXPECT_EQ(plan.chains[0][0].subresource, "finalize");
  }
}

TEST(NamespaceTest, EmptiesEverythingOfItsOwn) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  Value alive = leaving();
  alive.mut("metadata").erase("deletionTimestamp");
  api.put(kNamespaces, alive);
  api.put(kPods, thing("Pod", "p"));
  api.put(kEvents, thing("Event", "e"));
  Value other = thing("ConfigMap", "c");
  other.mut("metadata").set("namespace", "b");
  api.put(kConfigMaps, other);
  api.put(kConfigMaps, thing("ConfigMap", "c"));
  Driver driver(informers, make_controller(informers, {{kPods, "Pod", true},
                                                       {kConfigMaps, "ConfigMap", true},
                                                       {kEvents, "Event", true},
                                                       {kNodes, "Node", false}}));
  runtime.advance(1s);
  EXPECT_EQ(api.count(kPods), 1u);
  api.put(kNamespaces, leaving());
  runtime.advance(1s);
  EXPECT_EQ(api.count(kPods), 0u);
  EXPECT_EQ(api.count(kEvents), 0u);
  EXPECT_EQ(api.count(kConfigMaps), 1u);
  EXPECT_TRUE(api.read(kNamespaces, {"", "a"})["spec"]["finalizers"].empty());
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
}

// An Event held by a finalizer: no informer reports its deletion.
TEST(NamespaceTest, WhatIsHeldIsLookedAtNowAndThen) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  api.put(kNamespaces, leaving());
  Value held = thing("Event", "e");
  held.mut("metadata")
      .set("deletionTimestamp", "2026-01-01T00:00:00Z")
      .set("finalizers", from(R"(["example.com/hold"])"));
  api.put(kEvents, held);
  Driver driver(
      informers,
      make_controller(informers, {{kPods, "Pod", true}, {kConfigMaps, "ConfigMap", true}, {kEvents, "Event", true}}));
  runtime.advance(1s);
  const std::size_t calls = api.calls.size();
  runtime.advance(60s);
  EXPECT_LE(api.calls.size() - calls, 8u * 3);  // three lists each time
  // Objects created in a watched kind are deleted at once.
  api.put(kConfigMaps, thing("ConfigMap", "late"));
  runtime.advance(10ms);
  EXPECT_EQ(api.count(kConfigMaps), 0u);
  api.erase(kEvents, {"a", "e"});
  runtime.advance(8s);
  EXPECT_TRUE(api.read(kNamespaces, {"", "a"})["spec"]["finalizers"].empty());
}

}  // namespace
}  // namespace berth::controllers::namespaces

#include <gtest/gtest.h>

#include "base/text.h"
#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/daemonset/controller.h"
#include "controllers/daemonset/nodes.h"
#include "controllers/daemonset/plan.h"

namespace berth::controllers::daemonset {
namespace {

using namespace api::resources;  // NOLINT
using Steps = std::vector<std::string>;

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();

Value make_set() {
  return from(
      R"({"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"log","namespace":"default","uid":"set","generation":1,"resourceVersion":"1",
      "annotations":{"deprecated.daemonset.template.generation":"1"}},
      "spec":{"selector":{"matchLabels":{"app":"log"}},"revisionHistoryLimit":2,
      "updateStrategy":{"type":"RollingUpdate","rollingUpdate":{"maxUnavailable":1,"maxSurge":0}},
      "template":{"metadata":{"labels":{"app":"log"}},"spec":{"containers":[{"name":"c","image":"i:1"}]}}},
      "status":{"currentNumberScheduled":0,"numberMisscheduled":0,"desiredNumberScheduled":0,"numberReady":0}})");
}

Value make_node(const std::string& name) {
  Value node = from(R"({"apiVersion":"v1","kind":"Node","metadata":{"labels":{"disk":"ssd"}},"spec":{}})");
  node.mut("metadata").set("name", name).set("uid", "node-" + name);
  return node;
}

// A cluster as the planner sees it, to which plans are applied.
struct World {
  Value set = make_set();
  std::map<std::string, Value> nodes, pods, revisions;
  NodeBackoffs backoffs;
  Time now = kNow;
  int uids = 0;
  std::vector<EventSpec> events;

  explicit World(int count = 3) {
    for (int i = 1; i <= count; ++i) nodes["n" + std::to_string(i)] = make_node("n" + std::to_string(i));
  }
  Value& spec() { return set.mut("spec"); }
  void image(const std::string& name) {
    spec().mut("template").mut("spec").mut("containers").mut(0).set("image", name);
    set.mut("metadata").set("generation", set["metadata"]["generation"].as_int() + 1);
  }
  void surge(const Value& surge, const Value& unavailable = 0) {
    spec()
        .mut("updateStrategy")
        .set("rollingUpdate", Value::object({{"maxUnavailable", unavailable}, {"maxSurge", surge}}));
  }
  DaemonSetView view() const {
    DaemonSetView out;
    out.set = set;
    for (const auto& [name, pod] : pods) out.pods.push_back(pod);
    for (const auto& [name, revision] : revisions) out.revisions.push_back(revision);
    for (const auto& [name, node] : nodes) out.nodes.push_back(node);
    out.revision = [this](const std::string& name) -> const Value& {
      static const Value none;
      auto found = revisions.find(name);
      return found == revisions.end() ? none : found->second;
    };
    out.backoffs = backoffs;
    out.deleted_pods = uids;
    return out;
  }
  void apply(const Action& action) {
    Value object = action.object;
    if (action.subresource == "status") {
      for (const auto& [field, value] : object["status"].entries()) set.mut("status").set(field, value);
      return;
    }
    auto& all = action.resource == kPods ? pods : revisions;
    const std::string& name = action.name.name;
    if (action.verb == Action::Verb::kDelete && action.resource == kPods) {
      all[name].mut("metadata").set("deletionTimestamp", format_time(now));
    } else if (action.verb == Action::Verb::kDelete) {
      all.erase(name);
    } else if (action.verb == Action::Verb::kPatch) {
      for (const auto& [label, value] : object["metadata"]["labels"].entries())
        all[name].mut("metadata").mut("labels").set(label, value);
    } else {
      if (object["metadata"]["uid"].is_null()) object.mut("metadata").set("uid", "uid-" + std::to_string(++uids));
      if (action.resource == kPods) {
        EXPECT_FALSE(all.count(name)) << name;
        object.mut("metadata").set("creationTimestamp", format_time(now));
        object.set("status", Value::object({{"phase", "Pending"}}));
      }
      all[name] = object;
    }
  }
  // Plans and applies once. Returns the writes of pods: "create n1", "delete n2".
  Steps sync() {
    PlanResult decision = plan_set(view(), now);
    Steps steps;
    for (const Action& action : decision.plan.first) apply(action);
    for (const auto& chain : decision.plan.chains) {
      for (const Action& action : chain) {
        const std::string node =
            action.verb == Action::Verb::kCreate ? target_of(action.object) : target_of(pods[action.name.name]);
        steps.push_back((action.verb == Action::Verb::kCreate ? "create " : "delete ") + node);
        apply(action);
      }
    }
    for (const Action& action : decision.plan.then) apply(action);
    for (const EventSpec& event : decision.plan.events) events.push_back(event);
    backoffs = decision.backoffs;
    return steps;
  }
  // Makes pending pods run and ready; removes those that are being deleted.
  void live() {
    std::erase_if(pods, [](const auto& one) { return api::is_terminating(one.second); });
    for (auto& [name, pod] : pods) {
      if (pod["status"]["phase"].as_string() == "Pending") ready(pod);
    }
  }
  void ready(Value& pod) {
    pod.mut("spec").set("nodeName", target_of(pod));
    pod.set("status", Value::object({{"phase", "Running"}}));
    pod.mut("status").set("conditions",
                          Value::array({Value::object(
                              {{"type", "Ready"}, {"status", "True"}, {"lastTransitionTime", format_time(now)}})}));
  }
  void run_until_idle() {
    for (int i = 0; i < 100; ++i) {
      sync();
      live();
    }
    EXPECT_EQ(sync(), Steps{});
  }
  std::vector<Value> on(const std::string& node) const {
    std::vector<Value> out;
    for (const auto& [name, pod] : pods) {
      if (target_of(pod) == node) out.push_back(pod);
    }
    return out;
  }
  Value only(const std::string& node) const {
    const auto all = on(node);
    EXPECT_EQ(all.size(), 1u) << node;
    return all.empty() ? Value() : all[0];
  }
  Value& pod_on(const std::string& node) { return pods[std::string(api::name_of(only(node)))]; }
  std::string images() const {
    std::string out;
    for (const auto& [name, node] : nodes) {
      for (const Value& pod : on(name)) out += pod["spec"]["containers"][0]["image"].str().substr(2);
      out += " ";
    }
    return out;
  }
  // desired current ready updated available unavailable misscheduled
  std::string counts() const {
    std::string out;
    for (const char* field : {"desiredNumberScheduled", "currentNumberScheduled", "numberReady",
                              "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "numberMisscheduled"}) {
      out += std::to_string(set["status"][field].as_int()) + " ";
    }
    return out;
  }
};

TEST(DaemonSetPlan, OnePodForEachNode) {
  World world;
  EXPECT_EQ(world.sync(), (Steps{"create n1", "create n2", "create n3"}));
  EXPECT_EQ(world.counts(), "3 0 0 0 0 3 0 ");
  EXPECT_EQ(world.set["status"]["observedGeneration"].as_int(), 1);
  const Value pod = world.only("n2");
  EXPECT_EQ(pod["spec"]["affinity"],
            from(R"({"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
      {"matchFields":[{"key":"metadata.name","operator":"In","values":["n2"]}]}]}}})"));
  EXPECT_EQ(api::label_of(pod, "pod-template-generation"), "1");
  ASSERT_EQ(world.revisions.size(), 1u);
  const Value revision = world.revisions.begin()->second;
  EXPECT_EQ(api::label_of(pod, kHashLabel), api::label_of(revision, kHashLabel));
  EXPECT_EQ(api::name_of(revision), "log-" + std::string(api::label_of(revision, kHashLabel)));
  EXPECT_EQ(revision["revision"].as_int(), 1);
  EXPECT_EQ(revision["data"]["spec"]["template"]["$patch"].as_string(), "replace");
  EXPECT_EQ(api::annotation_of(revision, kGenerationAnnotation), "1");
  EXPECT_TRUE(api::is_controlled_by(pod, "set"));
  EXPECT_EQ(pod["metadata"]["generateName"].as_string(), "log-");
  world.live();
  EXPECT_EQ(world.sync(), Steps{});
  EXPECT_EQ(world.counts(), "3 3 3 3 3 0 0 ");
  EXPECT_TRUE(plan_set(world.view(), kNow).plan.empty());
}

TEST(DaemonSetPlan, PodsTolerateWhatBefallsNodes) {
  World world(1);
  world.spec()
      .mut("template")
      .mut("spec")
      .set("hostNetwork", true)
      .set("tolerations", from(R"([{"key":"a","operator":"Exists"}])"));
  world.sync();
  std::string found;
  for (const Value& one : world.only("n1")["spec"]["tolerations"]) {
    EXPECT_EQ(one["operator"].as_string(), "Exists");
    EXPECT_TRUE(one["tolerationSeconds"].is_null());
    found += one["key"].str() + ":" + one["effect"].str() + " ";
  }
  EXPECT_EQ(found,
            "a: node.kubernetes.io/not-ready:NoExecute node.kubernetes.io/unreachable:NoExecute "
            "node.kubernetes.io/disk-pressure:NoSchedule node.kubernetes.io/memory-pressure:NoSchedule "
            "node.kubernetes.io/pid-pressure:NoSchedule node.kubernetes.io/unschedulable:NoSchedule "
            "node.kubernetes.io/network-unavailable:NoSchedule ");
}

TEST(DaemonSetPlan, NodesAreChosenBySelectorAffinityNameAndTaints) {
  const auto fits = [](std::string_view spec, std::string_view taints) {
    Value set = make_set(), node = make_node("n1");
    const Value more = from(spec);
    for (const auto& [field, value] : more.entries()) set.mut("spec").mut("template").mut("spec").set(field, value);
    node.mut("spec").set("taints", from(taints));
    const NodeEligibility eligibility = eligibility_of(set, node);
    return std::string(eligibility.run ? "run" : "") + (eligibility.stay ? " stay" : "");
  };
  EXPECT_EQ(fits("{}", "[]"), "run stay");
  EXPECT_EQ(fits(R"({"nodeSelector":{"disk":"ssd"}})", "[]"), "run stay");
  EXPECT_EQ(fits(R"({"nodeSelector":{"disk":"hdd"}})", "[]"), "");
  EXPECT_EQ(fits(R"({"nodeName":"n1"})", "[]"), "run stay");
  EXPECT_EQ(fits(R"({"nodeName":"n2"})", "[]"), "");
  const char* affinity =
      R"({"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
      {"matchExpressions":[{"key":"disk","operator":"NotIn","values":["ssd"]}]}]}}}})";
  EXPECT_EQ(fits(affinity, "[]"), "");
  EXPECT_EQ(fits("{}", R"([{"key":"k","value":"v","effect":"NoSchedule"}])"), " stay");
  EXPECT_EQ(fits("{}", R"([{"key":"k","value":"v","effect":"NoExecute"}])"), "");
  EXPECT_EQ(fits("{}", R"([{"key":"k","value":"v","effect":"PreferNoSchedule"}])"), "run stay");
  EXPECT_EQ(fits(R"({"tolerations":[{"key":"k","operator":"Exists"}]})", R"([{"key":"k","effect":"NoExecute"}])"),
            "run stay");
  EXPECT_EQ(
      fits(
          "{}",
          R"([{"key":"node.kubernetes.io/unschedulable","effect":"NoSchedule"},{"key":"node.kubernetes.io/unreachable","effect":"NoExecute"}])"),
      "run stay");
}

TEST(DaemonSetPlan, FollowsItsNodes) {
  World world(2);
  world.run_until_idle();
  world.nodes["n3"] = make_node("n3");
  EXPECT_EQ(world.sync(), Steps{"create n3"});
  // The node is deleted before its pod was scheduled: no other controller deletes the pod.
  world.nodes.erase("n3");
  EXPECT_EQ(world.sync(), Steps{"delete n3"});
  world.run_until_idle();
  // Pods with a node are left to the pod garbage collector.
  world.nodes.erase("n2");
  EXPECT_EQ(world.sync(), Steps{});
  EXPECT_EQ(world.counts(), "1 1 1 1 1 0 0 ");
  // The node's labels stop matching.
  world.nodes["n2"] = make_node("n2");
  world.run_until_idle();
  world.nodes["n2"].mut("spec").set("taints", from(R"([{"key":"k","effect":"NoSchedule"}])"));
  EXPECT_EQ(world.sync(), Steps{});
  EXPECT_EQ(world.counts(), "1 1 1 1 1 0 1 ");
  world.nodes["n2"].mut("spec").set("taints", from(R"([{"key":"k","effect":"NoExecute"}])"));
  EXPECT_EQ(world.sync(), Steps{"delete n2"});
}

TEST(DaemonSetPlan, WaitsUntilTheOldPodIsGone) {
  World world(1);
  world.run_until_idle();
  world.pod_on("n1").mut("metadata").set("deletionTimestamp", "2026-01-01T00:59:00Z");
  EXPECT_EQ(world.sync(), Steps{});
  const std::string old(api::name_of(world.only("n1")));
  world.pods.clear();
  EXPECT_EQ(world.sync(), Steps{"create n1"});
  EXPECT_NE(api::name_of(world.only("n1")), old);
}

TEST(DaemonSetPlan, OneTooManyIsTheYoungest) {
  World world(1);
  world.run_until_idle();
  Value second = world.only("n1");
  second.mut("metadata").set("name", "log-a").set("uid", "second").set("creationTimestamp", "2026-01-01T02:00:00Z");
  world.pods["log-a"] = second;
  PlanResult decision = plan_set(world.view(), kNow);
  ASSERT_EQ(decision.plan.chains.size(), 1u);
  EXPECT_EQ(decision.plan.chains[0][0].on_success[0].message, "Deleted pod: log-a");
}

TEST(DaemonSetPlan, FailedPodsAreReplacedMoreAndMoreSlowly) {
  World world(1);
  world.run_until_idle();
  auto fail = [&] { world.pod_on("n1").set("status", from(R"({"phase":"Failed"})")); };
  fail();
  const std::string name(api::name_of(world.only("n1")));
  EXPECT_EQ(world.sync(), Steps{"delete n1"});
  ASSERT_EQ(world.events.size(), 1u);
  EXPECT_EQ(world.events[0].type + " " + world.events[0].reason + " " + world.events[0].message,
            "Warning FailedDaemonPod Found failed daemon pod default/" + name + " on node n1, will try to kill it");
  // An ended pod that is being deleted delays nothing.
  EXPECT_EQ(world.sync(), Steps{"create n1"});
  std::erase_if(world.pods, [](const auto& one) { return api::is_terminating(one.second); });
  for (int delay : {1, 2, 4, 8}) {
    world.live();
    fail();
    PlanResult held = plan_set(world.view(), world.now);
    EXPECT_TRUE(held.plan.chains.empty());
    EXPECT_EQ(held.plan.requeue_delay, Duration(std::chrono::seconds(delay)));
    world.now += std::chrono::seconds(delay);
    EXPECT_EQ(world.sync(), Steps{"delete n1"});
    world.live();
    EXPECT_EQ(world.sync(), Steps{"create n1"});
  }
  world.live();
  fail();
  world.now += 2 * kLongestBackoff + 1s;
  EXPECT_EQ(world.sync(), Steps{"delete n1"});
  EXPECT_EQ(world.backoffs["n1"].delay, kFirstBackoff);
}

TEST(DaemonSetPlan, PodsThatSucceededAreReplacedAtOnce) {
  World world(1);
  world.run_until_idle();
  world.pod_on("n1").set("status", from(R"({"phase":"Succeeded"})"));
  EXPECT_EQ(world.sync(), Steps{"delete n1"});
  EXPECT_EQ(world.events[0].type + world.events[0].reason, "NormalSucceededDaemonPod");
}

TEST(DaemonSetPlan, RollsOneNodeAfterTheOther) {
  World world;
  world.run_until_idle();
  world.image("i:2");
  EXPECT_EQ(world.sync(), Steps{"delete n1"});
  EXPECT_EQ(world.counts().substr(0, 8), "3 3 3 0 ");
  EXPECT_EQ(world.revisions.size(), 2u);
  EXPECT_EQ(world.sync(), Steps{});  // until the old pod is gone
  std::erase_if(world.pods, [](const auto& one) { return api::is_terminating(one.second); });
  EXPECT_EQ(world.sync(), Steps{"create n1"});
  EXPECT_EQ(world.sync(), Steps{});  // until the new pod is available
  world.live();
  EXPECT_EQ(world.sync(), Steps{"delete n2"});
  world.run_until_idle();
  EXPECT_EQ(world.images(), "2 2 2 ");
  EXPECT_EQ(world.counts(), "3 3 3 3 3 0 0 ");
}

TEST(DaemonSetPlan, MaxUnavailableIsAShareRoundedUp) {
  World world(5);
  world.run_until_idle();
  world.surge(0, "30%");
  world.image("i:2");
  EXPECT_EQ(world.sync(), (Steps{"delete n1", "delete n2"}));
}

TEST(DaemonSetPlan, PodsThatServeNobodyAreReplacedFirst) {
  World world;
  world.run_until_idle();
  for (const char* node : {"n2", "n3"}) world.pod_on(node).mut("status").erase("conditions");
  world.image("i:2");
  EXPECT_EQ(world.sync(), (Steps{"delete n2", "delete n3"}));
}

TEST(DaemonSetPlan, MinReadySecondsHoldTheRolloutUp) {
  World world(2);
  world.spec().set("minReadySeconds", 20);
  world.sync();
  world.live();
  PlanResult decision = plan_set(world.view(), kNow);
  EXPECT_EQ(decision.plan.requeue_delay, Duration(20s));
  EXPECT_EQ(decision.plan.then[0].object["status"]["numberReady"].as_int(), 2);
  EXPECT_TRUE(decision.plan.then[0].object["status"]["numberAvailable"].is_null());
  world.now += 20s;
  world.sync();
  EXPECT_EQ(world.counts(), "2 2 2 2 2 0 0 ");
  world.image("i:2");
  EXPECT_EQ(world.sync(), Steps{"delete n1"});
  world.live();
  world.sync();
  world.live();
  EXPECT_EQ(world.sync(), Steps{});
  world.now += 20s;
  EXPECT_EQ(world.sync(), Steps{"delete n2"});
}

TEST(DaemonSetPlan, OnDeleteLeavesPodsAlone) {
  World world(2);
  world.spec().set("updateStrategy", from(R"({"type":"OnDelete"})"));
  world.run_until_idle();
  world.image("i:2");
  EXPECT_EQ(world.sync(), Steps{});
  EXPECT_EQ(world.counts(), "2 2 2 0 2 0 0 ");
  world.pods.erase(std::string(api::name_of(world.only("n2"))));
  world.run_until_idle();
  EXPECT_EQ(world.images(), "1 2 ");
}

TEST(DaemonSetPlan, SurgePutsTheNewPodBeside) {
  World world;
  world.surge(1);
  world.run_until_idle();
  world.image("i:2");
  EXPECT_EQ(world.sync(), Steps{"create n1"});
  EXPECT_EQ(world.sync(), Steps{});  // until the new pod is available
  EXPECT_EQ(world.counts().substr(0, 8), "3 3 3 0 ");
  world.live();
  EXPECT_EQ(world.sync(), Steps{"delete n1"});
  std::erase_if(world.pods, [](const auto& one) { return api::is_terminating(one.second); });
  EXPECT_EQ(world.sync(), Steps{"create n2"});
  world.run_until_idle();
  EXPECT_EQ(world.images(), "2 2 2 ");
}

TEST(DaemonSetPlan, SurgeReplacesWhatDoesNotServeAtOnce) {
  World world;
  world.surge("34%");
  world.run_until_idle();
  for (const char* node : {"n1", "n2", "n3"}) world.pod_on(node).mut("status").erase("conditions");
  world.image("i:2");
  EXPECT_EQ(world.sync(), (Steps{"create n1", "create n2", "create n3"}));
  EXPECT_EQ(world.sync(), (Steps{"delete n1", "delete n2", "delete n3"}));  // the old ones, as they are not available
  world.run_until_idle();
  EXPECT_EQ(world.images(), "2 2 2 ");
}

TEST(DaemonSetPlan, SurgeMovesWithoutAGap) {
  World world(2);
  world.surge(1);
  world.spec().mut("template").mut("spec").set("nodeSelector", from(R"({"role":"log"})"));
  world.nodes["n1"].mut("metadata").mut("labels").set("role", "log");
  world.run_until_idle();
  // From n1 to n2, by a changed template.
  world.nodes["n2"].mut("metadata").mut("labels").set("role", "other");
  world.spec().mut("template").mut("spec").set("nodeSelector", from(R"({"role":"other"})"));
  EXPECT_EQ(world.sync(), (Steps{"create n2", "delete n1"}));
}

TEST(DaemonSetPlan, HistoryIsLimitedAndUndoneByNumber) {
  World world(1);
  world.run_until_idle();
  for (int i = 2; i <= 6; ++i) {
    world.image("i:" + std::to_string(i));
    world.run_until_idle();
  }
  EXPECT_EQ(world.revisions.size(), 3u);
  world.image("i:5");
  world.run_until_idle();
  EXPECT_EQ(world.revisions.size(), 3u);
  std::map<std::int64_t, std::string> numbers;
  for (const auto& [name, revision] : world.revisions) {
    numbers[revision["revision"].as_int()] =
        revision["data"]["spec"]["template"]["spec"]["containers"][0]["image"].str();
  }
  EXPECT_EQ(numbers, (std::map<std::int64_t, std::string>{{4, "i:4"}, {6, "i:6"}, {7, "i:5"}}));
}

TEST(DaemonSetPlan, ATakenRevisionNameCountsOn) {
  World world(1);
  world.sync();
  Value foreign = world.revisions.begin()->second;
  foreign.set("data", Value::object());
  World other(1);
  DaemonSetView view = other.view();
  view.revision = [&](const std::string& name) -> const Value& {
    static const Value none;
    return name == api::name_of(foreign) ? foreign : none;
  };
  PlanResult decision = plan_set(view, kNow);
  ASSERT_EQ(decision.plan.first.size(), 1u);
  EXPECT_EQ(decision.plan.first[0].object["status"]["collisionCount"].as_int(), 1);
  EXPECT_TRUE(decision.plan.chains.empty());
  view.set.mut("status").set("collisionCount", 1);
  decision = plan_set(view, kNow);
  EXPECT_EQ(decision.plan.first[0].verb, Action::Verb::kCreate);
  EXPECT_EQ(decision.plan.chains.size(), 1u);
}

TEST(DaemonSetPlan, DoubledRevisionsBecomeOne) {
  World world(2);
  world.run_until_idle();
  Value twin = world.revisions.begin()->second;
  twin.mut("metadata").set("name", "log-twin").set("uid", "twin").mut("labels").set(kHashLabel, "twin");
  twin.set("revision", 2);
  world.revisions["log-twin"] = twin;
  world.sync();
  EXPECT_EQ(world.revisions.size(), 1u);
  for (const auto& [name, pod] : world.pods) EXPECT_EQ(api::label_of(pod, kHashLabel), "twin");
  EXPECT_EQ(world.sync(), Steps{});
}

TEST(DaemonSetPlan, SelectingEverythingIsRefusedAndTheLeavingRest) {
  World world(1);
  world.spec().set("selector", Value::object());
  PlanResult decision = plan_set(world.view(), kNow);
  EXPECT_TRUE(decision.plan.chains.empty());
  EXPECT_EQ(decision.plan.events[0].reason, "SelectingAll");
  world.set = make_set();
  world.set.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_TRUE(plan_set(world.view(), kNow).plan.empty());
  EXPECT_TRUE(plan_set(DaemonSetView(), kNow).plan.empty());
}

TEST(DaemonSetPlan, AdoptsFirst) {
  World world(1);
  world.run_until_idle();
  DaemonSetView view = world.view();
  view.orphans = {view.pods[0]};
  view.orphans[0].mut("metadata").erase("ownerReferences");
  view.pods.clear();
  const PlanResult decision = plan_set(view, kNow);
  ASSERT_EQ(decision.plan.chains.size(), 1u);
  EXPECT_EQ(decision.plan.chains[0][0].verb, Action::Verb::kConfirm);
  EXPECT_EQ(decision.plan.chains[0][1].object["metadata"]["ownerReferences"][0]["kind"].as_string(), "DaemonSet");
}

TEST(DaemonSetTest, ConvergesAndRests) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  for (const char* name : {"n1", "n2"}) api.put(kNodes, make_node(name));
  api.put(kDaemonSets, make_set());
  Driver driver(informers, make_controller(informers));
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPods), 2u);
  EXPECT_EQ(api.count(kControllerRevisions), 1u);
  std::size_t calls = api.calls.size();
  // A heartbeat triggers no plan.
  Value node = api.read(kNodes, {"", "n1"});
  node.mut("status").set("conditions",
                         from(R"([{"type":"Ready","status":"True","lastHeartbeatTime":"2026-01-01T00:00:00Z"}])"));
  api.put(kNodes, node);
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
  api.put(kNodes, make_node("n3"));
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPods), 3u);
  EXPECT_EQ(api.read(kDaemonSets, {"default", "log"})["status"]["currentNumberScheduled"].as_int(), 3);
  // A lost pod is replaced under another name.
  const Value lost = informers.get(kPods).list()[0];
  api.erase(kPods, api::name_key(lost));
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPods), 3u);
  EXPECT_TRUE(api.read(kPods, api::name_key(lost)).is_null());
}

}  // namespace
}  // namespace berth::controllers::daemonset

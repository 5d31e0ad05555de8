#include "agent/pod/pod_status.h"

#include <gtest/gtest.h>

#include "agent/testing/test_values.h"
#include "api/object.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;

using testing::parsed;

Time at(int seconds) { return Time(std::chrono::seconds(1'767'323'045 + seconds)); }

Value pod_of(const char* spec) {
  return Value::object(
      {{"metadata", parsed(R"({"name":"p","namespace":"default","uid":"u","generation":3})")}, {"spec", parsed(spec)}});
}

PodRecord running(std::initializer_list<const char*> names) {
  PodRecord r;
  r.uid = "u";
  r.prepared = r.initialized = true;
  for (const char* name : names) {
    auto& c = r.containers[name];
    c.state = State::kRunning;
    c.id = std::string("id-") + name;
    c.attempt = 0;
    c.startup_done = c.ready = true;
  }
  return r;
}

void exit(PodRecord& r, const char* name, int code) {
  auto& c = r.containers[name];
  c.state = State::kExited;
  c.ended.exit_code = code;
  c.ready = c.startup_done = false;
}

TEST(ContainerStatus, APodWithInitContainersIsInitializingUntilItsContainersRun) {
  Value pod = pod_of(R"({"containers":[{"name":"a"}],"initContainers":[{"name":"i"}]})");
  auto reason = [](const Value& pod, const PodRecord& r) {
    return make_pod_status({pod, r, at(0), "", false})["containerStatuses"][0]["state"]["waiting"]["reason"].str();
  };
  EXPECT_EQ(reason(pod, PodRecord{}), "PodInitializing");
  PodRecord through = running({"i"});
  exit(through, "i", 0);
  EXPECT_EQ(reason(pod, through), "PodInitializing") << "also when all of them are through";
  EXPECT_EQ(reason(pod_of(R"({"containers":[{"name":"a"}]})"), PodRecord{}), "ContainerCreating");
}

TEST(PodPhase, FollowsTheContainers) {
  Value always = pod_of(R"({"restartPolicy":"Always","containers":[{"name":"a"},{"name":"b"}]})");
  Value never = pod_of(R"({"restartPolicy":"Never","containers":[{"name":"a"},{"name":"b"}]})");
  auto phase = [](const Value& pod, const PodRecord& r, bool over = false) {
    return pod_phase({pod, r, at(0), "", over});
  };
  EXPECT_EQ(phase(always, PodRecord{}), "Pending");
  EXPECT_EQ(phase(always, running({"a"})), "Pending") << "b has not run yet";
  PodRecord r = running({"a", "b"});
  EXPECT_EQ(phase(always, r), "Running");
  exit(r, "a", 1);
  EXPECT_EQ(phase(always, r), "Running");
  EXPECT_EQ(phase(never, r), "Running");
  exit(r, "b", 0);
  EXPECT_EQ(phase(always, r), "Running") << "they will run again";
  EXPECT_EQ(phase(never, r), "Failed");
  exit(r, "a", 0);
  EXPECT_EQ(phase(never, r), "Succeeded");
  EXPECT_EQ(phase(always, r, true), "Succeeded") << "it was deleted";
  exit(r, "a", 137);
  EXPECT_EQ(phase(always, r, true), "Failed");
  r.failed_reason = "DeadlineExceeded";
  EXPECT_EQ(phase(always, running({"a", "b"})), "Running");
  EXPECT_EQ(phase(always, r), "Failed");
  r.containers["b"].state = State::kRunning;
  EXPECT_EQ(phase(always, r), "Running") << "b is still on its way out";
  EXPECT_TRUE(make_pod_status({always, r, at(0), ""})["reason"].is_null());
  r.containers["b"].state = State::kExited;
  EXPECT_EQ(make_pod_status({always, r, at(0), ""})["reason"].as_string(), "DeadlineExceeded");
  never.set("status", parsed(R"({"phase":"Succeeded"})"));
  EXPECT_EQ(phase(never, r), "Succeeded") << "what is over stays as it was";
}

TEST(PodPhase, InitContainersComeFirst) {
  Value pod = pod_of(R"({"restartPolicy":"Never","initContainers":[{"name":"i"}],"containers":[{"name":"a"}]})");
  PodRecord r;
  r.prepared = true;
  r.containers["i"].state = State::kRunning;
  Value status = make_pod_status({pod, r, at(0), "10.0.0.1"});
  EXPECT_EQ(status["phase"].as_string(), "Pending");
  EXPECT_EQ(status["containerStatuses"][0]["state"]["waiting"]["reason"].as_string(), "PodInitializing");
  Value holder = Value::object({{"status", status}});
  EXPECT_EQ(api::condition_of(holder, "Initialized")["reason"].as_string(), "ContainersNotInitialized");
  EXPECT_EQ(api::condition_of(holder, "Initialized")["message"].as_string(), "containers with incomplete status: [i]");
  exit(r, "i", 1);
  EXPECT_EQ(make_pod_status({pod, r, at(0), ""})["phase"].as_string(), "Failed");
}

TEST(PodConditions, ReadinessGatesAreWaitedFor) {
  Value pod = pod_of(R"({"readinessGates":[{"conditionType":"x/y"}],"containers":[{"name":"a"}]})");
  PodRecord r = running({"a"});
  auto ready = [&] {
    Value holder = Value::object({{"status", make_pod_status({pod, r, at(0), ""})}});
    EXPECT_EQ(api::condition_of(holder, "ContainersReady")["status"].as_string(), "True");
    return api::condition_of(holder, "Ready");
  };
  Value now = ready();
  EXPECT_EQ(now["status"].as_string(), "False");
  EXPECT_EQ(now["reason"].as_string(), "ReadinessGatesNotReady");
  EXPECT_EQ(now["message"].as_string(), "corresponding condition of pod readiness gate \"x/y\" does not exist.");
  EXPECT_EQ(now["observedGeneration"].as_int(), 3);
  pod.set("status", parsed(R"({"conditions":[{"type":"x/y","status":"False"}]})"));
  EXPECT_EQ(ready()["message"].as_string(), "the status of pod readiness gate \"x/y\" is not \"True\", but False");
  pod.set("status", parsed(R"({"conditions":[{"type":"x/y","status":"True"}]})"));
  EXPECT_EQ(ready()["status"].as_string(), "True");
}

TEST(PodConditions, TransitionTimesMoveOnlyWithTheStatus) {
  Value pod = pod_of(R"({"containers":[{"name":"a"}]})");
  PodRecord r = running({"a"});
  pod.set("status", make_pod_status({pod, r, at(0), ""}));
  Value later = make_pod_status({pod, r, at(60), ""});
  EXPECT_EQ(later, pod["status"]);
  EXPECT_TRUE(status_patch(pod, later).is_null());
  r.containers["a"].ready = false;
  Value patch = status_patch(pod, make_pod_status({pod, r, at(60), ""}));
  ASSERT_EQ(patch["status"]["conditions"].size(), 2u) << "Ready and ContainersReady";
  EXPECT_EQ(patch["metadata"]["uid"].as_string(), "u");
  EXPECT_EQ(patch["status"]["$setElementOrder/conditions"].size(), 5u);
  EXPECT_FALSE(patch["status"].contains("phase"));
  EXPECT_EQ(patch["status"]["conditions"][0]["lastTransitionTime"].as_string(), "2026-01-02T03:05:05Z");
}

TEST(StatusPatch, TakesAwayWhatNoLongerHolds) {
  Value pod = pod_of(R"({"containers":[{"name":"a"}]})");
  PodRecord r = running({"a"});
  r.containers["a"].ready = false;
  pod.set("status", make_pod_status({pod, r, at(0), ""}));
  r.containers["a"].ready = true;
  Value patch = status_patch(pod, make_pod_status({pod, r, at(0), ""}));
  const Value& ready = patch["status"]["conditions"][0];
  EXPECT_EQ(ready["status"].as_string(), "True");
  EXPECT_TRUE(ready.contains("reason"));
  EXPECT_TRUE(ready["reason"].is_null());
}

TEST(StatusPatch, AnAddressThatIsNotThePodsAnyMoreDoesNotStay) {
  Value pod = pod_of(R"({"containers":[{"name":"a"}]})");
  PodRecord r = running({"a"});
  r.ip = "10.244.0.7";
  pod.set("status", make_pod_status({pod, r, at(0), "192.0.2.1"}));
  r.ip = "10.244.0.8";
  const Value patch = status_patch(pod, make_pod_status({pod, r, at(0), "192.0.2.2"}));
  EXPECT_EQ(patch["status"]["podIP"].as_string(), "10.244.0.8");
  EXPECT_EQ(patch["status"]["podIPs"], parsed(R"([{"ip":"10.244.0.8"},{"$patch":"replace"}])"))
      << "merged by ip otherwise";
  EXPECT_EQ(patch["status"]["hostIPs"], parsed(R"([{"ip":"192.0.2.2"},{"$patch":"replace"}])"));
}

// As the API server writes an absent time; and what is empty may be there or not.
TEST(StatusPatch, IsNotMadeForNullsOfTheServer) {
  Value pod = pod_of(R"({"containers":[{"name":"a"}]})");
  PodRecord r = running({"a"});
  r.containers["a"].last = Termination{137, 0, kRestartingAll, "again", "", Time{}, Time{}};
  Value status = make_pod_status({pod, r, at(0), ""});
  Value& last = status.mut("containerStatuses").mut(0).mut("lastState").mut("terminated");
  ASSERT_FALSE(last.contains("startedAt"));
  last.set("startedAt", nullptr).set("finishedAt", nullptr);
  status.mut("containerStatuses").mut(0).erase("resources");
  pod.set("status", status);
  EXPECT_TRUE(status_patch(pod, make_pod_status({pod, r, at(60), ""})).is_null());
  r.containers["a"].last->exit_code = 1;
  EXPECT_FALSE(status_patch(pod, make_pod_status({pod, r, at(60), ""})).is_null());
  r.containers["a"].last.reset();
  EXPECT_FALSE(status_patch(pod, make_pod_status({pod, r, at(60), ""})).is_null()) << "what has gone is a change";
}

TEST(PodStatus, TellsOnlySoManyEphemeralContainers) {
  Value pod = pod_of(R"({"containers":[{"name":"a"}],"ephemeralContainers":[{"name":"x"},{"name":"y"},{"name":"z"}]})");
  PodRecord r = running({"a"});
  auto names = [&](std::size_t most) {
    std::string out;
    Value status = make_pod_status({pod, r, at(0), "", false, most});
    for (const Value& one : status["ephemeralContainerStatuses"]) out += one["name"].str();
    return out + " " + status["message"].str();
  };
  EXPECT_EQ(names(SIZE_MAX), "xyz ");
  EXPECT_EQ(names(3), "xyz ");
  EXPECT_EQ(
      names(1),
      "z the statuses of 2 of 3 ephemeral containers are left out: the pod would be larger than what can be stored");
  pod.set("status", make_pod_status({pod, r, at(0), ""}));
  Value patch = status_patch(pod, make_pod_status({pod, r, at(0), "", false, 0}));
  EXPECT_TRUE(patch["status"]["ephemeralContainerStatuses"].is_array()) << "what was there is replaced";
}

TEST(PodRecord, OfAPodThatAnInitContainerEndedKeepsItsStatus) {
  Value pod = pod_of(R"({"restartPolicy":"Never","initContainers":[{"name":"i"}],"containers":[{"name":"c"}]})");
  PodRecord record;
  record.uid = "u";
  record.started = at(0);
  record.cleaned_up = true;
  exit(record, "i", 1);
  StatusInput input{pod, record, at(1), "10.0.0.1", true};
  pod.set("status", make_pod_status(input));
  ASSERT_EQ(pod["status"]["phase"].as_string(), "Failed");
  ASSERT_FALSE(api::condition_is_true(pod, "Initialized"));
  const PodRecord after = record_from_status(pod, at(60));
  const Value status = make_pod_status({pod, after, at(60), "10.0.0.1", true});
  EXPECT_EQ(json::encode(status["conditions"]), json::encode(pod["status"]["conditions"]));
  EXPECT_EQ(json::encode(status["initContainerStatuses"]), json::encode(pod["status"]["initContainerStatuses"]));
  // One that was initialized stays so.
  for (std::size_t i = 0; i < pod["status"]["conditions"].size(); ++i) {
    Value& condition = pod.mut("status").mut("conditions").mut(i);
    if (condition["type"].as_string() == "Initialized") condition.set("status", "True");
  }
  EXPECT_TRUE(record_from_status(pod, at(60)).initialized);
}

TEST(PodRecord, SurvivesBeingWritten) {
  PodRecord r = running({"a", "b"});
  r.ip = "10.244.0.9";
  r.claims = {"pv1"};
  r.volume_images = {{"files", "sha256:1"}};
  r.restarting_all = r.resizing = r.rejected = r.disruption = true;
  r.restarted_all = at(7);
  r.granted = parsed(R"({"containers":{"b":{"limits":{"cpu":"1"}}}})");
  r.pod_in_force = parsed(R"({"containers":{}})");
  r.resize_refused = "Deferred";
  r.resize_message = "no room";
  r.resize_failure = "busy";
  r.containers["b"].in_force = parsed(R"({"limits":{"cpu":"2"}})");
  exit(r, "a", 3);
  r.containers["a"].ended.message = "why";
  r.containers["a"].last = Termination{1, 9, "Error", "before", "old", at(1), at(2)};
  r.containers["a"].back_off = 20s;
  r.containers["a"].waiting_reason = "CrashLoopBackOff";
  auto again = record_from_json(to_json(r));
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(to_json(*again), to_json(r));
  EXPECT_EQ(again->volume_images, r.volume_images);
  EXPECT_EQ(again->containers["a"].last->signal, 9);
  EXPECT_EQ(again->containers["a"].back_off, Duration(20s));
  EXPECT_FALSE(record_from_json(Value::object()).ok());
}

}  // namespace
}  // namespace berth::agent

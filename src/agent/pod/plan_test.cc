#include "agent/pod/plan.h"

#include <gtest/gtest.h>

#include "base/json/json.h"

namespace berth::agent {
namespace {

using State = ContainerRecord::State;

Time at(int seconds) { return Time(std::chrono::seconds(1'000'000 + seconds)); }

Value pod_of(const char* spec) {
  auto value = json::parse(spec);
  EXPECT_TRUE(value.ok()) << value.error().message;
  return Value::object(
      {{"metadata", Value::object({{"name", "p"}, {"namespace", "default"}, {"uid", "u"}})}, {"spec", *value}});
}

Value deleted(Value pod, int grace) {
  pod.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  pod.mut("metadata").set("deletionGracePeriodSeconds", grace);
  return pod;
}

PodRecord prepared() {
  PodRecord r;
  r.uid = "u";
  r.started = at(0);
  r.prepared = true;
  return r;
}

void run(PodRecord& r, const std::string& name, bool fully = true) {
  r.containers[name].state = State::kRunning;
  r.containers[name].startup_done = fully;
}

void exit(PodRecord& r, const std::string& name, int code, int when = 10) {
  r.containers[name].state = State::kExited;
  r.containers[name].ended.exit_code = code;
  r.containers[name].ended.finished = at(when);
}

std::vector<std::string> stopped(const PodPlan& plan) {
  std::vector<std::string> out;
  for (const auto& s : plan.stop) out.push_back(s.container);
  return out;
}

std::vector<std::string> turns(const PodPlan& plan) {
  std::vector<std::string> out;
  for (const auto& s : plan.stop) {
    if (s.turn) out.push_back(s.container);
  }
  return out;
}

using Names = std::vector<std::string>;

TEST(Plan, StartsNothingBeforeThePodIsPrepared) {
  Value pod = pod_of(R"({"containers":[{"name":"a"},{"name":"b"}]})");
  PodRecord r;
  auto plan = plan_pod({pod, r, at(0)});
  EXPECT_TRUE(plan.start.empty());
  r = prepared();
  EXPECT_EQ(plan_pod({pod, r, at(0)}).start, (Names{"a", "b"}));
}

TEST(Plan, InitContainersRunOneAfterTheOther) {
  Value pod =
      pod_of(R"({"restartPolicy":"Always","initContainers":[{"name":"i"},{"name":"j"}],"containers":[{"name":"a"}]})");
  PodRecord r = prepared();
  EXPECT_EQ(plan_pod({pod, r, at(0)}).start, Names{"i"});
  run(r, "i");
  EXPECT_TRUE(plan_pod({pod, r, at(0)}).start.empty());
  exit(r, "i", 0);
  auto plan = plan_pod({pod, r, at(0)});
  EXPECT_EQ(plan.start, Names{"j"});
  EXPECT_FALSE(plan.initialized);
  exit(r, "j", 0);
  plan = plan_pod({pod, r, at(0)});
  EXPECT_EQ(plan.start, Names{"a"});
  EXPECT_TRUE(plan.initialized);
}

TEST(Plan, AFailedInitContainerRunsAgainOrEndsThePod) {
  PodRecord r = prepared();
  exit(r, "i", 1);
  Value again = pod_of(R"({"restartPolicy":"OnFailure","initContainers":[{"name":"i"}],"containers":[{"name":"a"}]})");
  EXPECT_EQ(plan_pod({again, r, at(11)}).start, Names{"i"});
  Value never = pod_of(R"({"restartPolicy":"Never","initContainers":[{"name":"i"}],"containers":[{"name":"a"}]})");
  auto plan = plan_pod({never, r, at(11)});
  EXPECT_TRUE(plan.start.empty());
  EXPECT_TRUE(plan.clean_up);
}

TEST(Plan, SidecarsGateWhatFollowsUntilTheyAreUp) {
  Value pod = pod_of(
      R"({"initContainers":[{"name":"s","restartPolicy":"Always"},{"name":"i"},{"name":"t","restartPolicy":"Always"}],"containers":[{"name":"a"}]})");
  PodRecord r = prepared();
  EXPECT_EQ(plan_pod({pod, r, at(0)}).start, Names{"s"});
  run(r, "s", false);
  EXPECT_TRUE(plan_pod({pod, r, at(0)}).start.empty());
  run(r, "s");
  EXPECT_EQ(plan_pod({pod, r, at(0)}).start, Names{"i"});
  exit(r, "i", 0);
  EXPECT_EQ(plan_pod({pod, r, at(0)}).start, Names{"t"});
  run(r, "t");
  EXPECT_EQ(plan_pod({pod, r, at(0)}).start, Names{"a"});
}

TEST(Plan, ASidecarThatEndsLaterRunsAgainWithoutHoldingAnythingUp) {
  Value pod = pod_of(
      R"({"initContainers":[{"name":"s","restartPolicy":"Always"},{"name":"i"}],"containers":[{"name":"a"},{"name":"b"}]})");
  PodRecord r = prepared();
  r.initialized = true;
  exit(r, "s", 0);
  exit(r, "i", 0);
  run(r, "a");
  exit(r, "b", 1);
  auto plan = plan_pod({pod, r, at(11)});
  EXPECT_EQ(plan.start, (Names{"s", "b"}));
}

TEST(Plan, SidecarsEndLastAndBackwards) {
  Value pod = deleted(
      pod_of(
          R"({"initContainers":[{"name":"s","restartPolicy":"Always"},{"name":"t","restartPolicy":"Always"}],"containers":[{"name":"a"},{"name":"b"}]})"),
      7);
  PodRecord r = prepared();
  r.initialized = true;
  for (const char* name : {"s", "t", "a", "b"}) run(r, name);
  auto plan = plan_pod({pod, r, at(0)});
  EXPECT_EQ(stopped(plan), (Names{"a", "b", "t", "s"})) << "all are told, so that their hooks run; sidecars wait";
  EXPECT_EQ(turns(plan), (Names{"a", "b"}));
  EXPECT_EQ(plan.stop[0].grace_seconds, 7);
  exit(r, "a", 0);
  EXPECT_EQ(turns(plan_pod({pod, r, at(0)})), Names{"b"});
  exit(r, "b", 0);
  EXPECT_EQ(turns(plan_pod({pod, r, at(0)})), Names{"t"});
  exit(r, "t", 0);
  EXPECT_EQ(stopped(plan_pod({pod, r, at(0)})), Names{"s"});
  EXPECT_FALSE(plan_pod({pod, r, at(0)}).clean_up);
  exit(r, "s", 0);
  plan = plan_pod({pod, r, at(0)});
  EXPECT_TRUE(plan.clean_up);
  EXPECT_TRUE(plan.start.empty());
}

TEST(Plan, ANewImageReplacesTheContainerWhateverThePolicy) {
  Value pod = pod_of(
      R"({"restartPolicy":"Never","initContainers":[{"name":"i","image":"j:2"},{"name":"s","image":"s:2","restartPolicy":"Always"}],
          "containers":[{"name":"a","image":"a:2"},{"name":"b","image":"b:1"}]})");
  PodRecord r = prepared();
  r.initialized = true;
  exit(r, "i", 0);
  r.containers["i"].spec_image = "j:1";
  for (const char* name : {"s", "a", "b"}) {
    run(r, name);
    r.containers[name].spec_image = std::string(name) + ":1";
  }
  auto plan = plan_pod({pod, r, at(0)});
  EXPECT_EQ(stopped(plan), (Names{"s", "a"}));
  EXPECT_TRUE(plan.stop[1].new_image && plan.stop[1].to_restart);
  EXPECT_EQ(plan.stop[1].grace_seconds, 30);
  exit(r, "a", 0);
  r.containers["a"].replace = true;
  r.containers["b"].state = State::kExited;
  r.containers["s"].spec_image = "s:2";
  plan = plan_pod({pod, r, at(11)});
  EXPECT_EQ(plan.start, Names{"a"}) << "b is over, as the policy says";
  EXPECT_FALSE(plan.ending);
  run(r, "a");
  r.containers["a"].spec_image = "";
  EXPECT_TRUE(plan_pod({pod, r, at(11)}).stop.empty()) << "a record of an earlier release does not know its image";
}

TEST(Plan, RulesComeBeforeTheRestartPolicy) {
  Value pod = pod_of(
      R"({"restartPolicy":"Never","containers":[{"name":"a","restartPolicy":"Never","restartPolicyRules":[{"action":"Restart","exitCodes":{"operator":"In","values":[42,43]}}]}]})");
  const Value& in = pod["spec"]["containers"][0];
  EXPECT_TRUE(restarts(pod, in, false, 42));
  EXPECT_FALSE(restarts(pod, in, false, 1));
  Value other = pod_of(
      R"({"containers":[{"name":"a","restartPolicy":"Never","restartPolicyRules":[{"action":"Restart","exitCodes":{"operator":"NotIn","values":[0]}}]}]})");
  EXPECT_TRUE(restarts(other, other["spec"]["containers"][0], false, 7));
  EXPECT_FALSE(restarts(other, other["spec"]["containers"][0], false, 0));
}

// All containers anew: what runs is killed, whatever is starting or done, and then everything begins again.
TEST(Plan, ARuleMayAskForAllContainersAnew) {
  Value pod = pod_of(
      R"({"restartPolicy":"Never","initContainers":[{"name":"i"},{"name":"s","restartPolicy":"Always","restartPolicyRules":[
      {"action":"Restart","exitCodes":{"operator":"In","values":[1]}},{"action":"RestartAllContainers","exitCodes":{"operator":"NotIn","values":[0]}}]}],
      "containers":[{"name":"a"},{"name":"b"}],"ephemeralContainers":[{"name":"e"}]})");
  EXPECT_TRUE(may_restart_all(pod));
  PodRecord r = prepared();
  r.initialized = true;
  exit(r, "i", 0);
  exit(r, "b", 0);
  run(r, "a");
  run(r, "e");
  exit(r, "s", 1);  // the first rule that matches counts
  PodPlan plan = plan_pod({pod, r, at(20)});
  EXPECT_FALSE(plan.restart_all);
  EXPECT_EQ(plan.start, Names{"s"});
  exit(r, "s", 88);
  plan = plan_pod({pod, r, at(20)});
  EXPECT_TRUE(plan.restart_all);
  EXPECT_FALSE(plan.reset_containers);
  EXPECT_EQ(stopped(plan), (Names{"a", "e"}));
  EXPECT_TRUE(plan.stop[0].at_once);
  EXPECT_TRUE(plan.start.empty());
  r.restarting_all = true;
  exit(r, "a", 137);
  exit(r, "e", 137);
  plan = plan_pod({pod, r, at(20)});
  EXPECT_TRUE(plan.reset_containers);
  EXPECT_FALSE(plan.ending) << "though every main container is over, as the policy says";
  // Once it has begun it goes on, whatever the code was.
  r.containers["s"] = {};
  EXPECT_TRUE(plan_pod({pod, r, at(20)}).restart_all);
  // The end of the pod comes first.
  Value leaving = pod;
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_FALSE(plan_pod({leaving, r, at(20)}).restart_all);
  // A sidecar that ends because the work is done asks for nothing.
  r.restarting_all = false;
  exit(r, "s", 88);
  EXPECT_FALSE(plan_pod({pod, r, at(20)}).restart_all);
}

TEST(Plan, SidecarsEndWhenTheWorkIsOver) {
  Value pod = pod_of(
      R"({"restartPolicy":"Never","initContainers":[{"name":"s","restartPolicy":"Always"}],"containers":[{"name":"a"}]})");
  PodRecord r = prepared();
  r.initialized = true;
  run(r, "s");
  exit(r, "a", 0);
  EXPECT_EQ(stopped(plan_pod({pod, r, at(0)})), Names{"s"});
}

TEST(Plan, RestartsFollowThePolicy) {
  struct Case {
    const char* policy;
    int code;
    bool again;
  };
  for (const Case& c : {Case{"Always", 0, true},
                        {"Always", 1, true},
                        {"OnFailure", 0, false},
                        {"OnFailure", 1, true},
                        {"Never", 0, false},
                        {"Never", 1, false}}) {
    Value pod = pod_of(
        (std::string(R"({"containers":[{"name":"a"},{"name":"b"}],"restartPolicy":")") + c.policy + "\"}").c_str());
    PodRecord r = prepared();
    exit(r, "a", c.code);
    run(r, "b");
    EXPECT_EQ(plan_pod({pod, r, at(10)}).start.size(), c.again ? 1u : 0u) << c.policy << " " << c.code;
  }
}

TEST(Plan, BacksOffLongerEachTimeAndForgetsAfterAGoodRun) {
  Value pod = pod_of(R"({"containers":[{"name":"a"}]})");
  PodRecord r = prepared();
  exit(r, "a", 1, 10);
  ContainerRecord& c = r.containers["a"];
  EXPECT_EQ(plan_pod({pod, r, at(10)}).start, Names{"a"}) << "the first restart is at once";
  std::vector<long> delays;
  int now = 10;
  for (int i = 0; i < 7; ++i) {
    raise_back_off(c, at(now));
    now += 1;
    c.ended.finished = at(now);
    auto plan = plan_pod({pod, r, at(now)});
    ASSERT_EQ(plan.back_offs.size(), 1u);
    EXPECT_TRUE(plan.start.empty());
    EXPECT_EQ(*plan.next_sync, at(now) + plan.back_offs[0].delay);
    delays.push_back(std::chrono::duration_cast<std::chrono::seconds>(plan.back_offs[0].delay).count());
    now += static_cast<int>(delays.back());
    EXPECT_EQ(plan_pod({pod, r, at(now)}).start, Names{"a"});
  }
  EXPECT_EQ(delays, (std::vector<long>{10, 20, 40, 80, 160, 300, 300}));
  raise_back_off(c, at(now));
  c.ended.finished = at(now + 601);
  EXPECT_EQ(plan_pod({pod, r, at(now + 601)}).start, Names{"a"});
  raise_back_off(c, at(now + 601));
  EXPECT_EQ(c.back_off, kFirstBackOff);
}

TEST(Plan, WaitsForAFailedImageOrConfiguration) {
  Value pod = pod_of(R"({"containers":[{"name":"a"}]})");
  PodRecord r = prepared();
  r.containers["a"].retry_at = at(20);
  auto plan = plan_pod({pod, r, at(10)});
  EXPECT_TRUE(plan.start.empty());
  EXPECT_EQ(*plan.next_sync, at(20));
  EXPECT_EQ(plan_pod({pod, r, at(20)}).start, Names{"a"});
}

TEST(Plan, ADeadlineFailsThePod) {
  Value pod = pod_of(R"({"activeDeadlineSeconds":30,"containers":[{"name":"a"}]})");
  PodRecord r = prepared();
  run(r, "a");
  EXPECT_EQ(*plan_pod({pod, r, at(29)}).next_sync, at(30));
  auto plan = plan_pod({pod, r, at(30)});
  EXPECT_EQ(plan.fail_reason, "DeadlineExceeded");
  EXPECT_EQ(stopped(plan), Names{"a"});
}

TEST(Plan, WhatAProbeCondemnedIsEndedWithTheProbesOwnGrace) {
  Value pod = pod_of(
      R"({"terminationGracePeriodSeconds":20,"containers":[{"name":"a","livenessProbe":{"terminationGracePeriodSeconds":3}},{"name":"b"}]})");
  PodRecord r = prepared();
  run(r, "a");
  run(r, "b");
  r.containers["a"].must_restart = true;
  auto plan = plan_pod({pod, r, at(0)});
  ASSERT_EQ(stopped(plan), Names{"a"});
  EXPECT_EQ(plan.stop[0].grace_seconds, 3);
  EXPECT_TRUE(plan.stop[0].to_restart);
  EXPECT_FALSE(plan.clean_up);
}

TEST(Plan, EphemeralContainersRunOnceBesideWhatDoesNotStart) {
  Value pod =
      pod_of(R"({"initContainers":[{"name":"i"}],"containers":[{"name":"a"}],"ephemeralContainers":[{"name":"d"}]})");
  PodRecord r = prepared();
  exit(r, "i", 1, 0);
  r.containers["i"].back_off = 100s;
  r.containers["i"].back_off_at = at(0);
  EXPECT_EQ(plan_pod({pod, r, at(1)}).start, Names{"d"});
  exit(r, "d", 1, 1);
  exit(r, "i", 0, 2);
  run(r, "a");
  EXPECT_TRUE(plan_pod({pod, r, at(500)}).start.empty());
  run(r, "d");
  EXPECT_EQ(stopped(plan_pod({deleted(pod, 5), r, at(3)})), (Names{"a", "d"}));
  EXPECT_FALSE(work_is_over(pod, r));
}

TEST(Plan, AVanishedPodEndsAtOnce) {
  Value pod = pod_of(R"({"terminationGracePeriodSeconds":30,"containers":[{"name":"a"}]})");
  PodRecord r = prepared();
  run(r, "a");
  auto plan = plan_pod({pod, r, at(0), true});
  ASSERT_EQ(stopped(plan), Names{"a"});
  EXPECT_EQ(plan.stop[0].grace_seconds, 1);
  r.containers["a"].state = State::kExited;
  EXPECT_TRUE(plan_pod({pod, r, at(0), true}).clean_up);
  r.cleaned_up = true;
  EXPECT_FALSE(plan_pod({pod, r, at(0), true}).clean_up);
}

TEST(Plan, ADeletedPodThatNeverStartedIsTornDown) {
  Value pod = deleted(pod_of(R"({"containers":[{"name":"a"}]})"), 30);
  auto plan = plan_pod({pod, PodRecord{}, at(0)});
  EXPECT_TRUE(plan.clean_up);
}

}  // namespace
}  // namespace berth::agent

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/text.h"
#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/job/controller.h"
#include "controllers/job/indexes.h"
#include "controllers/job/plan.h"
#include "controllers/job/pods.h"

namespace berth::controllers::job {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) {
  Result<Value> value = json::parse(text);
  EXPECT_TRUE(value.ok()) << text;
  return value.ok() ? *value : Value();
}

void merge(Value& target, const Value& change) {
  for (auto [key, value] : change.entries()) {
    if (value.is_null()) {
      target.erase(key);
    } else if (value.is_object()) {
      if (!target[key].is_object()) target.set(key, Value::object());
      merge(target.mut(key), value);
    } else {
      target.set(key, value);
    }
  }
}

// A job and its pods, and a server that executes plans.
class World {
 public:
  explicit World(std::string_view spec) {
    job = from(
        R"({"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"j","namespace":"d","uid":"job"},"spec":{"parallelism":1,"backoffLimit":6,
        "completionMode":"NonIndexed","suspend":false,"podReplacementPolicy":"TerminatingOrFailed","selector":{"matchLabels":{"u":"1"}},
        "template":{"metadata":{"labels":{"u":"1"}},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"i"}]}}},"status":{}})");
    merge(job.mut("spec"), from(spec));
  }

  Plan plan() const {
    JobView view;
    view.job = job;
    for (const auto& [name, pod] : pods) view.pods.push_back(pod);
    view.removed_failures = removed_failures;
    return plan_job(view, now);
  }

  // Plans and executes until nothing is left to do at this time.
  void run_until_idle() {
    for (int i = 0; i < 50; ++i) {
      const Plan next = plan();
      wait = next.requeue_delay;
      EXPECT_TRUE(next.then.empty());
      for (const Action& action : next.first) apply(action);
      for (const auto& chain : next.chains) {
        for (const Action& action : chain) apply(action);
      }
      if (next.first.empty() && next.chains.empty()) return;
    }
    ADD_FAILURE() << "does not come to rest: " << json::encode(job["status"]);
  }
  void advance(Duration time) {
    now += time;
    run_until_idle();
  }

  // The names of active pods in order of creation.
  std::string active() const {
    std::vector<std::string> found;
    for (const auto& [name, pod] : pods) {
      if (is_active(pod)) found.push_back(is_indexed(job) ? std::to_string(index_of(pod)) : "pod");
    }
    std::sort(found.begin(), found.end());
    return join(found, " ");
  }
  Value& pod(std::int64_t index = -1) {
    for (auto& [name, one] : pods) {
      if (is_active(one) && index_of(one) == index) return one;
    }
    ADD_FAILURE() << "no active pod " << index;
    return pods.begin()->second;
  }
  void run(std::int64_t index = -1) {
    Value& one = pod(index);
    one.set("status", from(R"({"phase":"Running","conditions":[{"type":"Ready","status":"True"}]})"));
    run_until_idle();
  }
  void end(std::string_view phase, std::int64_t index = -1, int code = 0) {
    Value& one = pod(index);
    const Value state =
        Value::object({{"terminated", Value::object({{"exitCode", code}, {"finishedAt", format_time(now)}})}});
    one.set("status",
            Value::object({{"phase", phase},
                           {"containerStatuses", Value::array({Value::object({{"name", "c"}, {"state", state}})})}}));
    run_until_idle();
  }
  void succeed(std::int64_t index = -1) { end("Succeeded", index); }
  void fail(std::int64_t index = -1, int code = 1) { end("Failed", index, code); }
  // A pod is deleted, or its node removes it.
  void deleted(std::string_view uid) {
    for (auto& [name, one] : pods) {
      if (api::uid_of(one) == uid)
        one.mut("metadata").set("deletionTimestamp", format_time(now)).set("deletionGracePeriodSeconds", 0);
    }
  }
  void kubeunthrottles_terminating() {
    for (auto& [name, one] : pods) {
      if (!api::is_terminating(one)) continue;
      if (!api::is_pod_terminal(one)) one.mut("status").set("phase", "Failed");
      held_.erase(name);
    }
    reap();
    run_until_idle();
  }

  const Value& status() const { return job["status"]; }
  // "SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached"; conditions that are not True in brackets.
  std::string conditions() const {
    std::string out;
    for (const Value& one : job["status"]["conditions"]) {
      const std::string text = one["type"].str() + "/" + one["reason"].str();
      out += (out.empty() ? "" : " ") + (one["status"].as_string() == "True" ? text : "(" + text + ")");
    }
    return out;
  }
  std::string counts() const {
    return std::to_string(status()["active"].as_int()) + " active " + std::to_string(status()["ready"].as_int()) +
           " ready " + std::to_string(status()["terminating"].as_int()) + " terminating " +
           std::to_string(status()["succeeded"].as_int()) + " succeeded " +
           std::to_string(status()["failed"].as_int()) + " failed";
  }
  bool tracked_any() const {
    return std::any_of(pods.begin(), pods.end(), [](const auto& one) { return is_tracked(one.second); });
  }

  Value job;
  std::map<std::string, Value> pods;
  Time now = parse_time("2026-01-01T00:00:00Z").value();
  std::optional<Duration> wait;
  std::vector<std::string> events;  // "reason: message" of events about the job itself
  int created = 0;
  std::vector<Time> removed_failures;
  bool slow_kubelet = false;  // deleted pods remain until unthrottled

 private:
  void apply(const Action& action) {
    for (const EventSpec& event : action.on_success) {
      if (event.reason != "SuccessfulCreate" && event.reason != "SuccessfulDelete")
        events.push_back(event.reason + ": " + event.message);
    }
    if (action.resource == kJobs) {
      ASSERT_EQ(action.subresource, "status");
      merge(job.mut("status"), action.object["status"]);
      return;
    }
    if (action.verb == Action::Verb::kCreate) {
      Value pod = action.object;
      const std::string name(api::name_of(pod));
      ASSERT_FALSE(pods.contains(name)) << name;
      pod.mut("metadata").set("uid", "pod-" + std::to_string(++created)).set("creationTimestamp", format_time(now));
      pod.set("status", from(R"({"phase":"Pending"})"));
      pods[name] = pod;
      return;
    }
    auto found = pods.find(action.name.name);
    if (found == pods.end()) return;
    Value& pod = found->second;
    if (action.verb == Action::Verb::kDelete) {
      pod.mut("metadata").set("deletionTimestamp", format_time(now)).set("deletionGracePeriodSeconds", 30);
      if (slow_kubelet) held_[action.name.name] = true;
    } else {
      ASSERT_EQ(action.object["metadata"]["$deleteFromPrimitiveList/finalizers"][0].as_string(), kTracking);
      EXPECT_TRUE(is_tracked(pod)) << "taken away twice";
      pod.mut("metadata").erase("finalizers");
    }
    reap();
  }
  void reap() {
    std::erase_if(pods, [&](const auto& one) {
      return api::is_terminating(one.second) && !is_tracked(one.second) && !held_.contains(one.first);
    });
  }
  std::map<std::string, bool> held_;
};

// --- Indexes

TEST(JobIndexes, ReadsAndWrites) {
  const std::pair<const char*, const char*> kRows[] = {
      {"", ""},        {"0", "0"}, {"0,1", "0,1"}, {"0,1,2", "0-2"}, {"0-2,3-5", "0-5"},
      {"7-20", "7-9"}, {"10", ""}, {"x,3", "3"},   {"5-3,4", "4"},   {"1,3-4,8", "1,3,4,8"}};
  for (const auto& [text, normal] : kRows) EXPECT_EQ(Indexes::parse(text, 10).text(), normal) << text;
  const Indexes some = Indexes::parse("1,3-5", 10);
  EXPECT_EQ(some.size(), 4);
  EXPECT_TRUE(some.has(4) && some.has(1) && !some.has(0) && !some.has(2) && !some.has(6));
  EXPECT_EQ(some.with({2, 9, 3}).text(), "1-5,9");
  EXPECT_EQ(some.common(Indexes::parse("0-1,4-9", 10)), 3);
  EXPECT_EQ(some.missing(3, 10), (std::vector<std::int64_t>{0, 2, 6}));
  EXPECT_EQ(some.missing(9, 7), (std::vector<std::int64_t>{0, 2, 6}));
}

// --- Complete runs of jobs

TEST(JobPlan, OnePodToItsEnd) {
  World world(R"({"completions":1})");
  world.run_until_idle();
  EXPECT_EQ(world.counts(), "1 active 0 ready 0 terminating 0 succeeded 0 failed");
  EXPECT_EQ(world.status()["startTime"].as_string(), "2026-01-01T00:00:00Z");
  EXPECT_EQ(world.status()["uncountedTerminatedPods"], Value::object());
  const Value pod = world.pod();
  EXPECT_EQ(api::name_of(pod).size(), 7u);
  EXPECT_EQ(pod["metadata"]["generateName"].as_string(), "j-");
  EXPECT_EQ(pod["metadata"]["finalizers"], Value::array({kTracking}));
  EXPECT_TRUE(api::is_controlled_by(pod, "job"));
  world.run();
  EXPECT_EQ(world.counts(), "1 active 1 ready 0 terminating 0 succeeded 0 failed");
  world.advance(5s);
  world.succeed();
  EXPECT_EQ(world.counts(), "0 active 0 ready 0 terminating 1 succeeded 0 failed");
  EXPECT_EQ(world.conditions(), "SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached");
  EXPECT_EQ(world.status()["completionTime"].as_string(), "2026-01-01T00:00:05Z");
  EXPECT_EQ(world.status()["uncountedTerminatedPods"], Value::object());
  EXPECT_FALSE(world.tracked_any());
  EXPECT_EQ(world.events, std::vector<std::string>{"Completed: Job completed"});
  EXPECT_EQ(world.created, 1);
}

TEST(JobPlan, CountsInThreeSteps) {
  World world(R"({"completions":1})");
  world.run_until_idle();
  world.pod().mut("status").set("phase", "Succeeded");
  // First the uid is written, then the finalizer is removed.
  const Plan noted = world.plan();
  ASSERT_EQ(noted.first.size(), 1u);
  EXPECT_EQ(noted.first[0].object["status"]["uncountedTerminatedPods"]["succeeded"], Value::array({"pod-1"}));
  EXPECT_TRUE(noted.first[0].object["status"]["succeeded"].is_null());
  ASSERT_EQ(noted.chains.size(), 1u);
  EXPECT_EQ(noted.chains[0][0].object["metadata"]["$deleteFromPrimitiveList/finalizers"][0].as_string(), kTracking);
  // Written, but not untracked yet (the last attempt failed): planned again, and not written twice.
  merge(world.job.mut("status"), noted.first[0].object["status"]);
  const Plan again = world.plan();
  EXPECT_TRUE(again.first.empty());
  EXPECT_EQ(again.chains.size(), 1u);
  // Untracked: replaced by an increment.
  world.pods.begin()->second.mut("metadata").erase("finalizers");
  const Plan counted = world.plan();
  EXPECT_EQ(counted.first[0].object["status"]["succeeded"].as_int(), 1);
  EXPECT_TRUE(counted.chains.empty());
  // The pod may also be gone.
  world.pods.clear();
  EXPECT_EQ(world.plan().first[0].object["status"]["succeeded"].as_int(), 1);
}

TEST(JobPlan, ParallelismAndCompletions) {
  struct Row {
    const char* spec;
    int first;
    std::vector<int> after_each_success;
  };
  const Row kRows[] = {{R"({"parallelism":2,"completions":5})", 2, {2, 2, 2, 1, 0}},
                       {R"({"parallelism":10,"completions":3})", 3, {2, 1, 0}},
                       {R"({"parallelism":3})", 3, {2, 1, 0}},  // a work queue: no new pods after the first success
                       {R"({"parallelism":0,"completions":3})", 0, {}},
                       {R"({"parallelism":1,"completions":0})", 0, {}}};
  for (const Row& row : kRows) {
    World world(row.spec);
    world.run_until_idle();
    EXPECT_EQ(world.status()["active"].as_int(), row.first) << row.spec;
    for (int active : row.after_each_success) {
      world.succeed();
      EXPECT_EQ(world.status()["active"].as_int(), active) << row.spec;
    }
    EXPECT_EQ(is_finished(world.job),
              row.first > 0 || std::string_view(row.spec).find("\"completions\":0") != std::string_view::npos)
        << row.spec;
  }
}

TEST(JobPlan, LowerParallelismLetsPodsGoUncounted) {
  World world(R"({"parallelism":3,"completions":9})");
  world.run_until_idle();
  world.run();
  world.job.mut("spec").set("parallelism", 1);
  world.run_until_idle();
  EXPECT_EQ(world.counts(), "1 active 1 ready 0 terminating 0 succeeded 0 failed");  // the ready one stays
}

TEST(JobPlan, FailuresAreRetriedAtGrowingDistances) {
  World world(R"({"completions":1,"backoffLimit":3})");
  world.run_until_idle();
  for (Duration wait : {Duration(10s), Duration(20s), Duration(40s)}) {
    world.fail();
    EXPECT_EQ(world.active(), "");
    EXPECT_EQ(world.wait, wait);
    world.advance(wait - 1s);
    EXPECT_EQ(world.active(), "");
    world.advance(1s);
    EXPECT_EQ(world.active(), "pod");
    EXPECT_EQ(world.conditions(), "");
  }
  world.fail();
  EXPECT_EQ(world.counts(), "0 active 0 ready 0 terminating 0 succeeded 4 failed");
  EXPECT_EQ(world.conditions(), "FailureTarget/BackoffLimitExceeded Failed/BackoffLimitExceeded");
  EXPECT_EQ(world.events,
            std::vector<std::string>{"BackoffLimitExceeded: Job has reached the specified backoff limit"});
  EXPECT_TRUE(world.status()["completionTime"].is_null());
}

TEST(JobPlan, ASuccessEndsTheWaiting) {
  World world(R"({"completions":5,"parallelism":2})");
  world.run_until_idle();
  world.fail();
  EXPECT_EQ(world.wait, Duration(10s));
  world.advance(2s);
  world.succeed();
  EXPECT_EQ(world.active(), "pod pod");
}

TEST(JobBackoff, DoublesUpToTenMinutes) {
  const Time at = parse_time("2026-01-01T00:00:00Z").value();
  const std::pair<int, Duration> kRows[] = {{0, 0s}, {1, 10s}, {2, 20s}, {6, 320s}, {7, 600s}, {1000, 600s}};
  for (const auto& [failures, left] : kRows) EXPECT_EQ(backoff_left(failures, at, at), left) << failures;
  EXPECT_EQ(backoff_left(2, at, at + 15s), Duration(5s));
  EXPECT_EQ(backoff_left(2, at, at + 25s), Duration(0s));
}

TEST(JobPlan, RestartsOfContainersCountWhereTheyAreRestarted) {
  World world(R"({"completions":1,"backoffLimit":2,"template":{"spec":{"restartPolicy":"OnFailure"}}})");
  world.run_until_idle();
  auto restarts = [&](int count) {
    world.pod().set("status",
                    Value::object({{"phase", "Running"},
                                   {"containerStatuses",
                                    Value::array({Value::object({{"name", "c"}, {"restartCount", count}})})}}));
    world.run_until_idle();
  };
  restarts(1);
  EXPECT_EQ(world.conditions(), "");
  restarts(2);
  EXPECT_EQ(world.conditions(), "FailureTarget/BackoffLimitExceeded Failed/BackoffLimitExceeded");
  EXPECT_EQ(world.status()["failed"].as_int(), 1);  // the pod that the deadline ended
}

TEST(JobPlan, DeadlinesEndWhatRuns) {
  World world(R"({"completions":1,"activeDeadlineSeconds":60})");
  world.slow_kubelet = true;
  world.run_until_idle();
  EXPECT_EQ(world.wait, Duration(60s));
  world.advance(59s);
  EXPECT_EQ(world.active(), "pod");
  world.advance(1s);
  // Counted at once, finished when the pod is gone.
  EXPECT_EQ(world.counts(), "0 active 0 ready 1 terminating 0 succeeded 1 failed");
  EXPECT_EQ(world.conditions(), "FailureTarget/DeadlineExceeded");
  world.kubeunthrottles_terminating();
  EXPECT_EQ(world.counts(), "0 active 0 ready 0 terminating 0 succeeded 1 failed");
  EXPECT_EQ(world.conditions(), "FailureTarget/DeadlineExceeded Failed/DeadlineExceeded");
  EXPECT_EQ(world.events, std::vector<std::string>{"DeadlineExceeded: Job was active longer than specified deadline"});
}

TEST(JobPlan, SuspendedAndResumed) {
  World world(R"({"completions":3,"parallelism":2,"activeDeadlineSeconds":60})");
  world.run_until_idle();
  world.succeed();
  world.job.mut("spec").set("suspend", true);
  world.run_until_idle();
  EXPECT_EQ(world.counts(), "0 active 0 ready 0 terminating 1 succeeded 0 failed");
  EXPECT_EQ(world.conditions(), "Suspended/JobSuspended");
  EXPECT_TRUE(world.status()["startTime"].is_null());
  world.advance(1h);  // the deadline does not run
  EXPECT_EQ(world.conditions(), "Suspended/JobSuspended");
  world.job.mut("spec").set("suspend", false);
  world.run_until_idle();
  EXPECT_EQ(world.active(), "pod pod");
  EXPECT_EQ(world.status()["startTime"].as_string(), "2026-01-01T01:00:00Z");
  EXPECT_EQ(world.conditions(), "(Suspended/JobResumed)");
  EXPECT_EQ(world.events, (std::vector<std::string>{"Suspended: Job suspended", "Resumed: Job resumed"}));
}

TEST(JobPlan, BornSuspended) {
  World world(R"({"completions":1,"suspend":true})");
  world.run_until_idle();
  EXPECT_EQ(world.created, 0);
  EXPECT_EQ(world.conditions(), "Suspended/JobSuspended");
  EXPECT_TRUE(world.status()["startTime"].is_null());
}

TEST(JobPlan, DeletedPodsAreReplaced) {
  World world(R"({"completions":1})");
  world.run_until_idle();
  world.deleted("pod-1");
  world.removed_failures = {world.now};
  world.run_until_idle();  // counts as failed at once
  EXPECT_EQ(world.status()["failed"].as_int(), 1);
  EXPECT_EQ(world.wait, Duration(10s));
  EXPECT_EQ(world.created, 1);
  world.advance(10s);
  EXPECT_EQ(world.created, 2);

  World patient(R"({"completions":1,"podReplacementPolicy":"Failed"})");
  patient.run_until_idle();
  patient.deleted("pod-1");
  patient.advance(60s);
  EXPECT_EQ(patient.counts(), "0 active 0 ready 1 terminating 0 succeeded 0 failed");
  EXPECT_EQ(patient.created, 1);
  patient.kubeunthrottles_terminating();
  patient.advance(10s);
  EXPECT_EQ(patient.counts(), "1 active 0 ready 0 terminating 0 succeeded 1 failed");
}

// --- Indexed jobs

TEST(JobPlan, IndexedPods) {
  World world(
      R"({"completionMode":"Indexed","completions":4,"parallelism":2,"template":{"spec":{"initContainers":[{"name":"before",
      "env":[{"name":"JOB_COMPLETION_INDEX","value":"mine"}]}]}}})");
  world.run_until_idle();
  EXPECT_EQ(world.active(), "0 1");
  const Value pod = world.pod(1);
  EXPECT_TRUE(api::name_of(pod).starts_with("j-1-"));
  EXPECT_EQ(api::name_of(pod).size(), 9u);
  EXPECT_EQ(pod["spec"]["hostname"].as_string(), "j-1");
  EXPECT_EQ(api::label_of(pod, kIndex), "1");
  EXPECT_EQ(api::annotation_of(pod, kIndex), "1");
  EXPECT_TRUE(api::annotation_of(pod, kFailures).empty());
  EXPECT_EQ(
      pod["spec"]["containers"][0]["env"],
      from(
          R"([{"name":"JOB_COMPLETION_INDEX","valueFrom":{"fieldRef":{"fieldPath":"metadata.labels['batch.kubernetes.io/job-completion-index']"}}}])"));
  EXPECT_EQ(pod["spec"]["initContainers"][0]["env"].size(), 1u);
  world.succeed(1);
  EXPECT_EQ(world.active(), "0 2");
  EXPECT_EQ(world.status()["completedIndexes"].as_string(), "1");
  world.fail(0);
  world.advance(10s);
  EXPECT_EQ(world.active(), "0 2");
  world.succeed(2);
  world.succeed(0);
  world.succeed(3);
  EXPECT_EQ(world.status()["completedIndexes"].as_string(), "0-3");
  EXPECT_EQ(world.counts(), "0 active 0 ready 0 terminating 4 succeeded 1 failed");
  EXPECT_EQ(world.conditions(), "SuccessCriteriaMet/CompletionsReached Complete/CompletionsReached");
}

TEST(JobPlan, EachIndexOnce) {
  World world(R"({"completionMode":"Indexed","completions":3,"parallelism":3})");
  world.run_until_idle();
  Value twin = world.pod(1);
  twin.mut("metadata").set("uid", "twin").set("name", "twin");
  Value beyond = twin;
  beyond.mut("metadata").set("uid", "beyond").set("name", "beyond").mut("annotations").set(kIndex, "3");
  world.pods["twin"] = twin;
  world.pods["beyond"] = beyond;
  world.run_until_idle();
  EXPECT_EQ(world.active(), "0 1 2");
  // With fewer completions, successes beyond the end no longer count.
  world.succeed(2);
  world.job.mut("spec").set("completions", 2).set("parallelism", 2);
  world.run_until_idle();
  EXPECT_TRUE(world.status()["completedIndexes"].as_string().empty());
  world.succeed(0);
  world.succeed(1);
  EXPECT_EQ(world.status()["completedIndexes"].as_string(), "0,1");
  EXPECT_TRUE(api::condition_is_true(world.job, "Complete"));
}

TEST(JobPlan, LimitsOfEachIndex) {
  World world(
      R"({"completionMode":"Indexed","completions":3,"parallelism":3,"backoffLimit":2147483647,"backoffLimitPerIndex":1})");
  world.run_until_idle();
  EXPECT_EQ(world.status()["failedIndexes"].as_string("none"), "");
  EXPECT_EQ(api::annotation_of(world.pod(1), kFailures), "0");
  world.fail(1);
  EXPECT_EQ(world.active(), "0 2");
  EXPECT_TRUE(world.tracked_any());
  EXPECT_EQ(world.status()["failed"].as_int(), 0);  // retained until its replacement exists
  world.advance(10s);
  EXPECT_EQ(world.active(), "0 1 2");
  EXPECT_EQ(api::annotation_of(world.pod(1), kFailures), "1");
  EXPECT_EQ(world.status()["failed"].as_int(), 1);
  world.fail(1);
  EXPECT_EQ(world.status()["failedIndexes"].as_string(), "1");
  world.advance(1h);
  EXPECT_EQ(world.active(), "0 2");
  world.succeed(0);
  EXPECT_EQ(world.conditions(), "");
  world.succeed(2);
  EXPECT_EQ(world.counts(), "0 active 0 ready 0 terminating 2 succeeded 2 failed");
  EXPECT_EQ(world.conditions(), "FailureTarget/FailedIndexes Failed/FailedIndexes");
  EXPECT_EQ(world.events, std::vector<std::string>{"FailedIndexes: Job has failed indexes"});
}

TEST(JobPlan, IndexesWaitOnTheirOwn) {
  World world(
      R"({"completionMode":"Indexed","completions":2,"parallelism":2,"backoffLimit":2147483647,"backoffLimitPerIndex":5})");
  world.run_until_idle();
  world.fail(0);
  world.advance(4s);
  world.fail(1);
  EXPECT_EQ(world.active(), "");
  EXPECT_EQ(world.wait, Duration(6s));
  world.advance(6s);
  EXPECT_EQ(world.active(), "0");
  world.advance(4s);
  EXPECT_EQ(world.active(), "0 1");
  world.fail(0);
  EXPECT_EQ(world.wait, Duration(20s));
}

TEST(JobPlan, TooManyFailedIndexesEndTheJob) {
  World world(
      R"({"completionMode":"Indexed","completions":9,"parallelism":3,"backoffLimit":2147483647,"backoffLimitPerIndex":0,"maxFailedIndexes":1})");
  world.run_until_idle();
  world.fail(0);
  EXPECT_EQ(world.active(), "1 2 3");
  world.fail(2);
  EXPECT_EQ(world.conditions(), "FailureTarget/MaxFailedIndexesExceeded Failed/MaxFailedIndexesExceeded");
  EXPECT_EQ(world.status()["failedIndexes"].as_string(), "0,2");
  EXPECT_EQ(world.active(), "");
  EXPECT_EQ(world.events,
            std::vector<std::string>{
                "MaxFailedIndexesExceeded: Job has exceeded the specified maximal number of failed indexes"});
}

// --- Policies

constexpr const char* kPolicy =
    R"({"completions":1,"backoffLimit":0,"podReplacementPolicy":"Failed","podFailurePolicy":{"rules":[
    {"action":"Ignore","onPodConditions":[{"type":"DisruptionTarget","status":"True"}]},
    {"action":"FailJob","onExitCodes":{"containerName":"c","operator":"In","values":[42]}},
    {"action":"FailJob","onPodConditions":[{"type":"Hopeless","status":"True"}]},
    {"action":"Ignore","onExitCodes":{"operator":"NotIn","values":[1,2]}}]}})";

TEST(JobPolicies, FailedPods) {
  struct Row {
    int code;
    const char* condition;
    std::string reason, message;
  };
  const Row kRows[] = {
      {1, "", "BackoffLimitExceeded", "Job has reached the specified backoff limit"},
      {42, "", "PodFailurePolicy",
       "Container c for pod d/NAME failed with exit code 42 matching FailJob rule at index 1"},
      {1, "Hopeless", "PodFailurePolicy", "Pod d/NAME has condition Hopeless matching FailJob rule at index 2"},
      {42, "DisruptionTarget", "", ""},
      {7, "", "", ""},
  };
  for (const Row& row : kRows) {
    World world(kPolicy);
    world.run_until_idle();
    const std::string name(api::name_of(world.pod()));
    if (*row.condition) {
      Value& pod = world.pod();
      pod.mut("status")
          .set("phase", "Failed")
          .set("conditions", Value::array({Value::object({{"type", row.condition}, {"status", "True"}})}));
      pod.mut("status").set(
          "containerStatuses",
          Value::array({Value::object(
              {{"name", "c"}, {"state", Value::object({{"terminated", Value::object({{"exitCode", row.code}})}})}})}));
      world.run_until_idle();
    } else {
      world.fail(-1, row.code);
    }
    const Value& failed = api::condition_of(world.job, "Failed");
    EXPECT_EQ(failed["reason"].as_string(), row.reason) << row.code << row.condition;
    EXPECT_EQ(failed["message"].as_string(), replace_all(row.message, "NAME", name));
    EXPECT_EQ(world.status()["failed"].as_int(), row.reason.empty() ? 0 : 1);
    EXPECT_FALSE(world.tracked_any());
    world.advance(10s);
    EXPECT_EQ(world.active(), row.reason.empty() ? "pod" : "");
  }
}

TEST(JobPolicies, FailJobEndsTheOthersToo) {
  World world(kPolicy);
  world.job.mut("spec").set("completions", 3).set("parallelism", 3);
  world.slow_kubelet = true;
  world.run_until_idle();
  world.fail(-1, 42);
  EXPECT_EQ(world.counts(), "0 active 0 ready 2 terminating 0 succeeded 3 failed");
  EXPECT_EQ(world.conditions(), "FailureTarget/PodFailurePolicy");
  world.kubeunthrottles_terminating();
  EXPECT_EQ(world.conditions(), "FailureTarget/PodFailurePolicy Failed/PodFailurePolicy");
}

TEST(JobPolicies, IndexesCanFailAtOnceOrForFree) {
  World world(
      R"({"completionMode":"Indexed","completions":2,"parallelism":2,"backoffLimit":2147483647,"backoffLimitPerIndex":1,"podReplacementPolicy":"Failed",
      "podFailurePolicy":{"rules":[{"action":"FailIndex","onExitCodes":{"operator":"In","values":[9]}},
                                   {"action":"Ignore","onExitCodes":{"operator":"In","values":[7]}}]}})");
  world.run_until_idle();
  world.fail(0, 9);
  EXPECT_EQ(world.status()["failedIndexes"].as_string(), "0");
  world.fail(1, 7);
  world.advance(10s);
  EXPECT_EQ(world.active(), "1");
  EXPECT_EQ(api::annotation_of(world.pod(1), kFailures), "0");
  EXPECT_EQ(api::annotation_of(world.pod(1), kIgnoredFailures), "1");
  EXPECT_EQ(world.status()["failed"].as_int(), 1);
}

TEST(JobPolicies, SuccessBeforeTheEnd) {
  struct Row {
    const char* rules;
    std::vector<int> successes;
    const char* message;  // empty: not yet
  };
  const Row kRows[] = {
      {R"([{"succeededIndexes":"0,2"}])", {0, 1}, ""},
      {R"([{"succeededIndexes":"0,2"}])", {0, 2}, "Matched rules at index 0"},
      {R"([{"succeededIndexes":"0-4","succeededCount":2}])", {1, 3}, "Matched rules at index 0"},
      {R"([{"succeededIndexes":"0"},{"succeededCount":2}])", {3, 4}, "Matched rules at index 1"},
      {R"([{"succeededCount":1}])", {}, ""},
  };
  for (const Row& row : kRows) {
    World world(R"({"completionMode":"Indexed","completions":5,"parallelism":5})");
    world.job.mut("spec").set("successPolicy", Value::object({{"rules", from(row.rules)}}));
    world.run_until_idle();
    for (int index : row.successes) world.succeed(index);
    EXPECT_EQ(api::condition_of(world.job, "Complete")["message"].as_string(), row.message) << row.rules;
    if (!*row.message) continue;
    EXPECT_EQ(world.conditions(), "SuccessCriteriaMet/SuccessPolicy Complete/SuccessPolicy");
    EXPECT_EQ(world.status()["failed"].as_int(), 0);  // pods deleted by success did not fail
    EXPECT_EQ(world.status()["succeeded"].as_int(), static_cast<int>(row.successes.size()));
    EXPECT_EQ(world.active(), "");
  }
}

// --- Belonging

TEST(JobPlan, AdoptsAndReleases) {
  JobView view;
  World world(R"({"completions":9,"parallelism":2})");
  world.run_until_idle();
  view.job = world.job;
  for (const auto& [name, pod] : world.pods) view.pods.push_back(pod);
  view.pods[0].mut("metadata").set("labels", from(R"({"u":"2"})"));
  Value orphan = view.pods[1];
  orphan.mut("metadata").set("uid", "orphan").set("name", "orphan").erase("ownerReferences");
  orphan.mut("metadata").erase("finalizers");
  view.orphans = {orphan};
  const Plan plan = plan_job(view, world.now);
  ASSERT_EQ(plan.chains.size(), 2u);
  EXPECT_TRUE(plan.first.empty());
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["ownerReferences"][0]["$patch"].as_string(), "delete");
  EXPECT_EQ(plan.chains[0][0].object["metadata"]["$deleteFromPrimitiveList/finalizers"][0].as_string(), kTracking);
  EXPECT_EQ(plan.chains[1][0].verb, Action::Verb::kConfirm);
  EXPECT_EQ(plan.chains[1][1].object["metadata"]["finalizers"], Value::array({kTracking}));
  view.job.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  for (const auto& chain : plan_job(view, world.now).chains) EXPECT_NE(chain[0].verb, Action::Verb::kConfirm);
}

TEST(JobPlan, OnTheWayOutItOnlyLetsGo) {
  World world(R"({"completions":9,"parallelism":2})");
  world.run_until_idle();
  world.job.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  world.run_until_idle();
  EXPECT_EQ(world.created, 2);
  EXPECT_EQ(world.active(), "pod pod");
  EXPECT_FALSE(world.tracked_any());
}

TEST(JobPlan, OthersJobsAndFinishedOnesAreLeftAlone) {
  World world(R"({"completions":1,"managedBy":"acme.io/foo"})");
  EXPECT_TRUE(world.plan().empty());
  World own(R"({"completions":1,"managedBy":"kubernetes.io/job-controller"})");
  EXPECT_FALSE(own.plan().empty());
  own.job.mut("status").set("conditions", from(R"([{"type":"Failed","status":"True"}])"));
  EXPECT_TRUE(own.plan().empty());
}

TEST(JobPlan, StrayPodsAreFreed) {
  World world(R"({"completions":1})");
  world.run_until_idle();
  Value pod = world.pod();
  EXPECT_TRUE(plan_stray_pod(pod, world.job).empty());
  EXPECT_FALSE(plan_stray_pod(pod, Value()).empty());
  Value finished = world.job;
  finished.mut("status").set("conditions", from(R"([{"type":"Complete","status":"True"}])"));
  EXPECT_FALSE(plan_stray_pod(pod, finished).empty());
  finished.mut("spec").set("managedBy", "acme.io/foo");
  EXPECT_TRUE(plan_stray_pod(pod, finished).empty());
  Value other = pod;
  other.mut("metadata").mut("ownerReferences").mut(0).set("kind", "Other");
  EXPECT_TRUE(plan_stray_pod(other, Value()).empty());
  pod.mut("metadata").erase("ownerReferences");
  EXPECT_FALSE(plan_stray_pod(pod, Value()).empty());
  pod.mut("metadata").erase("finalizers");
  EXPECT_TRUE(plan_stray_pod(pod, Value()).empty());
}

TEST(JobPlan, ManyPodsAtATime) {
  World world(R"({"completions":1200,"parallelism":1200})");
  EXPECT_EQ(world.plan().chains.size(), 500u);
  world.run_until_idle();
  EXPECT_EQ(world.created, 1200);
  for (auto& [name, pod] : world.pods) pod.mut("status").set("phase", "Succeeded");
  EXPECT_EQ(world.plan().first[0].object["status"]["uncountedTerminatedPods"]["succeeded"].size(), 500u);
  world.run_until_idle();
  EXPECT_EQ(world.status()["succeeded"].as_int(), 1200);
  EXPECT_TRUE(api::condition_is_true(world.job, "Complete"));
}

TEST(JobExpiry, WhenTheTimeIsOver) {
  const Time end = parse_time("2026-01-01T00:00:10Z").value();
  Value job = from(
      R"({"metadata":{"name":"j","namespace":"d","uid":"u","resourceVersion":"7"},"spec":{"ttlSecondsAfterFinished":5},
      "status":{"conditions":[{"type":"Complete","status":"True","lastTransitionTime":"2026-01-01T00:00:10Z"}]}})");
  EXPECT_EQ(plan_expiry(job, end + 2s).requeue_delay, Duration(3s));
  const Plan over = plan_expiry(job, end + 5s);
  ASSERT_EQ(over.chains.size(), 1u);
  EXPECT_EQ(over.chains[0][0].options.propagation, "Foreground");
  EXPECT_EQ(over.chains[0][0].options.resource_version, "7");
  job.mut("status").mut("conditions").mut(0).set("type", "FailureTarget");
  EXPECT_TRUE(plan_expiry(job, end + 5s).empty());
  job.mut("status").mut("conditions").mut(0).set("type", "Failed");
  EXPECT_FALSE(plan_expiry(job, end + 5s).empty());
  job.mut("spec").erase("ttlSecondsAfterFinished");
  EXPECT_TRUE(plan_expiry(job, end + 5s).empty());
}

TEST(JobController, CreatesAndRests) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  World world(R"({"completions":7,"parallelism":3})");
  api.put(kJobs, world.job);
  Driver driver(informers, make_controller(informers));
  runtime.advance(100ms);
  EXPECT_EQ(api.count(kPods), 3u);
  EXPECT_EQ(api.read(kJobs, {"d", "j"})["status"]["active"].as_int(), 3);
  const std::size_t calls = api.calls.size();
  runtime.advance(1h);
  EXPECT_EQ(api.calls.size(), calls);
  // A deleted job leaves no finalizer on its pods.
  api.erase(kJobs, {"d", "j"});
  runtime.advance(10ms);
  EXPECT_EQ(std::count_if(api.calls.begin() + static_cast<long>(calls), api.calls.end(),
                          [](const std::string& call) { return call.starts_with("patch pods"); }),
            3);
}

TEST(JobController, ReplacementsOfPodsThatAreGoneWaitToo) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  World world(R"({"completions":1})");
  api.put(kJobs, world.job);
  Driver driver(informers, make_controller(informers));
  runtime.advance(100ms);
  std::string name;
  for (const std::string& call : api.calls) {
    if (call.starts_with("create pods ")) name = call.substr(call.rfind('/') + 1);
  }
  Value pod = api.read(kPods, {"d", name});
  ASSERT_TRUE(is_tracked(pod));
  pod.mut("metadata").erase("finalizers");
  pod.mut("metadata").set("creationTimestamp", format_time(runtime.now()));
  pod.mut("metadata").set("deletionTimestamp", format_time(runtime.now()));
  pod.set("status", from(R"({"phase":"Failed"})"));
  api.put(kPods, pod);
  runtime.advance(1s);
  EXPECT_EQ(api.count(kPods), 1u);
  api.erase(kPods, {"d", name});
  runtime.advance(8s);
  EXPECT_EQ(api.count(kPods), 0u);
  runtime.advance(2s);
  EXPECT_EQ(api.count(kPods), 1u);
}

}  // namespace
}  // namespace berth::controllers::job

#include <gtest/gtest.h>

#include "base/time/time.h"
#include "client/testing/fake_api.h"
#include "client/testing/test_runtime.h"
#include "controllers/cronjob/controller.h"
#include "controllers/cronjob/plan.h"

namespace berth::controllers::cronjob {
namespace {

using namespace api::resources;  // NOLINT

Value from(std::string_view text) {
  Result<Value> value = json::parse(text);
  EXPECT_TRUE(value.ok()) << text;
  return value.ok() ? *value : Value();
}
Time at(std::string_view text) { return parse_time(text).value(); }

Value cron_job(std::string_view spec = "{}", std::string_view status = "{}") {
  Value object = from(
      R"({"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"c","namespace":"d","uid":"cron","resourceVersion":"1",
      "creationTimestamp":"2026-01-01T00:00:00Z"},"spec":{"schedule":"*/10 * * * *","concurrencyPolicy":"Allow","suspend":false,
      "successfulJobsHistoryLimit":3,"failedJobsHistoryLimit":1,"jobTemplate":{"metadata":{"labels":{"a":"b"},"annotations":{"e":"f"}},
      "spec":{"parallelism":2}}}})");
  const Value changes = from(spec);
  for (auto [key, value] : changes.entries()) object.mut("spec").set(key, value);
  object.set("status", from(status));
  return object;
}

Value job(const std::string& name, std::string_view condition = "", std::string_view times = "{}") {
  Value object = Value::object(
      {{"metadata",
        Value::object({{"name", name}, {"namespace", "d"}, {"uid", "uid-" + name}, {"resourceVersion", "5"}})},
       {"status", from(times)}});
  object.mut("metadata")
      .set("ownerReferences", Value::array({api::controller_reference(cron_job(), "batch/v1", "CronJob")}));
  if (!condition.empty())
    object.mut("status").set("conditions", Value::array({Value::object({{"type", condition}, {"status", "True"}})}));
  return object;
}
std::string active(const std::string& name) {
  return R"({"kind":"Job","apiVersion":"batch/v1","namespace":"d","name":")" + name + R"(","uid":"uid-)" + name +
         R"(","resourceVersion":"5"})";
}

// "create c-1 delete x", the events' reasons, the status written, the requeue delay.
struct Outcome {
  std::string actions, events, status;
  Duration wait{};
};
Outcome outcome(const CronJobView& view, std::string_view now) {
  const Plan plan = plan_cron_job(view, at(now));
  Outcome out;
  auto add = [](std::string& to, const std::string& word) { to += (to.empty() ? "" : " ") + word; };
  for (const auto& chain : plan.chains) {
    for (const Action& action : chain)
      add(out.actions, (action.verb == Action::Verb::kCreate ? "create " : "delete ") + action.name.name);
  }
  for (const EventSpec& event : plan.events) add(out.events, event.reason);
  for (const Action& action : plan.then) {
    out.status = json::encode(action.object["status"]);
    for (const EventSpec& event : action.on_success) add(out.events, event.reason);
  }
  out.wait = plan.requeue_delay.value_or(Duration::zero());
  return out;
}
CronJobView with(Value object, std::vector<Value> jobs = {}) {
  CronJobView view;
  view.cron_job = std::move(object);
  view.jobs = std::move(jobs);
  return view;
}

// 2026-01-01T00:10:00Z is minute 29453770.
TEST(CronJobPlan, StartsWhatIsDue) {
  struct Row {
    const char *spec, *status, *now, *actions, *events, *written;
    Duration wait;
  };
  const Row rows[] = {
      {"{}", "{}", "2026-01-01T00:09:59Z", "", "", "", 1100ms},
      {"{}", "{}", "2026-01-01T00:10:00Z", "create c-29453770", "", R"({"lastScheduleTime":"2026-01-01T00:10:00Z"})",
       600100ms},
      {"{}", "{}", "2026-01-01T00:25:00Z", "create c-29453780", "", R"({"lastScheduleTime":"2026-01-01T00:20:00Z"})",
       300100ms},
      {"{}", R"({"lastScheduleTime":"2026-01-01T00:20:00Z"})", "2026-01-01T00:25:00Z", "", "", "", 300100ms},
      {R"({"suspend":true})", "{}", "2026-01-01T00:25:00Z", "", "", "", 0s},
      {R"({"startingDeadlineSeconds":60})", "{}", "2026-01-01T00:21:30Z", "", "", "", 510100ms},
      {R"({"startingDeadlineSeconds":100})", "{}", "2026-01-01T00:21:30Z", "create c-29453780", "",
       R"({"lastScheduleTime":"2026-01-01T00:20:00Z"})", 510100ms},
      {"{}", "{}", "2026-01-02T00:00:00Z", "create c-29455200", "TooManyMissedTimes",
       R"({"lastScheduleTime":"2026-01-02T00:00:00Z"})", 600100ms},
      {R"({"schedule":"0 9,10 * * *"})", "{}", "2026-01-05T08:30:00Z", "create c-29458680", "",
       R"({"lastScheduleTime":"2026-01-04T10:00:00Z"})", 1800100ms},
      {R"({"schedule":"@every 7m"})", "{}", "2026-01-01T00:15:00Z", "create c-29453774", "",
       R"({"lastScheduleTime":"2026-01-01T00:14:00Z"})", 360100ms},
      {R"({"schedule":"0 0 30 2 *"})", "{}", "2026-01-01T00:15:00Z", "", "InvalidSchedule", "", 0s},
      {R"({"schedule":"bad"})", "{}", "2026-01-01T00:15:00Z", "", "UnparseableSchedule", "", 0s},
      {R"({"schedule":"TZ=UTC */10 * * * *"})", "{}", "2026-01-01T00:05:00Z", "", "UnsupportedSchedule", "", 300100ms},
  };
  for (const Row& row : rows) {
    const Outcome found = outcome(with(cron_job(row.spec, row.status)), row.now);
    EXPECT_EQ(found.actions, row.actions) << row.spec << row.now;
    EXPECT_EQ(found.events, row.events) << row.spec << row.now;
    EXPECT_EQ(found.status, row.written) << row.spec << row.now;
    EXPECT_EQ(found.wait, row.wait) << row.spec << row.now;
  }
}

TEST(CronJobPlan, WhatItsJobsLookLike) {
  CronJobView view = with(cron_job(R"({"timeZone":"Asia/Tokyo"})"));
  view.zone = api::TimeZone::named("Asia/Tokyo");
  const Plan plan = plan_cron_job(view, at("2026-01-01T00:10:00Z"));
  const Action& action = plan.chains[0][0];
  const Value& made = action.object;
  EXPECT_EQ(made["metadata"]["labels"], from(R"({"a":"b"})"));
  EXPECT_EQ(made["metadata"]["annotations"],
            from(R"({"e":"f","batch.kubernetes.io/cronjob-scheduled-timestamp":"2026-01-01T09:10:00+09:00"})"));
  EXPECT_TRUE(api::is_controlled_by(made, "cron"));
  EXPECT_EQ(made["spec"], from(R"({"parallelism":2})"));
  EXPECT_EQ(action.on_success[0].message, "Created job c-29453770");
  // lastScheduleTime is written only after the job was created.
  EXPECT_TRUE(plan.first.empty());
  EXPECT_TRUE(plan.otherwise.empty());
}

TEST(CronJobPlan, ZonesMoveTheTimes) {
  CronJobView view = with(cron_job(R"({"schedule":"0 2 * * *","timeZone":"Asia/Tokyo"})"));
  view.zone = api::TimeZone::named("Asia/Tokyo");
  EXPECT_EQ(outcome(view, "2026-01-01T16:59:59Z").actions, "");
  EXPECT_EQ(outcome(view, "2026-01-01T17:00:00Z").actions, "create c-29454780");
  view.zone = api::TimeZone::named("Moon/Base");
  view.cron_job.mut("spec").set("timeZone", "Moon/Base");
  const Plan lost = plan_cron_job(view, at("2026-01-01T17:00:00Z"));
  EXPECT_TRUE(lost.chains.empty());
  EXPECT_EQ(lost.events[0].message, "invalid timeZone: \"Moon/Base\": unknown time zone Moon/Base");
}

TEST(CronJobPlan, ANewScheduleHasNoPast) {
  CronJobView view = with(cron_job());
  view.changed = at("2026-01-01T00:34:00Z");
  const Outcome changed = outcome(view, "2026-01-01T00:34:00Z");
  EXPECT_EQ(changed.actions, "");
  EXPECT_EQ(changed.wait, Duration(360100ms));
  EXPECT_EQ(outcome(view, "2026-01-01T00:40:00Z").actions, "create c-29453800");
}

TEST(CronJobPlan, WhileAnotherRuns) {
  struct Row {
    const char *policy, *actions, *events, *written;
  };
  const std::string running = active("c-29453770");
  const Row rows[] = {
      {"Allow", "create c-29453780", "", R"({"lastScheduleTime":"2026-01-01T00:20:00Z"})"},
      {"Forbid", "", "JobAlreadyActive", ""},
      {"Replace", "delete c-29453770 create c-29453780", "",
       R"({"active":null,"lastScheduleTime":"2026-01-01T00:20:00Z"})"},
  };
  for (const Row& row : rows) {
    const Value object = cron_job(R"({"concurrencyPolicy":")" + std::string(row.policy) + "\"}",
                                  R"({"lastScheduleTime":"2026-01-01T00:10:00Z","active":[)" + running + "]}");
    const Outcome found = outcome(with(object, {job("c-29453770")}), "2026-01-01T00:20:00Z");
    EXPECT_EQ(found.actions, row.actions) << row.policy;
    EXPECT_EQ(found.events, row.events) << row.policy;
    EXPECT_EQ(found.status, row.written) << row.policy;
  }
}

TEST(CronJobPlan, KeepsTheListOfWhatRuns) {
  const std::string last = R"("lastScheduleTime":"2026-01-01T00:10:00Z")";
  auto plan_once = [&](const std::string& status, std::vector<Value> jobs) {
    return outcome(with(cron_job("{}", status), std::move(jobs)), "2026-01-01T00:15:00Z");
  };
  // The job of the previous plan; its status is written in the next step.
  Outcome found = plan_once("{" + last + "}", {job("c-29453770")});
  EXPECT_EQ(found.status, R"({"active":[)" + json::encode(from(active("c-29453770"))) + "]}");
  EXPECT_EQ(found.events, "");
  // A job created by hand.
  found = plan_once("{" + last + "}", {job("by-hand")});
  EXPECT_EQ(found.status, "");
  EXPECT_EQ(found.events, "UnexpectedJob");
  // Complete, failed, missing.
  const std::string running = "{" + last + R"(,"active":[)" + active("c-29453770") + "]}";
  found = plan_once(running, {job("c-29453770", "Complete", R"({"completionTime":"2026-01-01T00:14:00Z"})")});
  EXPECT_EQ(found.status, R"({"active":null,"lastSuccessfulTime":"2026-01-01T00:14:00Z"})");
  EXPECT_EQ(found.events, "SawCompletedJob");
  found = plan_once(running, {job("c-29453770", "Failed")});
  EXPECT_EQ(found.status, R"({"active":null})");
  EXPECT_EQ(found.events, "SawCompletedJob");
  found = plan_once(running, {});
  EXPECT_EQ(found.status, R"({"active":null})");
  EXPECT_EQ(found.events, "MissingJob");
  // An unchanged state causes no write.
  found = plan_once(running, {job("c-29453770")});
  EXPECT_EQ(found.status + found.events + found.actions, "");
}

TEST(CronJobPlan, AJobThatIsThereIsNotMadeAgain) {
  const Outcome found = outcome(with(cron_job(), {job("c-29453770")}), "2026-01-01T00:10:00Z");
  EXPECT_EQ(found.actions, "");
  EXPECT_EQ(found.status, R"({"lastScheduleTime":"2026-01-01T00:10:00Z"})");
}

TEST(CronJobPlan, OldJobsGo) {
  std::vector<Value> jobs;
  for (int i : {3, 1, 2, 4}) {
    jobs.push_back(job("good-" + std::to_string(i), "Complete",
                       R"({"startTime":"2026-01-01T00:0)" + std::to_string(i) + R"(:00Z"})"));
    jobs.push_back(job("bad-" + std::to_string(i), "Failed",
                       R"({"startTime":"2026-01-01T00:0)" + std::to_string(i) + R"(:00Z"})"));
  }
  jobs.push_back(job("never-started", "Failed"));
  EXPECT_EQ(outcome(with(cron_job(R"({"suspend":true})"), jobs), "2026-01-01T00:05:00Z").actions,
            "delete good-1 delete bad-1 delete bad-2 delete bad-3 delete bad-4");
  EXPECT_EQ(
      outcome(with(cron_job(R"({"suspend":true,"successfulJobsHistoryLimit":9,"failedJobsHistoryLimit":9})"), jobs),
              "2026-01-01T00:05:00Z")
          .actions,
      "");
  for (Value& one : jobs) one.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_EQ(outcome(with(cron_job(R"({"suspend":true})"), jobs), "2026-01-01T00:05:00Z").actions, "");
}

TEST(CronJobPlan, OnTheWayOutItStartsNothing) {
  Value leaving = cron_job();
  leaving.mut("metadata").set("deletionTimestamp", "2026-01-01T00:00:00Z");
  EXPECT_EQ(outcome(with(leaving), "2026-01-01T00:20:00Z").actions, "");
}

TEST(CronJobController, OneJobForEachTime) {
  client::testing::TestRuntime runtime;
  client::testing::FakeApi api{runtime};
  InformerSet informers{runtime, api};
  Value object = cron_job(R"({"schedule":"*/10 * * * *"})");
  object.mut("metadata").set("creationTimestamp", format_time(runtime.now()));
  api.put(kCronJobs, object);
  Driver driver(informers, make_controller(informers, api::TimeZone()));
  runtime.advance(35min);
  EXPECT_EQ(api.count(kJobs), 3u);
  const Value after = api.read(kCronJobs, {"d", "c"});
  EXPECT_EQ(after["status"]["active"].size(), 3u);
  EXPECT_EQ(after["status"]["lastScheduleTime"].as_string(), format_time(runtime.now() - 5min));
  // A refused job is tried again, and its time is not skipped.
  api.fail_next("create", Code::kForbidden);
  runtime.advance(6min);
  EXPECT_EQ(api.count(kJobs), 4u);
  EXPECT_EQ(api.read(kCronJobs, {"d", "c"})["status"]["active"].size(), 4u);
  // Another schedule starts now.
  object = api.read(kCronJobs, {"d", "c"});
  object.mut("spec").set("schedule", "* * * * *");
  api.put(kCronJobs, object);
  runtime.advance(10s);
  EXPECT_EQ(api.count(kJobs), 4u);
  runtime.advance(1min);
  EXPECT_EQ(api.count(kJobs), 5u);
}

}  // namespace
}  // namespace berth::controllers::cronjob

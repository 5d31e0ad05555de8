#include "controllers/cronjob/plan.h"

#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::cronjob {
namespace {

using namespace api::resources;  // NOLINT

constexpr Duration kClockSkew = 100ms;  // plan a little late rather than too early
constexpr std::int64_t kManyMissed = 100;

bool is_finished(const Value& job) {
  return api::condition_is_true(job, "Complete") || api::condition_is_true(job, "Failed");
}

std::optional<Time> time_of(const Value& text) {
  const Result<Time> parsed = parse_time(text.as_string());
  return parsed.ok() ? std::optional(*parsed) : std::nullopt;
}

// "Thu, 01 Jan 2026 00:00:00 +0000"
std::string rfc1123(Time time) {
  static constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const api::TimeZone::Wall at = api::TimeZone().wall(time);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%s, %02d %s %04d %02d:%02d:%02d +0000", kDays[at.weekday], at.day,
                kMonths[at.month - 1], at.year, at.hour, at.minute, at.second);
  return buffer;
}

// The scheduled times that have passed since `earliest`.
struct MissedTimes {
  std::optional<Time> last;
  bool many = false;
  std::string problem;
};

MissedTimes missed_since(const api::CronSchedule& schedule, Time earliest, Time now) {
  MissedTimes missed;
  const auto first = schedule.next(earliest);
  if (first && now < *first) return missed;
  const auto second = first ? schedule.next(*first) : std::nullopt;
  if (second && now < *second) {
    missed.last = first;
    return missed;
  }
  if (!second) {
    missed.problem = "time difference between two schedules is less than 1 second";
    return missed;
  }
  // Skip to near `now` by the distance of the first two times: there may be millions of them.
  Duration step = *second - *first;
  const std::int64_t guessed = (now - *first) / step + 1;
  missed.many = guessed > kManyMissed;
  Time from = *first + (guessed - 2) * step;
  for (auto next = schedule.next(from); from > *first && (!next || *next > now); next = schedule.next(from)) {
    from = std::max(*first, from - step);
    step *= 2;
  }
  missed.last = first;
  for (auto next = schedule.next(from); next && *next <= now; next = schedule.next(*next)) missed.last = next;
  return missed;
}

class CronJobPlanner {
 public:
  CronJobPlanner(const CronJobView& view, Time now)
      : view_(view), object_(view.cron_job), spec_(object_["spec"]), now_(now), status_(object_["status"]) {
    if (!status_.is_object()) status_ = Value::object();
  }

  Plan run() {
    clean_up();
    sync_jobs();
    if (!api::is_terminating(object_)) schedule();
    write_status();
    return std::move(plan_);
  }

 private:
  void event(std::string_view type, std::string_view reason, std::string message) {
    plan_.event(object_, type, reason, std::move(message));
  }
  void event_after_write(std::string_view reason, std::string message) {
    events_.push_back({object_, std::string(kNormal), std::string(reason), std::move(message)});
  }

  const Value& active() const { return status_["active"]; }
  bool is_active(std::string_view field, std::string_view value) const {
    return std::any_of(active().begin(), active().end(),
                       [&](const Value& one) { return one[field].as_string() == value; });
  }
  void remove_active(std::string_view uid);
  void add_active(const Value& job);

  void clean_up();
  void delete_oldest(std::vector<Value> jobs, int limit);
  Action delete_job(const Value& job);
  void sync_jobs();
  void record_success(const Value& job);
  void schedule();
  void start(const api::CronSchedule& schedule, Time due);
  Value job_for(Time due) const;
  void wait_for_next(const api::CronSchedule& schedule);
  void write_status();

  const CronJobView& view_;
  const Value& object_;
  const Value& spec_;
  const Time now_;
  Value status_;
  std::vector<EventSpec> events_;  // emitted when the status is written
  Plan plan_;
};

void CronJobPlanner::remove_active(std::string_view uid) {
  Value left = Value::array();
  for (const Value& one : active()) {
    if (one["uid"].as_string() != uid) left.push(one);
  }
  status_.set("active", left);
}

void CronJobPlanner::add_active(const Value& job) {
  status_.mut("active").push(Value::object({{"kind", "Job"},
                                            {"apiVersion", "batch/v1"},
                                            {"namespace", api::namespace_of(job)},
                                            {"name", api::name_of(job)},
                                            {"uid", api::uid_of(job)},
                                            {"resourceVersion", api::resource_version_of(job)}}));
}

// --- Old jobs

Action CronJobPlanner::delete_job(const Value& job) {
  Action action = remove(kJobs, job, -1, "Background");
  action.succeeded(object_, kNormal, "SuccessfulDelete", "Deleted job " + std::string(api::name_of(job)));
  action.failed(object_, kWarning, "FailedDelete", "Deleted job: ");
  return action;
}

void CronJobPlanner::clean_up() {
  std::vector<Value> complete, failed;
  for (const Value& job : view_.jobs) {
    if (api::is_terminating(job)) continue;
    if (api::condition_is_true(job, "Complete")) {
      complete.push_back(job);
    } else if (api::condition_is_true(job, "Failed")) {
      failed.push_back(job);
    }
  }
  delete_oldest(std::move(complete), count_in(spec_["successfulJobsHistoryLimit"], 3));
  delete_oldest(std::move(failed), count_in(spec_["failedJobsHistoryLimit"], 1));
}

void CronJobPlanner::delete_oldest(std::vector<Value> jobs, int limit) {
  if (jobs.size() <= static_cast<std::size_t>(limit)) return;
  std::sort(jobs.begin(), jobs.end(), [](const Value& a, const Value& b) {
    const std::string_view x = a["status"]["startTime"].as_string("9"),
                           y = b["status"]["startTime"].as_string("9");  // no startTime: last
    return x != y ? x < y : api::name_of(a) < api::name_of(b);
  });
  for (std::size_t i = 0; i + static_cast<std::size_t>(limit) < jobs.size(); ++i) plan_.add(delete_job(jobs[i]));
}

// --- Finished, missing and unexpected jobs

void CronJobPlanner::record_success(const Value& job) {
  if (!api::condition_is_true(job, "Complete")) return;
  const std::string_view completed = job["status"]["completionTime"].as_string();
  if (completed > status_["lastSuccessfulTime"].as_string()) status_.set("lastSuccessfulTime", completed);
}

void CronJobPlanner::sync_jobs() {
  const auto last = time_of(object_["status"]["lastScheduleTime"]);
  for (const Value& job : view_.jobs) {
    const bool known = is_active("uid", api::uid_of(job));
    record_success(job);
    if (known && is_finished(job)) {
      remove_active(api::uid_of(job));
      event_after_write("SawCompletedJob", "Saw completed job: " + std::string(api::name_of(job)) + ", condition: " +
                                               (api::condition_is_true(job, "Complete") ? "Complete" : "Failed"));
    } else if (!known && !is_finished(job)) {
      if (last && api::name_of(job) == job_name(object_, *last)) {
        add_active(job);  // created by the previous plan
      } else {
        event(kWarning, "UnexpectedJob",
              "Saw a job that the controller did not create or forgot: " + std::string(api::name_of(job)));
      }
    }
  }
  const Value before = active();
  for (const Value& one : before) {
    const bool present = std::any_of(view_.jobs.begin(), view_.jobs.end(),
                                     [&](const Value& job) { return api::uid_of(job) == one["uid"].as_string(); });
    if (present) continue;
    remove_active(one["uid"].as_string());
    event_after_write("MissingJob", "Active job went missing: " + one["name"].str());
  }
}

// --- The schedule

void CronJobPlanner::schedule() {
  if (!view_.zone.ok())
    return event(kWarning, "UnknownTimeZone",
                 "invalid timeZone: " + quoted(spec_["timeZone"].as_string()) + ": " + view_.zone.error().message);
  if (spec_["suspend"].as_bool()) return;
  const std::string text = spec_["schedule"].str();
  if (text.find("TZ") != std::string::npos) {
    event(
        kWarning, "UnsupportedSchedule",
        "CRON_TZ or TZ used in schedule " + quoted(text) +
            " is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details");
  }
  const Result<api::CronSchedule> schedule = api::CronSchedule::parse(text, *view_.zone);
  if (!schedule.ok())
    return event(kWarning, "UnparseableSchedule",
                 "unparseable schedule: " + quoted(text) + " : " + schedule.error().message);
  Time earliest = time_of(object_["metadata"]["creationTimestamp"]).value_or(now_);
  earliest = time_of(status_["lastScheduleTime"]).value_or(earliest);
  if (view_.changed) earliest = std::max(earliest, *view_.changed);
  const Value& deadline = spec_["startingDeadlineSeconds"];
  if (deadline.is_int()) earliest = std::max<Time>(earliest, now_ - seconds_in(deadline));
  const MissedTimes missed = missed_since(*schedule, earliest, now_);
  if (!missed.problem.empty())
    return event(kWarning, "InvalidSchedule", "invalid schedule: " + text + " : " + missed.problem);
  if (missed.last) {
    if (missed.many) {
      event(kWarning, "TooManyMissedTimes",
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew");
    }
    start(*schedule, *missed.last);
  }
  wait_for_next(*schedule);
}

void CronJobPlanner::start(const api::CronSchedule& schedule, Time due) {
  const Value& deadline = spec_["startingDeadlineSeconds"];
  if (deadline.is_int() && due + seconds_in(deadline) < now_) {
    return event(kWarning, "MissSchedule", "Missed scheduled time to start a job: " + rfc1123(due));
  }
  const std::string name = job_name(object_, due);
  if (is_active("name", name)) return;
  for (const Value& job : view_.jobs) {
    if (api::name_of(job) != name) continue;
    // The job exists, but lastScheduleTime was not written.
    status_.set("lastScheduleTime", format_time(due));
    return;
  }
  const std::string_view policy = spec_["concurrencyPolicy"].as_string();
  if (policy == "Forbid" && !active().empty()) {
    return event(kNormal, "JobAlreadyActive",
                 "Not starting job because prior execution is running and concurrency policy is Forbid");
  }
  std::vector<Action> chain;
  if (policy == "Replace") {
    for (const Value& job : view_.jobs) {
      if (!is_active("uid", api::uid_of(job))) continue;
      chain.push_back(delete_job(job));
      remove_active(api::uid_of(job));
    }
  }
  Action action = create(kJobs, job_for(due));
  action.succeeded(object_, kNormal, "SuccessfulCreate", "Created job " + name);
  action.failed(object_, kWarning, "FailedCreate", "Error creating job: ");
  chain.push_back(std::move(action));
  plan_.add_chain(std::move(chain));
  status_.set("lastScheduleTime", format_time(due));
}

Value CronJobPlanner::job_for(Time due) const {
  const Value& from = spec_["jobTemplate"];
  Value metadata = Value::object(
      {{"name", job_name(object_, due)},
       {"namespace", api::namespace_of(object_)},
       {"annotations", from["metadata"]["annotations"].is_object() ? from["metadata"]["annotations"] : Value::object()},
       {"ownerReferences", Value::array({api::controller_reference(object_, "batch/v1", "CronJob")})}});
  if (!from["metadata"]["labels"].empty()) metadata.set("labels", from["metadata"]["labels"]);
  const api::TimeZone shown = spec_["timeZone"].is_null() ? api::TimeZone() : *view_.zone;
  metadata.mut("annotations").set("batch.kubernetes.io/cronjob-scheduled-timestamp", shown.format(due));
  return Value::object({{"apiVersion", "batch/v1"}, {"kind", "Job"}, {"metadata", metadata}, {"spec", from["spec"]}});
}

void CronJobPlanner::wait_for_next(const api::CronSchedule& schedule) {
  Time since = time_of(object_["metadata"]["creationTimestamp"]).value_or(now_);
  since = time_of(status_["lastScheduleTime"]).value_or(since);
  if (view_.changed) since = std::max(since, *view_.changed);
  // Of schedules with a fixed interval the next time depends on the last one.
  const MissedTimes missed = missed_since(schedule, since, now_);
  const auto next = schedule.next(missed.last.value_or(missed.problem.empty() ? since : now_));
  if (next) plan_.requeue_after(*next + kClockSkew - now_);
}

void CronJobPlanner::write_status() {
  if (active().empty()) status_.erase("active");
  Value change = Value::object();
  for (const char* field : {"active", "lastScheduleTime", "lastSuccessfulTime"}) {
    if (status_[field] != object_["status"][field]) change.set(field, status_[field]);
  }
  if (change.empty()) return;
  // After the job: if creating it fails, its time must be tried again.
  Action write = patch_status(kCronJobs, object_, Value::object({{"status", std::move(change)}}), true);
  write.on_success = std::move(events_);
  plan_.then.push_back(std::move(write));
}

}  // namespace

std::string job_name(const Value& cron_job, Time scheduled) {
  return std::string(api::name_of(cron_job)) + "-" +
         std::to_string(std::chrono::floor<std::chrono::minutes>(scheduled).time_since_epoch().count());
}

Plan plan_cron_job(const CronJobView& view, Time now) {
  if (view.cron_job.is_null()) return {};
  return CronJobPlanner(view, now).run();
}

}  // namespace berth::controllers::cronjob

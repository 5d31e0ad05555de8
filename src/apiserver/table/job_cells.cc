// Jobs and cron jobs: upstream's printJob and printCronJob.
#include "api/object.h"
#include "apiserver/table/printers.h"
#include "base/time/time.h"

namespace berth::apiserver::table {
namespace {

std::string status_of(const Value& job) {
  for (const char* type : {"Complete", "Failed"}) {
    if (api::condition_is_true(job, type)) return type;
  }
  if (api::is_terminating(job)) return "Terminating";
  for (const char* type : {"Suspended", "FailureTarget"}) {
    if (api::condition_is_true(job, type)) return type;
  }
  return "Running";
}

std::string completions_of(const Value& job) {
  const std::string succeeded = std::to_string(job["status"]["succeeded"].as_int());
  const Value& spec = job["spec"];
  if (spec["completions"].is_int()) return succeeded + "/" + std::to_string(spec["completions"].as_int());
  const std::int64_t parallelism = spec["parallelism"].as_int();
  return succeeded + "/1" + (parallelism > 1 ? " of " + std::to_string(parallelism) : "");
}

std::string duration_of(const Value& job, Time now) {
  const Result<Time> start = parse_time(job["status"]["startTime"].as_string());
  if (!start.ok()) return "";
  const Result<Time> end = parse_time(job["status"]["completionTime"].as_string());
  return human_duration((end.ok() ? *end : now) - *start);
}

}  // namespace

Value job_cells(const Value& job, Time now) {
  const Value& containers = job["spec"]["template"]["spec"]["containers"];
  return Value::array({api::name_of(job), status_of(job), completions_of(job), duration_of(job, now), age_of(job, now),
                       names_of(containers, "name"), names_of(containers, "image"),
                       selector_text(job["spec"]["selector"])});
}

Value cron_job_cells(const Value& cron_job, Time now) {
  const Value &spec = cron_job["spec"], &status = cron_job["status"], &job = spec["jobTemplate"]["spec"];
  const Value& containers = job["template"]["spec"]["containers"];
  const Value& suspend = spec["suspend"];
  const std::string_view last = status["lastScheduleTime"].as_string();
  return Value::array({api::name_of(cron_job), spec["schedule"].as_string(),
                       none_if_empty(spec["timeZone"].as_string()),
                       suspend.is_bool() ? (suspend.as_bool() ? "True" : "False") : "<unset>",
                       static_cast<long>(status["active"].size()),
                       last.empty() ? Value("<none>") : Value(age_text(last, now)), age_of(cron_job, now),
                       names_of(containers, "name"), names_of(containers, "image"), selector_text(job["selector"])});
}

}  // namespace berth::apiserver::table

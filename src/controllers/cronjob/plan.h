#pragma once
// The plan of a CronJob: creates a job for a due time, deletes old jobs, and updates the status. Pure.
//
// A job is named after the minute that it is scheduled for, so that it cannot be created twice; lastScheduleTime is
// written after the job was created. Of several missed times only the last one is started.
// written down after it was made. Of several times that were missed only the last counts.

#include <optional>
#include <vector>

#include "api/cron_schedule.h"
#include "controllers/driver.h"

namespace berth::controllers::cronjob {

struct CronJobView {
  Value cron_job;           // null: the cron job does not exist
  std::vector<Value> jobs;  // controlled by the cron job
  // The zone in spec.timeZone, else this machine's.
  Result<api::TimeZone> zone = api::TimeZone();
  // When the controller saw the schedule change; times before that are not started.
  std::optional<Time> changed;
};

Plan plan_cron_job(const CronJobView& view, Time now);

// "<name>-<minutes since 1970>"
std::string job_name(const Value& cron_job, Time scheduled);

}  // namespace berth::controllers::cronjob

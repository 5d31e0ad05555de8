#pragma once
// What a CronJob needs next: a job for the time that has come, old ones deleted, its status. Pure.
//
// A job is named after the minute it is for, so that it cannot be made twice; that its time has been dealt with is
// written down after it was made. Of several times that were missed only the last counts.

#include <optional>
#include <vector>

#include "api/cron_schedule.h"
#include "controllers/driver.h"

namespace berth::controllers::cronjob {

struct View {
  Value cron_job;           // null: there is none
  std::vector<Value> jobs;  // controlled by it
  // The zone it names, or this machine's where it names none.
  Result<api::TimeZone> zone = api::TimeZone();
  // When its schedule was changed, as far as that was seen: times before do not count.
  std::optional<Time> changed;
};

Plan plan_cron_job(const View& view, Time now);

// "<name>-<minutes since 1970>"
std::string job_name(const Value& cron_job, Time scheduled);

}  // namespace berth::controllers::cronjob

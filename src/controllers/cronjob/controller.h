#pragma once
// The CronJob controller: watches cron jobs and their jobs and plans with plan_cron_job().

#include <memory>

#include "api/time_zone.h"
#include "controllers/driver.h"

namespace berth::controllers::cronjob {

// `local`: the time zone of schedules without spec.timeZone.
std::unique_ptr<Controller> make_controller(InformerSet& informers, api::TimeZone local);

}  // namespace berth::controllers::cronjob

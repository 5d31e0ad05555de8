#pragma once
// The CronJob controller: watches cron jobs and their jobs and lets plan_cron_job() decide.

#include <memory>

#include "api/time_zone.h"
#include "controllers/driver.h"

namespace berth::controllers::cronjob {

// `local`: the zone of schedules that name none.
std::unique_ptr<Controller> make_controller(InformerSet& informers, api::TimeZone local);

}  // namespace berth::controllers::cronjob

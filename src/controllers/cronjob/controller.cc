#include "controllers/cronjob/controller.h"

#include <map>

#include "controllers/cronjob/plan.h"

namespace berth::controllers::cronjob {
namespace {

using namespace api::resources;  // NOLINT

class CronJobController final : public Controller {
 public:
  CronJobController(InformerSet& informers, api::TimeZone local)
      : runtime_(informers.runtime()),
        local_(std::move(local)),
        cron_jobs_(informers.get(kCronJobs)),
        jobs_(informers.get(kJobs)) {
    jobs_.add_index(index::kOwner, index::by_owner);
  }
  std::string name() const override { return "cronjob"; }
  std::string component() const override { return "cronjob-controller"; }

  std::vector<WatchedCollection> watches() override {
    std::vector<WatchedCollection> out;
    out.push_back(watch_mapped(cron_jobs_, [this](const Value& before, const Value& after, Keys& keys) {
      const std::string key = key_of(after.is_null() ? before : after);
      if (after.is_null()) {
        changed_.erase(key);
      } else if (!before.is_null() && (before["spec"]["schedule"] != after["spec"]["schedule"] ||
                                       before["spec"]["timeZone"] != after["spec"]["timeZone"])) {
        changed_[key] = runtime_.now();
      }
      keys.push_back(key);
    }));
    out.push_back(watch_owner(jobs_, "batch", "CronJob"));
    return out;
  }

  Plan plan(const std::string& key, Time now) override {
    CronJobView view;
    view.cron_job = cron_jobs_.get(name_of_key(key));
    if (view.cron_job.is_null()) return {};
    view.jobs = jobs_.by_index(index::kOwner, std::string(api::uid_of(view.cron_job)));
    const Value& zone = view.cron_job["spec"]["timeZone"];
    view.zone = zone.is_null() ? local_ : api::TimeZone::named(zone.as_string());
    if (const auto changed = changed_.find(key); changed != changed_.end()) view.changed = changed->second;
    return plan_cron_job(view, now);
  }

 private:
  Runtime& runtime_;
  api::TimeZone local_;
  Informer& cron_jobs_;
  Informer& jobs_;
  std::map<std::string, Time> changed_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(InformerSet& informers, api::TimeZone local) {
  return std::make_unique<CronJobController>(informers, std::move(local));
}

}  // namespace berth::controllers::cronjob

#include "controllers/quota/plan.h"

#include "api/quota.h"

namespace berth::controllers::quota {
namespace {

namespace counting = api::quota;
using api::ResourceList;

}  // namespace

Plan plan_quota(const QuotaView& view, Time now) {
  Plan plan;
  if (view.quota.is_null()) return plan;
  const Value& hard = view.quota["spec"]["hard"];
  const std::vector<std::string> names = counting::names_of(hard);
  ResourceList used;
  for (const QuotaView::Collection& contents : view.contents) {
    const std::vector<std::string> bounded = counting::matching_resources(contents.resource, names);
    for (const std::string& name : bounded) used.emplace(name, api::Quantity());
    for (const Value& item : contents.items) {
      if (!counting::matches_scopes(view.quota, contents.resource, item)) continue;
      api::add(used, counting::masked(counting::usage(contents.resource, item, now), bounded));
      if (auto end = counting::end_of_charge(contents.resource, item, now)) plan.requeue_after(*end - now + 1s);
    }
  }
  const Value& status = view.quota["status"];
  const bool same = status["hard"].is_object() && status["used"].is_object() &&
                    api::resource_list(status["hard"]) == api::resource_list(hard) &&
                    api::resource_list(status["used"]) == used;
  if (same || (hard.empty() && status["hard"].empty() && status["used"].empty())) return plan;
  Value after = view.quota;
  after.set("status",
            Value::object({{"hard", hard.is_null() ? Value::object() : hard}, {"used", api::to_value(used)}}));
  plan.add(update_status(api::resources::kResourceQuotas, std::move(after)));
  return plan;
}

}  // namespace berth::controllers::quota

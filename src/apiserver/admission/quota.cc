#include "apiserver/admission/quota.h"

#include <algorithm>

#include "api/quota.h"
#include "api/status.h"
#include "base/text.h"

namespace berth::apiserver::admission {
namespace {

using api::ResourceList;
namespace quota = api::quota;

// The usage that the change adds.
ResourceList new_usage(const api::Resource& resource, const Value& before, const Value& object, Time now) {
  ResourceList out = quota::usage(resource, object, now);
  if (!before.is_null()) {
    for (const auto& [name, amount] : quota::usage(resource, before, now)) {
      if (auto at = out.find(name); at != out.end())
        at->second = at->second > amount ? at->second - amount : api::Quantity();
    }
  }
  std::erase_if(out, [](const auto& entry) { return entry.second.sign() == 0; });
  return out;
}

// Adds `more` to the quota's status.used where that stays within status.hard; otherwise returns the refusal.
std::string charge_one(Value& object, const std::vector<std::string>& hard_names, const ResourceList& usage) {
  const ResourceList hard = api::resource_list(object["status"]["hard"]),
                     used = api::resource_list(object["status"]["used"]);
  const ResourceList more = quota::masked(usage, hard_names);
  ResourceList after = used;
  api::add(after, more);
  std::vector<std::string> exceeded;
  for (const auto& [name, amount] : more) {
    if (after.at(name) > hard.at(name)) exceeded.push_back(name);
  }
  if (!exceeded.empty()) {
    return "exceeded quota: " + std::string(api::name_of(object)) +
           ", requested: " + quota::text_of(quota::masked(more, exceeded)) +
           ", used: " + quota::text_of(quota::masked(used, exceeded)) +
           ", limited: " + quota::text_of(quota::masked(hard, exceeded));
  }
  for (const auto& [name, amount] : quota::masked(after, hard_names))
    object.mut("status").mut("used").set(name, amount.to_string());
  return "";
}

}  // namespace

Result<std::vector<QuotaCharge>> check_quota(const Change& change) {
  std::vector<QuotaCharge> charges;
  const Request& request = change.request;
  const Value& object = change.after;
  const api::Resource resource = request.kind.resource();
  const bool resized = request.subresource == "resize";
  if (!request.kind.namespaced || !(request.subresource.empty() || resized)) return charges;
  if (!change.creates() && !resized && !quota::charges_updates(resource)) return charges;
  auto refuse = [&](std::string why) { return api::forbidden(resource, api::name_of(object), why); };
  std::vector<QuotaCharge> concerned;
  for (const store::RecordPtr& head : request.objects.list_newest(api::resources::kResourceQuotas, request.ns)) {
    const std::vector<std::string> hard = quota::names_of(head->value["status"]["hard"]);
    const std::vector<std::string> bounded = quota::matching_resources(resource, hard);
    if (bounded.empty() || !quota::matches_scopes(head->value, resource, object)) continue;
    const std::string name(api::name_of(head->value));
    if (std::string missing = quota::missing_constraints(bounded, resource, object); !missing.empty()) {
      return refuse("failed quota: " + name + ": " + missing);
    }
    const Value& used = head->value["status"]["used"];
    if (!std::all_of(bounded.begin(), bounded.end(), [&](const std::string& one) { return used.contains(one); })) {
      return refuse("status unknown for quota: " + name + ", resources: " + join(bounded, ","));
    }
    concerned.push_back({head, head->value});
  }
  if (concerned.empty()) return charges;
  const ResourceList usage = new_usage(resource, change.before, object, request.runtime.now());
  std::vector<std::string> negative;
  for (const auto& [name, amount] : usage) {
    if (amount.sign() < 0) negative.push_back(name);
  }
  if (!negative.empty()) return refuse("quota usage is negative for resource(s): " + join(negative, ","));
  for (QuotaCharge& charge : concerned) {
    const std::vector<std::string> hard = quota::names_of(charge.after["status"]["hard"]);
    if (std::string why = charge_one(charge.after, hard, usage); !why.empty()) return refuse(why);
    if (charge.after != charge.head->value) charges.push_back(std::move(charge));
  }
  return charges;
}

}  // namespace berth::apiserver::admission

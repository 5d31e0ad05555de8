// ResourceQuotas at admission: whether an object still fits, and what its namespace's quotas show once it is in.
#include "api/quota.h"

#include <algorithm>

#include "api/status.h"
#include "apiserver/registry/state.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

using api::ResourceList;
namespace quota = api::quota;

// What the object newly uses; of an update only what it uses more than before.
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

// Adds `more` to the quota's status.used where that stays within status.hard; or says why not.
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

Result<std::vector<QuotaCharge>> check_quota(const Registry::State& state, const Call& call, const Value& before,
                                             const Value& object) {
  std::vector<QuotaCharge> charges;
  const api::schema::Kind& kind = *call.kind;
  const api::Resource resource = kind.resource();
  const bool ignored = kind.kind == "Event", resized = call.subresource == "resize";
  if (!kind.namespaced || ignored || !(call.subresource.empty() || resized)) return charges;
  if (!before.is_null() && !resized && !quota::charges_updates(resource)) return charges;
  const store::Listing quotas = state.store.list(store_key(state.kind(api::resources::kResourceQuotas), call.ns, ""));
  if (quotas.records.empty()) return charges;
  auto refuse = [&](std::string why) { return api::forbidden(kind.resource(), api::name_of(object), why); };
  std::vector<QuotaCharge> concerned;
  for (const store::RecordPtr& record : quotas.records) {
    store::RecordPtr head = state.store.head(record->key);
    if (!head) continue;
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
  const ResourceList usage = new_usage(resource, before, object, state.runtime.now());
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

void charge_quota(const std::shared_ptr<Registry::State>& state, std::vector<QuotaCharge> charges) {
  for (QuotaCharge& charge : charges) {
    store::Write write;
    write.key = charge.head->key;
    write.value = std::move(charge.after);
    write.expected = charge.head->mod_revision;
    state->store.write(std::move(write), [key = charge.head->key](Result<store::RecordPtr> written) {
      // The quota controller counts anew in any case.
      if (!written.ok())
        log_warning("registry", "a quota was not charged", {{"quota", key}, {"error", written.error().message}});
    });
  }
}

}  // namespace berth::apiserver::registry

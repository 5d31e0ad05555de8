#include "controllers/shared/volume_match.h"

#include "api/object.h"
#include "api/selector.h"
#include "controllers/shared/node_selector.h"

namespace berth::controllers {
namespace {

api::Quantity quantity_of(const Value& value) {
  const auto parsed = api::Quantity::parse(value.as_string());
  return parsed.ok() ? parsed.value() : api::Quantity();
}

bool offers_modes(const Value& volume, const Value& claim) {
  for (const Value& wanted : claim["spec"]["accessModes"]) {
    bool found = false;
    for (const Value& mode : volume["spec"]["accessModes"]) found = found || mode == wanted;
    if (!found) return false;
  }
  return true;
}

}  // namespace

std::string_view class_of(const Value& object) {
  const Value* beta = object["metadata"]["annotations"].find(kBetaStorageClass);
  return beta ? beta->as_string() : object["spec"]["storageClassName"].as_string();
}

bool has_no_class(const Value& claim) {
  return !claim["metadata"]["annotations"].contains(kBetaStorageClass) && claim["spec"]["storageClassName"].is_null();
}

bool waits_for_consumer(const Value& storage_class) {
  return storage_class["volumeBindingMode"].as_string() == "WaitForFirstConsumer";
}

api::Quantity request_of(const Value& claim) { return quantity_of(claim["spec"]["resources"]["requests"]["storage"]); }
api::Quantity capacity_of(const Value& volume) { return quantity_of(volume["spec"]["capacity"]["storage"]); }
std::string_view mode_of(const Value& object) { return object["spec"]["volumeMode"].as_string("Filesystem"); }

bool is_fully_bound(const Value& claim) {
  return !claim["spec"]["volumeName"].as_string().empty() && claim["metadata"]["annotations"].contains(kBindCompleted);
}

bool is_reserved_for(const Value& volume, const Value& claim) {
  const Value& reference = volume["spec"]["claimRef"];
  if (reference.is_null()) return false;
  if (reference["name"].as_string() != api::name_of(claim) ||
      reference["namespace"].as_string() != api::namespace_of(claim)) {
    return false;
  }
  const std::string_view uid = reference["uid"].as_string();
  return uid.empty() || uid == api::uid_of(claim);
}

std::string mismatch(const Value& volume, const Value& claim) {
  if (capacity_of(volume) < request_of(claim)) return "requested PV is too small";
  if (class_of(volume) != class_of(claim)) return "storageClassName does not match";
  if (mode_of(volume) != mode_of(claim)) return "incompatible volumeMode";
  if (!offers_modes(volume, claim)) return "incompatible accessMode";
  return {};
}

void by_candidate(const Value& volume, std::vector<std::string>& keys) {
  const Value& reference = volume["spec"]["claimRef"];
  if (reference.is_null()) {
    keys.push_back("class " + std::string(class_of(volume)));
  } else {
    keys.push_back("claim " + reference["namespace"].str() + "/" + reference["name"].str());
  }
}

std::vector<std::string> candidate_keys(const Value& claim) {
  return {"claim " + api::name_key(claim).to_string(), "class " + std::string(class_of(claim))};
}

Value find_match(const Value& claim, const std::vector<Value>& volumes, const MatchOptions& options) {
  const api::Quantity wanted = request_of(claim);
  const auto selector = claim["spec"]["selector"].is_null() ? Result<api::LabelSelector>(api::LabelSelector())
                                                            : api::LabelSelector::of_object(claim["spec"]["selector"]);
  Value best;
  api::Quantity best_size;
  for (const Value& volume : volumes) {
    if (api::is_terminating(volume) || mode_of(volume) != mode_of(claim)) continue;
    if (volume["spec"]["volumeAttributesClassName"].as_string() !=
        claim["spec"]["volumeAttributesClassName"].as_string())
      continue;
    const bool reachable =
        !options.node || matches_node_selector(volume["spec"]["nodeAffinity"]["required"], *options.node);
    const api::Quantity size = capacity_of(volume);
    if (is_reserved_for(volume, claim)) {
      if (size < wanted) continue;
      return reachable ? volume : Value();
    }
    if (options.waits_for_consumer && !options.node) continue;
    if (options.is_used && options.is_used(volume)) continue;
    if (volume["status"]["phase"].as_string() != "Available" || !volume["spec"]["claimRef"].is_null()) continue;
    if (!selector.ok() || !selector->matches(api::labels_of(volume))) continue;
    if (class_of(volume) != class_of(claim) || !reachable || size < wanted || !offers_modes(volume, claim)) continue;
    if (best.is_null() || size < best_size) {
      best = volume;
      best_size = size;
    }
  }
  return best;
}

}  // namespace berth::controllers

#include "apiserver/admission/storage.h"

#include "api/metadata.h"
#include "api/quantity.h"
#include "api/status.h"

namespace berth::apiserver::admission {
namespace {

void add_finalizer(Value& object, std::string_view finalizer) {
  if (!api::has_finalizer(object, finalizer)) object.mut("metadata").mut("finalizers").push(finalizer);
}

}  // namespace

Status admit_claim(const Request& request, Value& claim) {
  add_finalizer(claim, "kubernetes.io/pvc-protection");
  if (!claim["spec"]["storageClassName"].is_null()) return ok_status();
  if (!claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].is_null()) return ok_status();
  // The default class; of several, the newest.
  std::string chosen, created;
  for (const store::RecordPtr& record : request.objects.list(api::resources::kStorageClasses, "")) {
    const Value& annotations = record->value["metadata"]["annotations"];
    if (annotations["storageclass.kubernetes.io/is-default-class"].as_string() != "true") continue;
    std::string when = record->value["metadata"]["creationTimestamp"].str();
    if (chosen.empty() || when > created) {
      chosen = api::name_of(record->value);
      created = when;
    }
  }
  if (!chosen.empty()) claim.mut("spec").set("storageClassName", chosen);
  return ok_status();
}

Status admit_volume(const Request&, Value& volume) {
  add_finalizer(volume, "kubernetes.io/pv-protection");
  return ok_status();
}

Status check_claim_growth(const Change& change) {
  const Request& request = change.request;
  if (change.creates() || !request.subresource.empty()) return ok_status();
  const Value &before = change.before, &after = change.after;
  const auto size_of = [](const Value& claim) {
    return api::Quantity::parse(claim["spec"]["resources"]["requests"]["storage"].as_string());
  };
  const Result<api::Quantity> old_size = size_of(before), size = size_of(after);
  if (!old_size.ok() || !size.ok() || *size <= *old_size) return ok_status();
  auto refuse = [&](std::string_view why) {
    return api::forbidden(api::resources::kPersistentVolumeClaims, api::name_of(after), why);
  };
  if (before["status"]["phase"].as_string() != "Bound")
    return refuse("Only bound persistent volume claims can be expanded");
  const auto class_of = [](const Value& claim) {
    const Value& annotated = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    return annotated.is_null() ? claim["spec"]["storageClassName"].str() : annotated.str();
  };
  const std::string name = class_of(after);
  const store::RecordPtr found = name.empty() || name != class_of(before)
                                     ? nullptr
                                     : request.objects.find(api::resources::kStorageClasses, "", name);
  if (found && found->value["allowVolumeExpansion"].as_bool()) return ok_status();
  return refuse(
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
}

}  // namespace berth::apiserver::admission

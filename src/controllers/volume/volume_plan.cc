#include "controllers/volume/volume_plan.h"

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/local_volume.h"
#include "controllers/shared/volume_match.h"

namespace berth::controllers::volume {
namespace {

using namespace api::resources;  // NOLINT

bool claim_is_cached(const VolumeView& view) {
  const std::string_view uid = view.volume["spec"]["claimRef"]["uid"].as_string();
  return !view.claim.is_null() && api::uid_of(view.claim) == uid;
}

bool is_released(const Value& volume) {
  const std::string_view phase = volume["status"]["phase"].as_string();
  return phase == "Released" || phase == "Failed";
}

void set_phase(Plan& plan, const Value& volume, std::string_view phase, Time now, std::string_view message = {}) {
  if (volume["status"]["phase"].as_string() == phase) return;
  Value status = Value::object({{"phase", phase},
                                {"message", message.empty() ? Value() : Value(message)},
                                {"reason", nullptr},
                                {"lastPhaseTransitionTime", format_time(now)}});
  plan.add(patch_status(kPersistentVolumes, volume, Value::object({{"status", status}})));
}

void fail(Plan& plan, const Value& volume, Time now, std::string_view reason, const std::string& message) {
  if (volume["status"]["phase"].as_string() == "Failed") return;
  plan.event(volume, kWarning, reason, message);
  set_phase(plan, volume, "Failed", now, message);
}

void reclaim(Plan& plan, const Value& volume, Time now) {
  const std::string_view policy = volume["spec"]["persistentVolumeReclaimPolicy"].as_string();
  if (policy == "Recycle")
    return fail(plan, volume, now, "VolumeFailedRecycle", "No recycler plugin found for the volume!");
  if (policy != "Delete" || api::is_terminating(volume)) return;
  if (is_local(volume)) {
    Action action = remove(kPersistentVolumes, volume);
    action.failed(volume, kWarning, "VolumeFailedDelete", "");
    plan.add(std::move(action));
    return;
  }
  // Another driver deletes the volumes that it created.
  if (volume["spec"].contains("csi") || !api::annotation_of(volume, kProvisionedBy).empty()) return;
  fail(plan, volume, now, "VolumeFailedDelete",
       "error getting deleter volume plugin for volume " + quoted(api::name_of(volume)) +
           ": no deletable volume plugin matched");
}

// Releases a volume whose claim is bound to another one.
void release_volume(Plan& plan, const Value& volume, Time now) {
  const bool made_for_it = !api::annotation_of(volume, kProvisionedBy).empty() &&
                           volume["spec"]["persistentVolumeReclaimPolicy"].as_string() == "Delete";
  if (made_for_it) {
    set_phase(plan, volume, "Released", now);
    if (plan.empty()) reclaim(plan, volume, now);
    return;
  }
  Value change;
  if (volume["metadata"]["annotations"].contains(kBoundByController)) {
    change =
        Value::object({{"metadata", Value::object({{"annotations", Value::object({{kBoundByController, nullptr}})}})},
                       {"spec", Value::object({{"claimRef", nullptr}})}});
  } else {
    change = Value::object(
        {{"spec", Value::object({{"claimRef", Value::object({{"uid", nullptr}, {"resourceVersion", nullptr}})}})}});
  }
  plan.add(patch(kPersistentVolumes, volume, api::PatchType::kMerge, std::move(change), true));
}

}  // namespace

bool needs_live_claim(const VolumeView& view) {
  const Value& volume = view.volume;
  return !volume["spec"]["claimRef"]["uid"].as_string().empty() && !claim_is_cached(view) && !is_released(volume);
}

Plan plan_volume(const VolumeView& view, Time now) {
  Plan plan;
  const Value& volume = view.volume;
  if (volume.is_null()) return plan;
  const Value& reference = volume["spec"]["claimRef"];
  if (reference["uid"].as_string().empty()) {
    if (!api::is_terminating(volume)) set_phase(plan, volume, "Available", now);
    return plan;
  }
  if (!claim_is_cached(view)) {
    if (is_released(volume)) {
      reclaim(plan, volume, now);
    } else if (view.live == VolumeView::LiveClaim::kGone) {
      set_phase(plan, volume, "Released", now);
    }
    return plan;
  }
  const std::string_view wanted = view.claim["spec"]["volumeName"].as_string();
  if (wanted == api::name_of(volume)) {
    set_phase(plan, volume, "Bound", now);
  } else if (!wanted.empty()) {
    release_volume(plan, volume, now);
  }
  return plan;
}

}  // namespace berth::controllers::volume

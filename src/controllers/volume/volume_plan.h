#pragma once
// The plan of a PersistentVolume: its phase, and releasing or deleting it when its claim is gone. Pure.

#include "controllers/driver.h"

namespace berth::controllers::volume {

struct VolumeView {
  Value volume;  // null: the volume does not exist
  Value claim;   // the cached claim with the name in spec.claimRef, whatever its uid; or null
  // The result of the live read, made if the cache lacks the claim with claimRef's uid:
  enum class LiveClaim { kNotRead, kThere, kGone } live = LiveClaim::kNotRead;
};

// True if plan_volume needs `live`: data may be deleted, so the cache alone is not sufficient.
bool needs_live_claim(const VolumeView& view);

Plan plan_volume(const VolumeView& view, Time now);

}  // namespace berth::controllers::volume

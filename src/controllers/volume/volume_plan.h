#pragma once
// What a PersistentVolume needs next: its phase, and what becomes of it when its claim is gone. Pure.

#include "controllers/driver.h"

namespace berth::controllers::volume {

struct VolumeView {
  Value volume;  // null: there is none
  Value claim;   // what the cache has under the name in spec.claimRef, whatever its uid; or null
  // Asked past the cache, where the claim with claimRef's uid is not in it:
  enum class Live { kNotAsked, kThere, kGone } live = Live::kNotAsked;
};

// Whether plan_volume needs `live`: data may be deleted, so the cache alone is not believed.
bool needs_live_claim(const VolumeView& view);

Plan plan_volume(const VolumeView& view, Time now);

}  // namespace berth::controllers::volume

#pragma once
// What a PersistentVolumeClaim needs next: a volume that exists, a new one, or to wait. Pure.
//
// The rules are those of Kubernetes' persistent volume controller; new volumes come from the built-in provisioner
// (local_volume.h) at once, in the same plan that binds them. Phases of volumes belong to volume_plan.h.

#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::volume {

struct ClaimView {
  Value claim;                            // null: there is none
  Value volume;                           // the one named by spec.volumeName, or null
  std::vector<Value> volumes;             // that could serve it (candidate_keys); needed while the claim is not bound
  std::vector<Value> made_volumes;        // all of the built-in provisioner's; needed where no node has been chosen
  std::vector<Value> nodes;               // all; needed while the claim is not bound
  Value storage_class;                    // of the claim, or null
  Value default_class;                    // or null
  std::vector<std::string> waiting_pods;  // names of pods without a node that mount the claim
  bool volume_missing_long = false;       // the cache has lacked the claim's volume for a while
};

// How long a bound claim's volume must be missing from the cache before it counts as gone: caches of two kinds show
// one transaction at different times.
inline constexpr Duration kMissingLong = 2s;

// `events` may tell again what was told before; the controller drops repetitions.
Plan plan_claim(const ClaimView& view, Time now);

// The one that is annotated as default, the newest where there are several; null where none is.
Value choose_default_class(const std::vector<Value>& classes);

}  // namespace berth::controllers::volume

#pragma once
// The plan of a PersistentVolumeClaim: bind an existing volume, create one, or wait. Pure.
//
// The rules are those of Kubernetes' persistent volume controller. The built-in provisioner's volumes (local_volume.h)
// are created and bound in the same plan. volume_plan.h sets the phases of volumes.

#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::volume {

struct ClaimView {
  Value claim;                            // null: the claim does not exist
  Value volume;                           // the one named by spec.volumeName, or null
  std::vector<Value> volumes;             // the candidates (candidate_keys); read while the claim is not bound
  std::vector<Value> made_volumes;        // all of the built-in provisioner's; read if no node has been chosen
  std::vector<Value> nodes;               // all; read while the claim is not bound
  Value storage_class;                    // of the claim, or null
  Value default_class;                    // or null
  std::vector<std::string> waiting_pods;  // names of pods without a node that mount the claim
  bool volume_missing_long = false;       // the cache has lacked the claim's volume for kMissingLong
};

// How long a bound claim's volume must be missing from the cache before it counts as gone: caches of two kinds show one
// transaction at different times.
inline constexpr Duration kMissingLong = 2s;

// `events` may repeat earlier ones; the controller drops repetitions.
Plan plan_claim(const ClaimView& view, Time now);

// The class annotated as default, the newest if there are several; null if there is none.
Value choose_default_class(const std::vector<Value>& classes);

}  // namespace berth::controllers::volume

#pragma once
// The volume controllers: each watches, builds a view and calls its plan function.

#include <memory>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::volume {

// Binds claims and creates volumes for them (claim_plan.h). Keys: "namespace/claim".
std::unique_ptr<Controller> make_claim_controller(InformerSet& informers);
// Phases and reclaiming of volumes (volume_plan.h). Keys: volume names.
std::unique_ptr<Controller> make_volume_controller(InformerSet& informers);
// kubernetes.io/pvc-protection: a claim remains while a scheduled pod uses it.
std::unique_ptr<Controller> make_claim_protection_controller(InformerSet& informers);
// kubernetes.io/pv-protection: a volume remains while it is bound.
std::unique_ptr<Controller> make_volume_protection_controller(InformerSet& informers);
// Creates the claims of pods' generic ephemeral volumes. Keys: pods.
std::unique_ptr<Controller> make_ephemeral_controller(InformerSet& informers);

// All controllers above.
std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers);

}  // namespace berth::controllers::volume

#pragma once
// The disruption controllers: PodDisruptionBudgets' status is kept up to date, pods that were not deleted after all are
// told.

#include <memory>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::disruption {

// Of one cluster no two may be alive: out of an older view of pods the other one would allow again what was just used
// up.
std::unique_ptr<Controller> make_controller(InformerSet& informers);
// Keys: pods.
std::unique_ptr<Controller> make_stale_controller(InformerSet& informers);

// Both.
std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers);

}  // namespace berth::controllers::disruption

#pragma once
// The disruption controllers: one updates the status of PodDisruptionBudgets, one clears DisruptionTarget of pods that
// were not deleted after all.

#include <memory>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::disruption {

// Only one may run in a cluster: with an older view of the pods a second one would allow disruptions again that were
// just used.
std::unique_ptr<Controller> make_controller(InformerSet& informers);
// Keys: pods.
std::unique_ptr<Controller> make_stale_controller(InformerSet& informers);

// Both.
std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers);

}  // namespace berth::controllers::disruption

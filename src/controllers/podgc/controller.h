#pragma once
// Garbage collection of pods: those whose node is gone or out of service, those deleted before they had a node, and the
// oldest ended ones. Both controllers plan with plan.h.

#include <memory>
#include <vector>

#include "controllers/driver.h"
#include "controllers/podgc/plan.h"

namespace berth::controllers::podgc {

// Keys: pods.
std::unique_ptr<Controller> make_lost_controller(InformerSet& informers, PodGcConfig config = {});
// One key: all pods that have ended.
std::unique_ptr<Controller> make_ended_controller(InformerSet& informers, PodGcConfig config = {});

// Both.
std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers, PodGcConfig config = {});

}  // namespace berth::controllers::podgc

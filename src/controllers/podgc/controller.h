#pragma once
// Garbage collection of pods: those whose node is gone or out of service, those deleted before they had one, and the
// oldest of those that have ended. plan.h decides.

#include <memory>
#include <vector>

#include "controllers/driver.h"
#include "controllers/podgc/plan.h"

namespace berth::controllers::podgc {

// Keys: pods.
std::unique_ptr<Controller> make_lost_controller(InformerSet& informers, Config config = {});
// One key: all pods that have ended.
std::unique_ptr<Controller> make_ended_controller(InformerSet& informers, Config config = {});

// Both.
std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers, Config config = {});

}  // namespace berth::controllers::podgc

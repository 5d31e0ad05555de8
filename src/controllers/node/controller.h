#pragma once
// The node controllers: health and taints, and eviction by taints. Each lets plan.h decide.

#include <memory>
#include <vector>

#include "controllers/driver.h"
#include "controllers/node/plan.h"

namespace berth::controllers::node {

// Keys: node names. Counts a node's silence from what it has seen itself, so after a restart of the controller every
// node counts as having just answered.
std::unique_ptr<Controller> make_health_controller(InformerSet& informers, Config config = {});
// Keys: node names.
std::unique_ptr<Controller> make_eviction_controller(InformerSet& informers);

// Both.
std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers, Config config = {});

}  // namespace berth::controllers::node

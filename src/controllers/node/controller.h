#pragma once
// The node controllers: health and taints, and eviction by taints. Both plan with plan.h.

#include <memory>
#include <vector>

#include "controllers/driver.h"
#include "controllers/node/plan.h"

namespace berth::controllers::node {

// Keys: node names. Measures a node's silence from heartbeats that it has seen itself: after a restart every node
// counts as having just sent one.
std::unique_ptr<Controller> make_health_controller(InformerSet& informers, NodeHealthConfig config = {});
// Keys: node names.
std::unique_ptr<Controller> make_eviction_controller(InformerSet& informers);

// Both.
std::vector<std::unique_ptr<Controller>> make_controllers(InformerSet& informers, NodeHealthConfig config = {});

}  // namespace berth::controllers::node

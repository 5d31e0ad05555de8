#pragma once
// The Deployment controller: watches deployments, their ReplicaSets and (for Recreate) pods; plans with
// plan_deployment().

#include <memory>

#include "controllers/driver.h"

namespace berth::controllers::deployment {

std::unique_ptr<Controller> make_controller(InformerSet& informers);

}  // namespace berth::controllers::deployment

#pragma once
// The ReplicaSet controller, and the ReplicationController one: watches the sets and their pods; plan_set() decides.

#include <memory>

#include "controllers/driver.h"
#include "controllers/replicaset/plan.h"

namespace berth::controllers::replicaset {

std::unique_ptr<Controller> make_controller(InformerSet& informers, Form form = Form::kReplicaSet);

}  // namespace berth::controllers::replicaset

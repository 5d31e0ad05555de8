#pragma once
// The ReplicaSet controller, and the ReplicationController one: watch the sets and their pods; plan with plan_set().

#include <memory>

#include "controllers/driver.h"
#include "controllers/replicaset/plan.h"

namespace berth::controllers::replicaset {

std::unique_ptr<Controller> make_controller(InformerSet& informers, OwnerKind owner_kind = OwnerKind::kReplicaSet);

}  // namespace berth::controllers::replicaset

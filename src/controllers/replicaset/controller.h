#pragma once
// The ReplicaSet controller: watches sets and their pods and lets plan_set() decide.

#include <memory>

#include "controllers/driver.h"

namespace berth::controllers::replicaset {

std::unique_ptr<Controller> make_controller(InformerSet& informers);

}  // namespace berth::controllers::replicaset

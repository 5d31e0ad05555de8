#pragma once
// The disruption controller: keeps PodDisruptionBudgets' status up to date.

#include <memory>

#include "controllers/driver.h"

namespace berth::controllers::disruption {

std::unique_ptr<Controller> make_controller(InformerSet& informers);

}  // namespace berth::controllers::disruption

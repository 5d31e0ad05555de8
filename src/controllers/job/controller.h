#pragma once
// The Job controllers: one runs jobs, the other deletes finished jobs after their TTL.

#include <memory>

#include "controllers/driver.h"

namespace berth::controllers::job {

std::unique_ptr<Controller> make_controller(InformerSet& informers);
std::unique_ptr<Controller> make_expiry_controller(InformerSet& informers);

}  // namespace berth::controllers::job

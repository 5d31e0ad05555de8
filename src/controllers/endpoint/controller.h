#pragma once
// The endpoint controllers: they watch Services and pods and let plan.h decide. Keys: "namespace/service".

#include <memory>

#include "controllers/driver.h"

namespace berth::controllers::endpoint {

std::unique_ptr<Controller> make_slice_controller(InformerSet& informers);
std::unique_ptr<Controller> make_endpoints_controller(InformerSet& informers);
// Slices for Endpoints that others write (mirror.h).
std::unique_ptr<Controller> make_mirror_controller(InformerSet& informers);

}  // namespace berth::controllers::endpoint

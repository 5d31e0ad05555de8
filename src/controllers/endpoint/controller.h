#pragma once
// The endpoint controllers: watch Services and pods and plan with plan.h. Keys: "namespace/service".

#include <memory>

#include "controllers/driver.h"
#include "controllers/endpoint/api_server.h"

namespace berth::controllers::endpoint {

std::unique_ptr<Controller> make_slice_controller(InformerSet& informers);
std::unique_ptr<Controller> make_endpoints_controller(InformerSet& informers);
// Slices for Endpoints that other clients write (mirror.h).
std::unique_ptr<Controller> make_mirror_controller(InformerSet& informers);
// The endpoints of default/kubernetes (api_server.h).
std::unique_ptr<Controller> make_api_server_controller(InformerSet& informers, ApiServerAddress address);

}  // namespace berth::controllers::endpoint

#pragma once
// The Endpoints and the EndpointSlice of default/kubernetes: where the API server itself answers. Pure.
//
// Labels of the Endpoints that others set stay; its subsets, and all of the slice, are kept as they have to be.

#include <string>
#include <string_view>

#include "controllers/driver.h"

namespace berth::controllers::endpoint {

struct ApiServerAddress {
  std::string ip;  // IPv4
  int port = 0;
};

struct ApiServerView {
  Value endpoints;  // default/kubernetes, or null
  Value slice;      // default/kubernetes, or null
};

inline constexpr std::string_view kApiServerKey = "default/kubernetes";

Plan plan_api_server(const ApiServerView& view, const ApiServerAddress& address);

}  // namespace berth::controllers::endpoint

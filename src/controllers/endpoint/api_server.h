#pragma once
// The Endpoints and the EndpointSlice of default/kubernetes: the API server's own address. Pure.
//
// Labels of the Endpoints that other clients set stay; its subsets, and the complete slice, are restored.

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

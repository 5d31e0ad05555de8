#pragma once
// The EndpointSlices and the Endpoints of a Service. Pure.
//
// Endpoints stay in their slice, so that a change of one pod writes one slice. Nothing is written unless the objects'
// content changed; a new value of the annotation last-change-trigger-time alone is not written.

#include <functional>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::endpoint {

inline constexpr std::string_view kServiceName = "kubernetes.io/service-name";
inline constexpr std::string_view kManagedBy = "endpointslice.kubernetes.io/managed-by";
inline constexpr std::string_view kSliceManager = "endpointslice-controller.k8s.io";
inline constexpr std::string_view kHeadless = "service.kubernetes.io/headless";
inline constexpr std::string_view kTriggerTime = "endpoints.kubernetes.io/last-change-trigger-time";
inline constexpr std::string_view kEndpointsManagedBy = "endpoints.kubernetes.io/managed-by";
inline constexpr std::string_view kEndpointsManager = "endpoint-controller";
inline constexpr int kEndpointsPerSlice = 100;
inline constexpr int kAddressesPerEndpoints = 1000;

struct ServiceView {
  Value service;                                              // null: the service does not exist
  std::vector<Value> pods;                                    // those that its selector matches
  std::vector<Value> slices;                                  // of this service and this controller
  Value endpoints;                                            // of the service's name, or null
  std::function<std::string(std::string_view node)> zone_of;  // "" if unknown; may be empty
};

// True if the service has a selector and is not of type ExternalName.
bool has_endpoints(const Value& service);
// True if a field of the pod changed that slices or endpoints contain.
bool pod_affects_endpoints(const Value& before, const Value& after);
// The pod's number of a Service port; 0 if the pod has no port of that name.
std::int64_t target_port(const Value& pod, const Value& service_port);

Plan plan_slices(const ServiceView& view, Time now);
Plan plan_endpoints(const ServiceView& view, Time now);

}  // namespace berth::controllers::endpoint

#pragma once
// Where a Service's pods are: its EndpointSlices and its Endpoints. Pure.
//
// Pods keep their place in their slice, so that one pod's change changes one slice. Nothing is written while nothing
// that the objects say has changed; the annotation last-change-trigger-time alone is no reason.

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

struct View {
  Value service;                                              // null: there is none
  std::vector<Value> pods;                                    // that its selector matches
  std::vector<Value> slices;                                  // of this service and this controller
  Value endpoints;                                            // of the service's name, or null
  std::function<std::string(std::string_view node)> zone_of;  // "" where unknown; may be empty
};

// The service chooses pods, and they have addresses of the cluster.
bool has_endpoints(const Value& service);
// Something that slices or endpoints tell of the pod changed.
bool pod_matters(const Value& before, const Value& after);
// The number of a Service port on that pod; 0 where the pod has no port of that name.
std::int64_t target_port(const Value& pod, const Value& service_port);

Plan plan_slices(const View& view, Time now);
Plan plan_endpoints(const View& view, Time now);

}  // namespace berth::controllers::endpoint

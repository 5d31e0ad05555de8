#pragma once
// EndpointSlices for Endpoints written by other clients, so that clients of EndpointSlices see those addresses too: for
// Services without a selector, as Patroni uses them, or that lead outside the cluster. Pure.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::endpoint {

inline constexpr std::string_view kMirrorManager = "endpointslicemirroring-controller.k8s.io";
inline constexpr std::string_view kSkipMirror = "endpointslice.kubernetes.io/skip-mirror";
inline constexpr int kMirroredPerSubset = 1000;

struct MirrorView {
  Value service;              // the Service of that name, or null
  Value endpoints;            // or null
  std::vector<Value> slices;  // of this service, created by this controller
};

Plan plan_mirror(const MirrorView& view, Time now);

}  // namespace berth::controllers::endpoint

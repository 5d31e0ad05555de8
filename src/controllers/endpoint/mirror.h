#pragma once
// EndpointSlices for Endpoints that somebody else writes (of a Service without a selector: Patroni does so, and people
// who point a Service outside the cluster), so that readers of slices see them too. Pure.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::endpoint {

inline constexpr std::string_view kMirrorManager = "endpointslicemirroring-controller.k8s.io";
inline constexpr std::string_view kSkipMirror = "endpointslice.kubernetes.io/skip-mirror";
inline constexpr int kMirroredPerSubset = 1000;

struct MirrorView {
  Value service;              // of that name, or null
  Value endpoints;            // or null
  std::vector<Value> slices;  // of this service, made here
};

Plan plan_mirror(const MirrorView& view, Time now);

}  // namespace berth::controllers::endpoint

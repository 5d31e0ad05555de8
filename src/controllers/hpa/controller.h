#pragma once
// The horizontal pod autoscaler: syncs each HorizontalPodAutoscaler every 15 seconds and when its spec changes. Pod
// metrics are read only in a sync that needs them: a cluster without autoscalers measures nothing.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::hpa {

// A kind with a scale subresource.
struct Scalable {
  api::Resource resource;
  std::string kind;
};

// Calls `done` later, on the loop, with the PodMetrics of a namespace.
using ReadMetrics = std::function<void(const std::string& ns, Function<void(Result<std::vector<Value>>)> done)>;

std::unique_ptr<Driver> start(InformerSet& informers, std::vector<Scalable> kinds, ReadMetrics read_metrics,
                              Driver::Options options = {});

}  // namespace berth::controllers::hpa

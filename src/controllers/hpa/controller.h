#pragma once
// The horizontal pod autoscaler: looks at each HorizontalPodAutoscaler every 15 seconds and when its spec changes. What
// pods use is asked for only then, and only where the answer matters: without autoscalers nothing is ever measured.

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

// Answers later, on the loop, with the PodMetrics of a namespace.
using Measure = std::function<void(const std::string& ns, Function<void(Result<std::vector<Value>>)> done)>;

std::unique_ptr<Driver> start(InformerSet& informers, std::vector<Scalable> kinds, Measure measure,
                              Driver::Options options = {});

}  // namespace berth::controllers::hpa

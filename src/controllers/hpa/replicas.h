#pragma once
// The number of replicas that one resource metric requires. Pure.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::controllers::hpa {

struct PodMetric {
  Time timestamp{};
  Duration window{};
  std::int64_t milli = 0;
};
using PodMetrics = std::map<std::string, PodMetric>;  // by the pod's name

// The metric of each pod that has one, from the PodMetrics objects of metrics.k8s.io, summed over the containers or of
// one container only. Fails if a pod was measured, but not that container.
Result<PodMetrics> metrics_of(const std::vector<Value>& measured, const std::vector<Value>& pods,
                              const std::string& resource, const std::string& container);

// How far the ratio of measured to target value may be from 1 before the size changes.
struct Tolerance {
  double up = 0.1, down = 0.1;
  bool allows(double ratio) const { return 1.0 - down <= ratio && ratio <= 1.0 + up; }
};

struct Target {
  std::string resource;                       // "cpu"
  std::string container;                      // empty: of all containers together
  std::optional<std::int64_t> utilization;    // percent of the requests ...
  std::optional<std::int64_t> average_milli;  // ... or an average for each pod
};

struct Proposal {
  int replicas = 0;
  std::int64_t utilization = 0;  // percent; only for a utilization target
  std::int64_t average_milli = 0;
};

// `pods`: all that the target's selector matches. Pods that are unready or not measured never increase the change in
// the direction that it has. The error's text is that of the condition.
Result<Proposal> replicas_for(const Target& target, int current, const std::vector<Value>& pods, PodMetrics metrics,
                              const Tolerance& tolerance, Time now);

}  // namespace berth::controllers::hpa

#pragma once
// How many replicas one resource metric asks for. Pure.

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

// The metric of every pod that has it, from the answers of metrics.k8s.io (PodMetrics objects), summed over the
// containers or of one container only. Failure: a pod was measured, but not that container.
Result<PodMetrics> metrics_of(const std::vector<Value>& measured, const std::vector<Value>& pods,
                              const std::string& resource, const std::string& container);

// How far a measure may be off the target, as a part of it, before anything is done.
struct Tolerance {
  double up = 0.1, down = 0.1;
  bool allows(double ratio) const { return 1.0 - down <= ratio && ratio <= 1.0 + up; }
};

struct Target {
  std::string resource;                       // "cpu"
  std::string container;                      // empty: of all containers together
  std::optional<std::int64_t> utilization;    // percent of the requests ...
  std::optional<std::int64_t> average_milli;  // ... or so much for each pod
};

struct Proposal {
  int replicas = 0;
  std::int64_t utilization = 0;  // percent; only for such a target
  std::int64_t average_milli = 0;
};

// `pods`: all that the target's selector matches. Pods that are not ready, or not measured, never make the answer
// larger in the direction it goes. The error is worded as the condition shows it.
Result<Proposal> replicas_for(const Target& target, int current, const std::vector<Value>& pods, PodMetrics metrics,
                              const Tolerance& tolerance, Time now);

}  // namespace berth::controllers::hpa

#pragma once
// Limits of a recommended number of replicas: stabilisation over time, minimum, maximum and rates. Pure.

#include <optional>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers::hpa {

// An autoscaler's state between syncs. Kept in memory only, as upstream does.
struct ScalingHistory {
  struct Entry {
    Time at{};
    int value = 0;
  };
  std::vector<Entry> recommendations;  // before stabilisation
  std::vector<Entry> ups, downs;       // by how many replicas the target was scaled, if there is a behavior
  // The last write of the scale: recorded in ups or downs once the target has that size.
  struct Attempt {
    Time at{};
    int before = 0, after = 0;
  };
  std::optional<Attempt> attempt;
};

struct ReplicaBounds {
  int least = 1, most = 1;
};

struct LimitedReplicas {
  int replicas = 0;
  std::string able_reason, able_message;  // of the condition AbleToScale
  bool limited = false;                   // condition ScalingLimited
  std::string reason, message;            // of that condition
};

// `behavior`: spec.behavior, or null. Adds the recommendation to `history`.
LimitedReplicas limit(const Value& behavior, const ReplicaBounds& bounds, int current, int recommended,
                      ScalingHistory& history, Time now);
// Adds a change of size to `history`, for the rates of the behavior.
void record_scaling(const Value& behavior, int before, int after, ScalingHistory& history, Time now);

}  // namespace berth::controllers::hpa

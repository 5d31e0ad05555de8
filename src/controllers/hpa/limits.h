#pragma once
// What becomes of a recommended number of replicas: it is stabilised over time, and held within bounds and rates. Pure.

#include <optional>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers::hpa {

// What an autoscaler remembers; lost with the process, as upstream's.
struct History {
  struct Entry {
    Time at{};
    int value = 0;
  };
  std::vector<Entry> recommendations;  // before stabilisation
  std::vector<Entry> ups, downs;       // by how many replicas was scaled, where there is a behavior
  // What was tried last: it counts once the target shows it.
  struct Attempt {
    Time at{};
    int before = 0, after = 0;
  };
  std::optional<Attempt> attempt;
};

struct Bounds {
  int least = 1, most = 1;
};

struct Limited {
  int replicas = 0;
  std::string able_reason, able_message;  // of the condition AbleToScale
  bool limited = false;                   // the condition ScalingLimited ...
  std::string reason, message;            // ... and why
};

// `behavior`: spec.behavior, or null. Notes the recommendation in `history`.
Limited limit(const Value& behavior, const Bounds& bounds, int current, int recommended, History& history, Time now);
// Notes that was scaled, for the rates of the behavior.
void note_scaling(const Value& behavior, int before, int after, History& history, Time now);

}  // namespace berth::controllers::hpa

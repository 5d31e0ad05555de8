#pragma once
// One look of an autoscaler at its target. Pure but for `history`, which the controller keeps between looks.

#include <optional>
#include <string>
#include <vector>

#include "controllers/driver.h"
#include "controllers/hpa/limits.h"
#include "controllers/hpa/replicas.h"

namespace berth::controllers::hpa {

inline constexpr Duration kPeriod = 15s;  // between two looks

struct View {
  Value hpa;                        // autoscaling/v2; null: there is none
  api::Resource target_resource;    // of the scaled kind
  Value target;                     // null: see target_problem
  std::string target_problem;       // why its scale cannot be told
  std::string selector;             // of the target's pods, as text; empty: it has none
  std::vector<Value> pods;          // that the selector matches
  std::vector<std::string> rivals;  // "namespace/name" of all autoscalers of these pods, where there are several
  // The usage of the namespace's pods: PodMetrics objects, or why there are none.
  Result<std::vector<Value>> measured = std::vector<Value>();
};

// Whether this look needs to know what pods use: only then is anything measured.
bool needs_metrics(const View& view);

Plan plan_autoscaler(const View& view, History& history, Time now);

}  // namespace berth::controllers::hpa

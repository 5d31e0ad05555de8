#pragma once
// One sync of an autoscaler. Pure, except for `history`, which the controller stores between syncs.

#include <optional>
#include <string>
#include <vector>

#include "controllers/driver.h"
#include "controllers/hpa/limits.h"
#include "controllers/hpa/replicas.h"

namespace berth::controllers::hpa {

inline constexpr Duration kPeriod = 15s;  // between two syncs

struct HpaView {
  Value hpa;                           // autoscaling/v2; null: it does not exist
  api::Resource target_resource;       // of the scaled kind
  Value target;                        // null: see target_problem
  std::string target_problem;          // why its scale is unknown
  std::string selector;                // of the target's pods, as text; empty: none
  std::vector<Value> pods;             // those that the selector matches
  std::vector<std::string> competing;  // "namespace/name" of all autoscalers of these pods, if there are several
  // The usage of the namespace's pods: PodMetrics objects, or why there are none.
  Result<std::vector<Value>> measured = std::vector<Value>();
};

// True if this sync needs pod metrics.
bool needs_metrics(const HpaView& view);

Plan plan_autoscaler(const HpaView& view, ScalingHistory& history, Time now);

}  // namespace berth::controllers::hpa

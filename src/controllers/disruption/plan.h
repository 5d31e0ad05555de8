#pragma once
// A PodDisruptionBudget's status: how many of its pods may be evicted now. Pure. The server's eviction subresource
// takes from status.disruptionsAllowed and notes the pod in status.disruptedPods; here both are brought up to date.

#include <functional>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::disruption {

inline constexpr Duration kDeletionTimeout = 120s;  // an evicted pod that is still there after this counts again

struct View {
  Value budget;             // null: there is none
  std::vector<Value> pods;  // that its selector matches
  // How many pods the controller of a pod wants (of a ReplicaSet's Deployment where it has one), with the controller's
  // uid; nothing where that cannot be known.
  struct Scale {
    std::string uid;
    int replicas = 0;
    bool ending = false;  // it is being deleted
  };
  std::function<std::optional<Scale>(const Value& pod)> scale_of;
  // Why the size of a pod's controller can never be known; empty where it can. May be empty itself.
  std::function<std::string(const Value& pod)> unscalable = {};
};

Plan plan_budget(const View& view, Time now);

// A pod that was to be deleted for a disruption, and still is not after this, is told so by DisruptionTarget=False.
inline constexpr Duration kStaleDisruption = 120s;
Plan plan_stale(const Value& pod, Time now);

}  // namespace berth::controllers::disruption

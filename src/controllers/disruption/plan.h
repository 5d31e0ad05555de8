#pragma once
// A PodDisruptionBudget's status: how many of its pods may be evicted now. Pure. The server's eviction subresource
// decrements status.disruptionsAllowed and adds the pod to status.disruptedPods; this plan recomputes both.

#include <functional>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::disruption {

inline constexpr Duration kDeletionTimeout = 120s;  // an evicted pod that is still there after this counts again

struct BudgetView {
  Value budget;             // null: the budget does not exist
  std::vector<Value> pods;  // those that its selector matches
  // The desired size and uid of a pod's controller (of a ReplicaSet's Deployment if it has one); empty if unknown.
  struct Scale {
    std::string uid;
    int replicas = 0;
    bool ending = false;  // the controller is being deleted
  };
  std::function<std::optional<Scale>(const Value& pod)> scale_of;
  // Why the size of a pod's controller can never be known; empty if it can. The function may be empty.
  std::function<std::string(const Value& pod)> unscalable = {};
};

Plan plan_budget(const BudgetView& view, Time now);

// After this time a pod that should have been deleted for a disruption, and was not, gets DisruptionTarget=False.
inline constexpr Duration kStaleDisruption = 120s;
Plan plan_stale(const Value& pod, Time now);

}  // namespace berth::controllers::disruption

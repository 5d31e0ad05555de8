#pragma once
// The plan of a Deployment: a ReplicaSet for a new template, one step of a rolling update, scaling, and the status.
// Pure. Steps, conditions and messages are Kubernetes 1.36's.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::deployment {

struct DeploymentView {
  Value deployment;            // null: the deployment does not exist
  std::vector<Value> sets;     // controlled by the deployment
  std::vector<Value> orphans;  // ReplicaSets of the namespace without a controller
  std::vector<Value> pods;     // of its sets; needed for strategy Recreate only
  Value named;                 // the ReplicaSet with the name of the next new set, whatever its owner; or null
};

// The name of the set that plan_deployment would create; the key for DeploymentView::named.
std::string next_set_name(const Value& deployment);

Plan plan_deployment(const DeploymentView& view, Time now);

}  // namespace berth::controllers::deployment

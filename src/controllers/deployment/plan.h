#pragma once
// What a Deployment needs next: a ReplicaSet for a new template, one step of a rolling update, scaling, and its status.
// Pure. The steps, conditions and texts are Kubernetes 1.36's.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::deployment {

struct View {
  Value deployment;            // null: there is none
  std::vector<Value> sets;     // controlled by it
  std::vector<Value> orphans;  // ReplicaSets of the namespace without a controller
  std::vector<Value> pods;     // of its sets; needed for strategy Recreate only
  Value named;                 // the ReplicaSet that has the name of the next new set, whoever owns it; or null
};

// The name of the set that plan_deployment would make, to look up View::named.
std::string next_set_name(const Value& deployment);

Plan plan_deployment(const View& view, Time now);

}  // namespace berth::controllers::deployment

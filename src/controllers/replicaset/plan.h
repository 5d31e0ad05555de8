#pragma once
// What a ReplicaSet needs next: pods to create or to delete, and its status. Pure.
//
// A new pod's name is "<set>-<five characters>", drawn from the set and from the pods it is known to have: whoever decides
// from the same state takes the same names, so a repeated or doubled decision does not make more pods.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::replicaset {

struct View {
  Value set;                    // null: there is none
  std::vector<Value> pods;      // controlled by the set
  std::vector<Value> orphans;   // pods of the namespace without a controller
};

Plan plan_set(const View& view, Time now);

// The pods to delete first come first: not placed, pending, not ready, cheap, crowded, young.
void order_for_deletion(std::vector<Value>& pods, Time now);

}  // namespace berth::controllers::replicaset

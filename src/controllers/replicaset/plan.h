#pragma once
// The plan of a ReplicaSet or ReplicationController: pods to create or delete, and the status. Pure. The two kinds
// differ only in their names and in the form of their selector.
//
// A new pod's name is "<set>-<five characters>", derived from the set and its known pods: two plans of the same state
// choose the same names, so a repeated or concurrent plan creates no further pods.

#include <functional>
#include <vector>

#include "api/selector.h"
#include "controllers/driver.h"
#include "controllers/shared/members.h"

namespace berth::controllers::replicaset {

enum class OwnerKind { kReplicaSet, kReplicationController };
Ownership ownership_of(OwnerKind owner_kind);
Result<api::LabelSelector> selector_of(OwnerKind owner_kind, const Value& set);

struct ReplicaSetView {
  Value set;                   // null: the set does not exist
  std::vector<Value> pods;     // controlled by the set
  std::vector<Value> orphans;  // pods of the namespace without a controller
  OwnerKind owner_kind = OwnerKind::kReplicaSet;
  // Pods of all sets with the same controller as this one, read when pods are to be deleted; may be empty: then only
  // the set's own pods count as neighbours.
  std::function<std::vector<Value>()> related;
  // The set's pods were lost soon after their creation `losses` times recently: the next are created at `held_until`.
  Time held_until{};
  int losses = 0;
  bool report_delay = false;  // that delay has not been reported yet
};

Plan plan_set(const ReplicaSetView& view, Time now);

}  // namespace berth::controllers::replicaset

#pragma once
// What a ReplicaSet or ReplicationController needs next: pods to create or to delete, and its status. Pure. The two
// differ in their names and in the form of their selector only.
//
// A new pod's name is "<set>-<five characters>", drawn from the set and from the pods it is known to have: whoever
// decides from the same state takes the same names, so a repeated or doubled decision does not make more pods.

#include <functional>
#include <vector>

#include "api/selector.h"
#include "controllers/driver.h"
#include "controllers/shared/members.h"

namespace berth::controllers::replicaset {

enum class Form { kReplicaSet, kReplicationController };
Family family_of(Form form);
Result<api::LabelSelector> selector_of(Form form, const Value& set);

struct View {
  Value set;                   // null: there is none
  std::vector<Value> pods;     // controlled by the set
  std::vector<Value> orphans;  // pods of the namespace without a controller
  Form form = Form::kReplicaSet;
  // Pods of all sets that have the same controller as this one; may be empty: only its own count. Asked where pods are
  // to go.
  std::function<std::vector<Value>()> related;
  // Its pods were lost soon after they were made, so many times of late: the next are made then.
  Time held_until{};
  int losses = 0;
  bool tell_hold = false;  // that has not been told yet
};

Plan plan_set(const View& view, Time now);

}  // namespace berth::controllers::replicaset

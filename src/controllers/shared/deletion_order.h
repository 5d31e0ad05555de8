#pragma once
// The order in which a controller deletes its interchangeable pods. Pure. Used by ReplicaSets and Jobs.

#include <optional>
#include <vector>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers {

// When the pod became ready; empty if it is not ready.
std::optional<Time> ready_since(const Value& pod);

// Sorts the pods so that those to delete first come first: unscheduled, pending, not ready, low deletion cost, many
// neighbours on the node, ready most recently, restarted most often, youngest. Times are compared by their order of
// magnitude, so that not always the youngest pods are deleted. `related`: the pods that count as neighbours.
void order_for_deletion(std::vector<Value>& pods, const std::vector<Value>& related, Time now);

}  // namespace berth::controllers

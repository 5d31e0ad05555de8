#pragma once
// Which of a controller's interchangeable pods goes first. Pure. Used by ReplicaSets and Jobs.

#include <optional>
#include <vector>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers {

// Since when the pod is ready; not set where it is not.
std::optional<Time> ready_since(const Value& pod);

// The pods to delete first come first: not placed, pending, not ready, cheap, crowded, ready since lately, often
// restarted, young. Times are compared by their order of magnitude, so that not always the youngest go. `related`: the
// pods that make a node crowded.
void order_for_deletion(std::vector<Value>& pods, const std::vector<Value>& related, Time now);

}  // namespace berth::controllers

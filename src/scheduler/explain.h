#pragma once
// Berth's own explanations, appended to upstream's message.

#include <string>

#include "scheduler/filter/filter.h"

namespace berth::scheduler {

// If the pod cannot be scheduled because a claim's volume is usable on some nodes only: names the claim, the location
// of its volume, why the nodes there reject the pod, and what would help. "" if volumes are not the cause.
std::string explain_volumes(const FilterInput& input, const Snapshot& snapshot);

}  // namespace berth::scheduler

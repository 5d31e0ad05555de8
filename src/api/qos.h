#pragma once
// A pod's class of service. Pure.

#include <string>

#include "base/json/json.h"

namespace berth::api {

// "Guaranteed": every container has equal limits and requests of cpu and memory. "BestEffort": no container has any.
// Else "Burstable".
std::string qos_class(const Value& pod);

}  // namespace berth::api

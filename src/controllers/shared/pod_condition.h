#pragma once
// Conditions of a pod's status that controllers write, not the pod's agent.

#include <string_view>

#include "controllers/driver.h"

namespace berth::controllers {

// Sets the condition and, where not empty, the phase. An empty type sets the phase only.
Action pod_condition(const Value& pod, std::string_view type, std::string_view status, std::string_view reason,
                     std::string_view message, Time now, std::string_view phase = {});

}  // namespace berth::controllers

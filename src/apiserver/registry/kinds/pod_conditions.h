#pragma once
// Conditions of pods that the API server itself sets. Pure.

#include <string_view>

#include "base/json/json.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {

// The condition PodScheduled; conditions without lastProbeTime get a null one, as upstream writes them.
void set_scheduled(Value& pod, std::string_view status, std::string_view reason, std::string_view message, Time now);

}  // namespace berth::apiserver::registry

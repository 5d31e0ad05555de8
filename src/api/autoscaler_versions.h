#pragma once
// HorizontalPodAutoscalers have two API forms and are stored in that of autoscaling/v2. What autoscaling/v1 has no
// fields for (metrics other than the processors' utilization, behavior, conditions) is kept in its annotations. Pure.

#include "base/json/json.h"

namespace berth::api {

// Annotations that cannot be read are dropped with what they said.
Value autoscaler_to_v2(Value v1);
Value autoscaler_to_v1(Value v2);

}  // namespace berth::api

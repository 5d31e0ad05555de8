#pragma once
// RuntimeClasses: the overhead and scheduling that a pod gets from its class.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

// Gives a new pod its class's overhead and scheduling.
Status admit_runtime_class(const Request& request, Value& pod);
// Refuses a new pod with an overhead other than its class's.
Status check_overhead(const Change& change);

}  // namespace berth::apiserver::admission

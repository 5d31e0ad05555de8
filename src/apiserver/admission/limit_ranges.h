#pragma once
// LimitRanges: the defaults that containers get from them, and the bounds that pods and claims must keep to.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

// Fills in the requests and limits that the pod's containers lack, and names them in an annotation.
void apply_limit_defaults(const Request& request, Value& pod);
// Refuses a new or resized pod out of the bounds of its namespace.
Status check_pod_limits(const Change& change);
// The same for a new or changed claim.
Status check_claim_limits(const Change& change);

}  // namespace berth::apiserver::admission

#pragma once
// pods/resize: whether the pod's node can hold the new resources.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

// Refuses a resize that the pod's node can never hold, or does not know how to do.
Status check_resize(const Change& change);

}  // namespace berth::apiserver::admission

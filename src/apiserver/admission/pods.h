#pragma once
// What a new pod gets from its namespace and its cluster: service account, token, defaults of LimitRanges, tolerations,
// priority, runtime class.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

Status admit_pod(const Request& request, Value& pod);
// Pods tolerate nodes that are not ready or do not answer for five minutes, unless their tolerations say otherwise.
Status admit_pod_update(const Request& request, Value& pod);

}  // namespace berth::apiserver::admission

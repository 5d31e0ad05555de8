#pragma once
// Nodes: no pod is scheduled to a new node before it has been seen ready.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

// Taints a new node as not ready; the taint controller removes it.
Status admit_node(const Request& request, Value& node);

}  // namespace berth::apiserver::admission

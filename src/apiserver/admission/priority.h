#pragma once
// Priority: which class a pod belongs to, and the rules that hold between classes.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

// Resolves the pod's class into its priority and preemption policy.
Status admit_priority(const Request& request, Value& pod);
// Refuses a second class with globalDefault.
Status admit_priority_class(const Request& request, Value& object);
// Refuses to delete the two classes that every cluster has.
Status check_priority_class_deletion(const Request& request);

}  // namespace berth::apiserver::admission

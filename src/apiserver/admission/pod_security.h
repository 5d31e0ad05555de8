#pragma once
// Pod Security admission: by the labels of the namespace, refuses pods that violate its enforced level, and warns of
// pods and templates that violate its warned one.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

// Of pods that are created, changed, resized or given ephemeral containers.
Status check_pod_security(const Change& change);
// Of the labels of a namespace; warns of its pods that violate a stricter level.
Status check_namespace_security(const Change& change);
// Warns of a workload's template. Refuses nothing.
void warn_of_template_security(const Change& change, const Value& pod_template);

}  // namespace berth::apiserver::admission

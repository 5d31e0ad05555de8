#pragma once
// Namespaces: they must exist, and not be terminating, for objects to be created in them.

#include "apiserver/admission/request.h"

namespace berth::apiserver::admission {

// `while_terminating`: objects of the kind may be created in a namespace that is being deleted.
Status check_namespace(const Request& request, bool while_terminating);
// Labels a new namespace with its name.
Status admit_namespace(const Request& request, Value& object);
// Refuses to delete the namespaces that every cluster has.
Status check_namespace_deletion(const Request& request);

}  // namespace berth::apiserver::admission

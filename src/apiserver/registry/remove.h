#pragma once
// Deletion: preconditions, grace, finalizers, propagation. On the loop's thread; answers like write.h.

#include <string>

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

void remove_object(const StatePtr& state, const Call& call, const api::DeleteOptions& options, Done done);
// The same with a condition that a pod gets with its deletion, or null.
void remove_with_condition(const StatePtr& state, const Call& call, const api::DeleteOptions& options,
                           const Value& condition, Done done);
// Whether the object is terminating and nothing holds it.
bool is_removable(const api::schema::Kind& kind, const Value& object);

}  // namespace berth::apiserver::registry

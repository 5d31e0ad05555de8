#pragma once
// Subresources of pods.

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

// pods/binding: assigns the pod to a node. `binding`: a Binding.
void bind_pod(const StatePtr& state, const Call& call, Value binding, Done done);
// pods/eviction: a deletion that the disruption budgets must allow. `eviction`: an Eviction.
void evict_pod(const StatePtr& state, const Call& call, Value eviction, Done done);
// pods/ephemeralcontainers and pods/resize (SubresourceStrategy::merge). Containers that were added, removed or renamed
// are left as sent, for validation to refuse.
Value merge_ephemeral_containers(const Value& before, Value sent);
Value merge_resize(const Value& before, Value sent);

}  // namespace berth::apiserver::registry

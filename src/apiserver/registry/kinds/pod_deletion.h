#pragma once
// Deletion of pods: their grace period, and the budgets that count it.

#include "apiserver/registry/kind_strategy.h"

namespace berth::apiserver::registry {

// Sets or shortens the pod's end. False: it stays as it is.
bool mark_pod_deleted(Registry::State& state, Value& pod, std::int64_t grace);
// remove_object() after every budget that counts deletions has allowed it.
void remove_within_budgets(const StatePtr& state, const Call& call, const api::DeleteOptions& options, Done done);

}  // namespace berth::apiserver::registry

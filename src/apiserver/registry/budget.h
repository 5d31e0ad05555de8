#pragma once
// What evictions, and deletions where a budget counts them too, ask of PodDisruptionBudgets. Internal to registry/.

#include <string>
#include <vector>

#include "apiserver/registry/state.h"

namespace berth::apiserver::registry {

// The newest submitted version of each budget that the pod belongs to.
std::vector<store::RecordPtr> budgets_of(const Registry::State& state, const Value& pod);
// Whether the budget lets one more pod go. `refusal` is the message of a 429; the cause names the budget and its
// numbers.
Status check_budget(const Value& budget, const std::string& refusal);
// The budget after it has let that pod go.
Value paid(const Value& budget, const std::string& pod, Time now);

}  // namespace berth::apiserver::registry

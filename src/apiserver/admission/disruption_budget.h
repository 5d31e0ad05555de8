#pragma once
// PodDisruptionBudgets: which budgets a pod belongs to, whether they allow one more disruption, and their status after
// it. The writes are the registry's.

#include <string>
#include <vector>

#include "apiserver/admission/request.h"
#include "base/time/time.h"

namespace berth::apiserver::admission {

// The newest submitted version of each budget that selects the pod.
std::vector<store::RecordPtr> budgets_of(const ObjectReader& objects, const Value& pod);
// Whether the budget allows one more disruption. `refusal` is the message of a 429; the cause names the budget and its
// numbers.
Status check_budget(const Value& budget, const std::string& refusal);
// The budget after the disruption of that pod.
Value with_disruption(const Value& budget, const std::string& pod, Time now);

// Whether the budget asks by annotation (berth.dev/...) to count every deletion, not only evictions.
bool counts_deletions(const Value& budget);
// check_budget() for a deletion: the cause is part of the message too, which is all that kubectl prints.
Status check_deletion_budget(const Value& budget);

}  // namespace berth::apiserver::admission

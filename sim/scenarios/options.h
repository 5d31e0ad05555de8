#pragma once
// What people ask of their sets and budgets by annotation, drawn from the seed.

#include "base/json/json.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

// Annotations of a set; `templates`: it may change its claim templates.
Value any_options(World& world, bool templates);
// Others for one of them: a merge patch of the annotations.
Value changed_option(World& world, bool templates);
// One template more or less, a larger one, or one with other attributes.
Value changed_claim_templates(World& world, Value templates);
// Of a PodDisruptionBudget.
Value any_budget_spec(World& world);
Value any_budget_annotations(World& world);

}  // namespace berth::sim

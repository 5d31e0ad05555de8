#pragma once
// Options of sets and budgets (annotations), drawn from the seed.

#include "base/json/json.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

// Annotations of a set; `templates`: it has claim templates that may change.
Value any_options(World& world, bool templates);
// A merge patch that changes one of the annotations.
Value changed_option(World& world, bool templates);
// Adds or removes one template, or changes size or attributes of one.
Value changed_claim_templates(World& world, Value templates);
// Of a PodDisruptionBudget.
Value any_budget_spec(World& world);
Value any_budget_annotations(World& world);

}  // namespace berth::sim

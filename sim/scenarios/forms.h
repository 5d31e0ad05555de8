#pragma once
// All forms of a StatefulSet's fields with the same meaning: each optional field absent, explicit with its default, or
// with another value. Drawn from the seed.

#include "base/json/json.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

// spec.updateStrategy. As a merge patch (`patch`) it removes fields that it does not contain; otherwise null means
// absent.
Value any_strategy(World& world, bool patch);
// spec.persistentVolumeClaimRetentionPolicy: complete, one field of it, empty, or null: absent.
Value any_retention(World& world);
// spec.ordinals; null: absent.
Value any_ordinals(World& world);
// The pod template's spec, without nodeName.
Value any_template_spec(World& world);
// Sets the other optional fields of a new set's spec.
void spell_out(World& world, Value& spec, bool ordered);

// A set or revision as an earlier release stored it: without fields that equal their defaults. Null: unchanged. The
// meaning stays the same.
Value as_stored_before(const Value& object);

}  // namespace berth::sim

#pragma once
// Every form in which the same thing may be asked of a StatefulSet: each optional field left out, spelled out with its
// default, or with another value. Drawn from the seed.

#include "base/json/json.h"
#include "sim/sim_runtime.h"

namespace berth::sim {

// spec.updateStrategy. As a merge patch (`patch`) it takes away what it does not name; otherwise null: left out.
Value any_strategy(World& world, bool patch);
// spec.persistentVolumeClaimRetentionPolicy: whole, one half of it, empty, or null: left out.
Value any_retention(World& world);
// spec.ordinals; null: left out.
Value any_ordinals(World& world);
// The pod template's spec, without nodeName.
Value any_template_spec(World& world);
// The other optional fields of a new set's spec.
void spell_out(World& world, Value& spec, bool ordered);

// A set or revision as an earlier release stored it: without what defaults say anyway. Null: as it is. Changes nothing
// that is asked for.
Value as_stored_before(const Value& object);

}  // namespace berth::sim

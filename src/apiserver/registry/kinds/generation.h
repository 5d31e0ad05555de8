#pragma once
// What metadata.generation counts (KindStrategy::changes_generation). Pure.

#include "base/json/json.h"

namespace berth::apiserver::registry {

inline bool spec_changes(const Value& before, const Value& after) { return before["spec"] != after["spec"]; }

}  // namespace berth::apiserver::registry

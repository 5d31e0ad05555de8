#pragma once
// What a Value takes in memory.

#include <cstddef>

#include "base/json/json.h"

namespace berth::json {

// Bytes of the blocks of those nodes of `value` that `base` does not have at the same place: all of them where `base` is
// null. Members are compared by key, elements by index. Costs what differs, and the siblings of that.
std::size_t memory_beyond(const Value& value, const Value& base);

}  // namespace berth::json

#pragma once
// The memory that a Value takes.

#include <cstddef>

#include "base/json/json.h"

namespace berth::json {

// Bytes of the allocations that `value` has and `base` does not share at the same place (members by key, elements by
// index); all of them where `base` is null. Visits only nodes that are not shared, and their direct children.
std::size_t memory_beyond(const Value& value, const Value& base);

}  // namespace berth::json

#pragma once
// Empty lists and maps that a client gave. Go's decoder tells them from absent ones until an object is stored, so rules
// about fields that may not be set see them. Pure; any thread.

#include "api/schema/schema.h"

namespace berth::api::schema {

// decode(), but with the empty lists and maps kept. `any`: whether there are some.
Result<Value> decode_with_empty(const Kind& kind, const Value& object, DecodeProblems* problems, bool& any);
// The decoded object as it is stored: without them.
Value without_empty(const Kind& kind, const Value& object);
// `before` with the empty lists and maps that `after` has where `before` has nothing, so that the two differ only where
// they mean something else.
Value with_same_empty(const Kind& kind, Value before, const Value& after);

}  // namespace berth::api::schema

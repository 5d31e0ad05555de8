#pragma once
// RFC 6902 with the library's own words. The API answers a failure in general words only (see apply_json_patch);
// these are for logs and tests.

#include "base/json/json.h"
#include "base/result.h"

namespace berth::api::patch {

inline constexpr std::size_t kMaxJsonPatchOperations = 10'000;
// Of the JSON text that all `copy` operations of a patch add (upstream's JSONPatchMaxCopyBytes).
inline constexpr std::size_t kMaxJsonPatchCopyBytes = 3u << 20;
// Of elements and members that all operations of a patch move to make room or close a gap.
inline constexpr std::size_t kMaxJsonPatchMoves = 50'000'000;
// Of the document, at any time: as deep as a body may be (json::ParseOptions).
inline constexpr std::size_t kMaxJsonPatchDepth = 10'000;

// kBadRequest: no patch at all. kTooLarge: too many operations. kInvalid: an operation does not apply, or would make
// the document too large or too deep.
Result<Value> apply_operations(const Value& object, const Value& patch);

}  // namespace berth::api::patch

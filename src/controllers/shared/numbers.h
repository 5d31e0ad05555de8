#pragma once
// Reads numbers from objects for planners. Whatever is stored (by an older release, or damaged on disk), the result
// lies within the range of the field, so that a planner's sums do not overflow. Pure.

#include <cstdint>
#include <string>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers {

// A count, clamped to 0..2^31-1; `fallback` if the value is no number.
int count_in(const Value& value, int fallback = 0);
// A number of seconds, clamped likewise.
Duration seconds_in(const Value& value, int fallback = 0);
// An IntOrString: the number, or that percentage of `total`; 0 to 2^31-1. `fallback` if the value is neither.
int part_in(const Value& value, int total, bool round_up, int fallback = 0);
// The next revision number; the largest int64 has no successor and is returned itself.
std::int64_t number_after(std::int64_t number);

// Why a workload (its spec.replicas, spec.parallelism, ..., the labels of its template) cannot be reconciled; empty if
// it can. The API server refuses such objects, so this one was stored by another program. Its controller writes nothing
// for it.
std::string why_unusable(const Value& workload);

}  // namespace berth::controllers

#pragma once
// Numbers read out of objects for planners. Whatever is stored (an object of an older release, one damaged on disk),
// the answer lies within the range of the field, so that no sum of a planner overflows. Pure.

#include <cstdint>
#include <string>

#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers {

// A count: 0 to 2^31-1, the nearest of these to what is stored; `fallback` where nothing, or no number, is.
int count_in(const Value& value, int fallback = 0);
// A number of seconds, bounded likewise.
Duration seconds_in(const Value& value, int fallback = 0);
// An IntOrString: the number, or so many percent of `total`; 0 to 2^31-1. `fallback` where it is neither.
int part_in(const Value& value, int total, bool round_up, int fallback = 0);
// The next revision number; the largest there is has none after it.
std::int64_t number_after(std::int64_t number);

// Why a workload (its spec.replicas, spec.parallelism, ..., the labels of its template) cannot be acted on; empty where
// it can. The API server refuses such objects, so one was stored by something else. Its controller leaves everything as
// it is.
std::string why_unusable(const Value& workload);

}  // namespace berth::controllers

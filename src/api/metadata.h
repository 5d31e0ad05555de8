#pragma once
// Rules over an object's metadata that several components follow. Pure.

#include <cstdint>
#include <string_view>

#include "base/json/json.h"

namespace berth::api {

bool has_finalizer(const Value& object, std::string_view finalizer);

// metadata.finalizers without this one; an empty array where none is left.
Value finalizers_without(const Value& object, std::string_view finalizer);

// metadata.resourceVersion as the number it is here (a revision of the store), to tell which of two versions is newer;
// 0 where it is missing or no number.
std::int64_t resource_version_number(const Value& object);

// {"metadata": {field: value}}, the body of a merge patch of one field.
Value in_metadata(std::string_view field, Value value);

}  // namespace berth::api

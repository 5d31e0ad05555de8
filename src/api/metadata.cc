#include "api/metadata.h"

#include <algorithm>

#include "api/object.h"
#include "base/text.h"

namespace berth::api {

bool has_finalizer(const Value& object, std::string_view finalizer) {
  const Value& all = object["metadata"]["finalizers"];
  return std::any_of(all.begin(), all.end(), [&](const Value& one) { return one.as_string() == finalizer; });
}

Value finalizers_without(const Value& object, std::string_view finalizer) {
  Value out = Value::array();
  for (const Value& one : object["metadata"]["finalizers"]) {
    if (one.as_string() != finalizer) out.push(one);
  }
  return out;
}

std::int64_t resource_version_number(const Value& object) {
  const auto parsed = parse_int(resource_version_of(object));
  return parsed.ok() ? parsed.value() : 0;
}

Value in_metadata(std::string_view field, Value value) {
  return Value::object({{"metadata", Value::object({{field, std::move(value)}})}});
}

}  // namespace berth::api

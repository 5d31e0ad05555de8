#pragma once
// Values of causes that are objects or lists, as upstream prints them: since 1.36 as JSON, of its internal types (Go's
// field names, everything written) or, for label selectors, of the type that clients see. Internal
// to validation/.

#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::apiserver::validation {

// `type`: the OpenAPI name of the value's type, "io.k8s.api.core.v1.SeccompProfile".
std::string shown_as_go(const Value& value, std::string_view type);
std::string shown_selector(const Value& selector);
// How two values of a type differ: their internal JSON, indented, line by line.
std::string go_diff(const Value& before, const Value& after, std::string_view type);

}  // namespace berth::apiserver::validation

#pragma once
// Errors about bodies that cannot be read, in the words of Go's decoders, which clients and tests compare. Pure; any
// thread.

#include <string>
#include <string_view>

#include "base/json/go_error.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::apiserver::rest {

// Of encoding/json: see base/json/go_error.h.
using json::go_error_text;
// Of go-yaml: "yaml: line 6: did not find expected key".
std::string yaml_error_text(const Error& problem);
// Of reading apiVersion and kind of something that is no object.
std::string wrong_type_meta_text(const Value& value);
// Go's name of a JSON value's type: "array", "bool", "number", "object", "string".
std::string_view go_type_of(const Value& value);
// The beginning of a body as errors show it: text where it begins like an object, hexadecimal otherwise.
std::string body_summary(std::string_view body);

}  // namespace berth::apiserver::rest

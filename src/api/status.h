#pragma once
// The one place that maps an Error to a Kubernetes Status object and back, and that words the usual refusals.

#include <string>
#include <string_view>

#include "api/object.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::api {

int http_code(Code code);
std::string_view status_reason(Code code);  // "NotFound", "Invalid", ...

// {"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":...,"reason":...,"details":...,"code":...}
Value to_status(const Error& error);
// The reverse, for clients over HTTP. `http` decides where the body is no Status.
Error from_status(int http, const Value& body);

// pods "x" not found
Error not_found(const Resource& resource, std::string_view name);
// pods "x" already exists
Error already_exists(const Resource& resource, std::string_view name);
// Operation cannot be fulfilled on pods "x": <why>
Error conflict(const Resource& resource, std::string_view name, std::string_view why);
// Pod "x" is invalid: <causes, as upstream joins them>
Error invalid(std::string_view group, std::string_view kind, std::string_view name, std::vector<Cause> causes);
// pods "x" is forbidden: <why>
Error forbidden(const Resource& resource, std::string_view name, std::string_view why);

// Causes of one field, worded as k8s.io/apimachinery's field.Error does.
Cause required(std::string field, std::string_view detail = {});                      // Required value[: detail]
Cause invalid_value(std::string field, const Value& value, std::string_view detail);  // Invalid value: "x": detail
Cause not_supported(std::string field, const Value& value,
                    const std::vector<std::string>& supported);  // Unsupported value: "x": supported values: "a", "b"
Cause duplicate(std::string field, const Value& value);          // Duplicate value: "x"
Cause forbidden_field(std::string field, std::string_view detail);  // Forbidden: detail
Cause not_found_field(std::string field, const Value& value);       // Not found: "x"
Cause too_long(std::string field, const Value& value, int limit);   // Too long: may not be more than N bytes
Cause too_many(std::string field, int found, int limit);            // Too many: N: must have at most M items

}  // namespace berth::api

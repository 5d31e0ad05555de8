#pragma once
// Validation of whole objects: what Kubernetes 1.36 accepts, in the words it refuses with. Pure; any thread.
// Objects come here decoded, pruned and defaulted.

#include <string>
#include <vector>

#include "api/schema/schema.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::apiserver::validation {

// Empty: valid. Causes are in upstream's order.
std::vector<Cause> validate_create(const api::schema::Kind& kind, const Value& object);
// `subresource`: "" for the main resource, "status", ...
std::vector<Cause> validate_update(const api::schema::Kind& kind, const Value& before, const Value& after,
                                   std::string_view subresource);

// Deprecated or ignored fields of objects that are accepted, in upstream's words. `object`, `after`: valid, defaulted
// and admitted. An update of a subresource warns of nothing.
std::vector<std::string> warnings_on_create(const api::schema::Kind& kind, const Value& object);
std::vector<std::string> warnings_on_update(const api::schema::Kind& kind, const Value& before, const Value& after);

// Families and addresses of a Service's spec alone, before it is given what it lacks.
// `old`: the addresses that it has.
std::vector<Cause> validate_service_addresses(const Value& spec, const Value& old);

// Also used on their own. Each returns the text of the complaint, or an empty list.
std::vector<std::string> is_dns1123_label(std::string_view text);
std::vector<std::string> is_dns1123_subdomain(std::string_view text);
std::vector<std::string> is_dns1035_label(std::string_view text);
std::vector<std::string> is_qualified_name(std::string_view text);  // label and annotation keys
std::vector<std::string> is_label_value(std::string_view text);
std::vector<std::string> is_path_segment(std::string_view text);  // what a name in the path of a URL may be
// Whether a resource of this name can be an extended one: not Kubernetes' own, and "requests." can stand before it.
bool is_extended_resource(std::string_view name);

}  // namespace berth::apiserver::validation

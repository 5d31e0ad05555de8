#pragma once
// Discovery documents, from the schema. Pure.

#include <optional>
#include <string_view>

#include "api/schema/schema.h"
#include "base/json/json.h"

namespace berth::apiserver::rest {

Value api_versions(std::string_view server_address);                                        // /api
Value api_group_list(const api::schema::Schema& schema);                                    // /apis
std::optional<Value> api_group(const api::schema::Schema& schema, std::string_view group);  // /apis/<group>
// /api/v1 (group "") and /apis/<group>/<version>.
std::optional<Value> api_resource_list(const api::schema::Schema& schema, std::string_view group,
                                       std::string_view version);
// APIGroupDiscoveryList of the core group (/api) or of the named groups (/apis). `version`: "v2" or "v2beta1".
Value aggregated_discovery(const api::schema::Schema& schema, bool core, std::string_view version);

}  // namespace berth::apiserver::rest

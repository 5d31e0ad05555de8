#pragma once
// OpenAPI documents from the schema, made when asked for, any thread. Kept: the v2 protobuf and the hashes of v3.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "api/schema/schema.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::apiserver::openapi {

// What clients put into Accept for v2_protobuf(), and what the answer's Content-Type has to be: '@' is not allowed in a
// media type, and kubectl refuses an answer that carries it.
inline constexpr std::string_view kV2ProtobufAccept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
inline constexpr std::string_view kV2ProtobufContentType = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

// /openapi/v2 as JSON.
std::string v2_json(const api::schema::Schema& schema);
// The same as openapi.v2.Document protobuf (gnostic's openapiv2): what kubectl up to 1.26 asks for.
std::string v2_protobuf(const api::schema::Schema& schema);
// SHA-256 of v2_json() in hex: the ETag of both forms.
std::string v2_hash(const api::schema::Schema& schema);
// /openapi/v3: {"paths": {"apis/apps/v1": {"serverRelativeURL": "/openapi/v3/apis/apps/v1?hash=..."}}}
Value v3_index(const api::schema::Schema& schema);
// /openapi/v3/<path>, e.g. "apis/apps/v1" or "api/v1".
Result<std::string> v3_json(const api::schema::Schema& schema, std::string_view path);

// One of these documents, shared by all answers that hold it: "v2", "v2-protobuf", or a path of v3. Null
// where there is no such document.
std::shared_ptr<const std::string> shared_document(const api::schema::Schema& schema, const std::string& name);

}  // namespace berth::apiserver::openapi

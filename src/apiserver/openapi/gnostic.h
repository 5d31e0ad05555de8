#pragma once
// Inside the openapi module: an OpenAPI v2 document in gnostic's protobuf form (openapi.v2.Document), as kubectl reads
// it.

#include <string>

#include "base/json/json.h"

namespace berth::apiserver::openapi {

// Of the members that v2_json() writes; others are left out.
std::string gnostic_document(const Value& document);

}  // namespace berth::apiserver::openapi

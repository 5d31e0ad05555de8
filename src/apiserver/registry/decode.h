#pragma once
// Bodies of requests as objects: kind and version are checked, fields decoded strictly or not, name and namespace
// fitted to the path. Pure. Errors are kBadRequest in upstream's words; unknown and repeated fields are appended to
// `warnings` where the request does not ask for strictness.

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/registry/registry.h"

namespace berth::apiserver::registry {

// An object of the request's kind, without empty lists and maps.
Result<Value> decode_object(const Call& call, Value object, std::vector<std::string>& warnings);
// The same for create_object() and update_object(), with the empty lists and maps that the client sent; `has_empty`:
// whether there are any. `json_text`: as in Registry::create().
Result<Value> decode_with_empty(const Call& call, Value object, std::vector<std::string>& warnings, bool& has_empty,
                                std::string_view json_text = {});
// Of any kind, without regard to the path: an object that is sent to something else than its own collection.
Result<Value> decode_as(const api::schema::Kind& kind, const Call& call, Value object,
                        std::vector<std::string>& warnings, std::string_view json_text = {});
// The body of a subresource with a kind of its own (Scale, Binding, Eviction, TokenRequest).
Result<Value> decode_subresource(const api::schema::Schema& schema, const Call& call, Value object,
                                 std::vector<std::string>& warnings, std::string_view json_text = {});
// The body of a server-side apply: kind and path are checked. A field manager owns exactly the fields that it sent, so
// nothing is decoded or filled in yet.
Result<Value> check_applied(const Call& call, Value object);

}  // namespace berth::apiserver::registry

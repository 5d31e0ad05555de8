#pragma once
// What a path asks for: upstream's RequestInfo. Pure.

#include <string>
#include <string_view>

namespace berth::apiserver::rest {

struct Route {
  bool is_resource = false;    // false: `rest` is the whole path, of something else (/version, /api, /openapi/...)
  std::string group, version;  // group is empty for /api/v1
  std::string ns, resource, name, subresource;
  std::string rest;           // what follows the subresource: "/a/b" of .../proxy/a/b
  bool watch_prefix = false;  // /api/v1/watch/...
};

// "/api/v1/namespaces/ns/pods/x/log" -> the parts. Trailing slashes are ignored.
Route parse_route(std::string_view path);

// The verb of authorisation and metrics: get, list, watch, create, update, patch, delete, deletecollection.
std::string request_verb(std::string_view method, const Route& route, bool watch);

}  // namespace berth::apiserver::rest

#include "apiserver/rest/route.h"

#include <algorithm>
#include <vector>

#include "base/text.h"

namespace berth::apiserver::rest {

Route parse_route(std::string_view path) {
  Route route;
  if (path.find("//") != path.npos) return route;
  std::vector<std::string_view> parts;
  parts.reserve(8);
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    if (end > at) parts.push_back(path.substr(at, end - at));
    at = end + 1;
  }
  std::size_t i = 0;
  if (parts.size() >= 3 && parts[0] == "api") {
    route.version = parts[1];
    i = 2;
  } else if (parts.size() >= 4 && parts[0] == "apis") {
    route.group = parts[1];
    route.version = parts[2];
    i = 3;
  } else {
    route.rest = path;
    return route;
  }
  if (parts[i] == "watch" && i + 1 < parts.size()) {
    route.watch_prefix = true;
    ++i;
  }
  route.is_resource = true;
  // namespaces/<ns>/<resource>... unless it is the Namespace object itself (or one of its subresources).
  bool is_namespace_subresource = i + 2 < parts.size() && (parts[i + 2] == "status" || parts[i + 2] == "finalize");
  if (parts[i] == "namespaces" && i + 2 < parts.size() && !is_namespace_subresource) {
    route.ns = parts[i + 1];
    i += 2;
  }
  route.resource = parts[i++];
  if (i < parts.size()) route.name = parts[i++];
  if (i < parts.size()) route.subresource = parts[i++];
  for (; i < parts.size(); ++i) route.rest.append("/").append(parts[i]);
  return route;
}

std::string request_verb(std::string_view method, const Route& route, bool watch) {
  if (method == "GET" || method == "HEAD") {
    if (watch || route.watch_prefix) return "watch";
    return route.name.empty() ? "list" : "get";
  }
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return route.name.empty() ? "deletecollection" : "delete";
  return lower(method);
}

}  // namespace berth::apiserver::rest

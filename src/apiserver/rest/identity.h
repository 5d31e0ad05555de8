#pragma once
// Authentication and authorization of requests. Internal to rest/.

#include <string>
#include <string_view>

#include "apiserver/rest/rest_server.h"
#include "apiserver/rest/route.h"

namespace berth::apiserver::rest {

// The user of a request, after impersonation. kUnauthorized: the credentials are unknown. kForbidden, kBadRequest:
// the caller may not impersonate the user of the Impersonate- headers, or they name none.
Result<registry::User> identify(const RestConfig& config, registry::Registry& registry, const http::Request& request);

struct Decision {
  bool allowed = false;
  std::string reason;  // of a refusal; may be empty
};
// Whether `user` may do this. Only a coarse rule so far: see docs/compatibility.md, "Authorization". `fields`: the
// field selector of a list or watch.
Decision decide(registry::Registry& registry, const registry::User& user, std::string_view verb, const Route& route,
                std::string_view fields);
// Upstream's 403.
Error forbidden_request(const registry::User& user, std::string_view verb, const Route& route, std::string_view path,
                        std::string_view reason = {});

}  // namespace berth::apiserver::rest

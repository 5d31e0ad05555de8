#pragma once
// Service-account tokens: signed for TokenRequests, checked on requests.

#include <string>
#include <string_view>

#include "api/registry/registry.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth {

// The token's text for these claims.
Result<std::string> sign_service_account_token(const std::string& key_pem, const Value& claims);

// Who the token speaks for. kUnauthorized: a bad signature, expired, of another issuer, or of a service account, pod or
// secret that is gone (or was made again under the same name).
Result<registry::User> authenticate_service_account(const std::string& key_pem, registry::Registry& registry,
                                                    std::string_view issuer, std::string_view token, Time now);

}  // namespace berth

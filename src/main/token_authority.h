#pragma once
// Service-account tokens: signed for TokenRequests, verified on requests.

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/registry/registry.h"
#include "apiserver/rest/rest_server.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth {

// The signed token for these claims.
Result<std::string> sign_service_account_token(const std::string& key_pem, const Value& claims);

// The token of a Secret of type kubernetes.io/service-account-token: never expires, valid while the Secret contains it.
Result<std::string> sign_secret_token(const std::string& key_pem, const Value& account, const Value& secret);

struct TokenCheck {
  std::string key_pem;
  std::string issuer;                  // of tokens from TokenRequests
  std::vector<std::string> audiences;  // the API's own: of tokens without an audience
};

// The user of the token for one of `accepted_audiences`. kUnauthorized: not a token of this cluster (with an empty
// message), or one for other audiences, expired, not valid yet, or bound to an account, pod, secret or node that is
// gone or has another uid; the message is upstream's.
Result<apiserver::rest::TokenHolder> authenticate_service_account(const TokenCheck& check,
                                                                  apiserver::registry::Registry& registry,
                                                                  std::string_view token,
                                                                  const std::vector<std::string>& accepted_audiences,
                                                                  Time now);

}  // namespace berth

#pragma once
// Service-account tokens: signed for TokenRequests, checked on requests.

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/registry/registry.h"
#include "apiserver/rest/rest_server.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth {

// The token's text for these claims.
Result<std::string> sign_service_account_token(const std::string& key_pem, const Value& claims);

// The token of a Secret of type kubernetes.io/service-account-token: without an end, good while the Secret holds it.
Result<std::string> sign_secret_token(const std::string& key_pem, const Value& account, const Value& secret);

struct TokenCheck {
  std::string key_pem;
  std::string issuer;                  // of tokens that were asked for
  std::vector<std::string> audiences;  // what tokens without an audience are for: the API's own
};

// Who the token speaks for to one of the `wanted` audiences. kUnauthorized: no token of ours (the message is empty
// then), or one for others, ended, not valid yet, or bound to an account, pod, secret or node that is gone or another
// one by now; the message says which, in upstream's words.
Result<apiserver::rest::TokenHolder> authenticate_service_account(const TokenCheck& check,
                                                                  apiserver::registry::Registry& registry,
                                                                  std::string_view token,
                                                                  const std::vector<std::string>& wanted, Time now);

}  // namespace berth

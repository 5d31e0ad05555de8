#pragma once
// Tokens written down in a file, one a line, as kube-apiserver's --token-auth-file: token,user,uid,"group1,group2".

#include <string>
#include <unordered_map>
#include <vector>

#include "apiserver/rest/rest_server.h"
#include "base/result.h"

namespace berth::apiserver::rest {

using StaticTokens = std::unordered_map<std::string, registry::User>;

// The user of such a token, where the API itself (`own`) is among the requested audiences; otherwise kUnauthorized.
Result<TokenHolder> static_holder(const registry::User& user, const std::vector<std::string>& own,
                                  const std::vector<std::string>& wanted);

// Nothing where there is no such file; kInvalid (with the line's number) where a line has no token, user or uid field.
Result<StaticTokens> read_static_tokens(const std::string& path);

}  // namespace berth::apiserver::rest

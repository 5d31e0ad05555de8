#pragma once
// Tokens written down in a file, one a line, as kube-apiserver's --token-auth-file: token,user,uid,"group1,group2".

#include <string>
#include <unordered_map>

#include "api/registry/registry.h"
#include "base/result.h"

namespace berth::rest {

using StaticTokens = std::unordered_map<std::string, registry::User>;

// Nothing where there is no such file; kInvalid (with the line's number) where a line has no token, user or uid field.
Result<StaticTokens> read_static_tokens(const std::string& path);

}  // namespace berth::rest

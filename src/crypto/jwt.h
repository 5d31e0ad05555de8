#pragma once
// Signed tokens (JWS, compact form) for service accounts: RS256 and ES256, chosen by the key. Any thread.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::crypto {

enum class KeyKind { kEcdsa, kRsa };
Result<std::string> make_private_key(KeyKind kind);                  // PEM
Result<std::string> public_key(const std::string& private_key_pem);  // PEM

// One key as JSON ({"use":"sig","kty":...,"kid":...,"alg":...}), from a public or a private key.
Result<std::string> public_key_jwk(const std::string& key_pem);
// The key id: SHA-256 of its DER form, base64url.
Result<std::string> key_id(const std::string& key_pem);

// `claims`: a JSON object as text.
Result<std::string> sign_token(const std::string& private_key_pem, std::string_view claims);
// The claims as text if one of the keys (public or private PEM) signed the token. The caller checks the times.
Result<std::string> verify_token(const std::vector<std::string>& keys_pem, std::string_view token);

}  // namespace berth::crypto

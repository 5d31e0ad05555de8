#pragma once
// Small text tools that the standard library lacks. All pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth {

// "a,b,,c" -> {"a","b","","c"}; "" -> {""}.
std::vector<std::string_view> split(std::string_view text, char separator);
// At the first separator; {text, ""} where there is none. `found` says which.
struct Cut {
  std::string_view before, after;
  bool found;
};
Cut cut(std::string_view text, std::string_view separator);
std::string_view trim(std::string_view text);  // ASCII white space, both ends
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string lower(std::string_view text);              // ASCII
bool iequals(std::string_view a, std::string_view b);  // ASCII
std::string replace_all(std::string text, std::string_view from, std::string_view to);
// Go's %q for ordinary text: double quotes, escapes.
std::string quoted(std::string_view text);

Result<long> parse_int(std::string_view text);  // the whole text, base 10

std::string base64_encode(std::string_view bytes);
Result<std::string> base64_decode(std::string_view text);  // standard alphabet, padded
std::string base64url_encode(std::string_view bytes);      // no padding
Result<std::string> base64url_decode(std::string_view text);
std::string hex_encode(std::string_view bytes);
std::string sha256(std::string_view bytes);  // 32 raw bytes
std::string sha256_hex(std::string_view bytes);
std::uint32_t fnv32a(std::string_view bytes);
std::uint64_t fnv64a(std::string_view bytes);

Result<std::string> url_decode(std::string_view text, bool plus_is_space = false);
std::string url_encode(std::string_view text);  // everything but unreserved characters

bool valid_utf8(std::string_view text);

// Kubernetes' SafeEncodeString: digits of a number mapped to "bcdfghjklmnpqrstvwxz2456789" (no vowels, no bad words).
std::string safe_encode(std::string_view text);

}  // namespace berth

#pragma once
// The rules for messages that HTTP/1.1 and HTTP/2 share.

#include <ctime>
#include <memory>
#include <string>
#include <string_view>

#include "http/server.h"

namespace berth::http {

// Fills in path and query from the target: "/a%20b?x=1&y", "http://host/a", "*". An error is answered 400.
Status parse_target(Request& request);
std::string_view reason_phrase(int status);
bool body_allowed(int status);  // not for 1xx, 204, 304
// Whether the comma-separated list in a header value has this token (any case).
bool has_token(std::string_view list, std::string_view token);
// A field that may be sent: the name is a token, the value has no control characters.
bool valid_header(std::string_view name, std::string_view value);
std::string http_date(std::time_t seconds);  // "Sun, 06 Nov 1994 08:49:37 GMT"
ServerConfig::Rendered render_error(const ServerConfig& config, int status, std::string_view message);

}  // namespace berth::http

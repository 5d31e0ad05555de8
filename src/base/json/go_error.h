#pragma once
// The message of Go's encoding/json about malformed text. Pure; any thread.

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::json {

// "unexpected end of JSON input", "invalid character 'x' looking for beginning of value". `problem` is the
// message of parse() about `text`.
std::string go_error_text(std::string_view text, const Error& problem);

}  // namespace berth::json

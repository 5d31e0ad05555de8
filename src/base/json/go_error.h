#pragma once
// What Go's encoding/json says about text that cannot be read. Pure; any thread.

#include <string>
#include <string_view>

#include "base/result.h"

namespace berth::json {

// "unexpected end of JSON input", "invalid character 'x' looking for beginning of value". `problem` is what parse()
// said about `text`.
std::string go_error_text(std::string_view text, const Error& problem);

}  // namespace berth::json

#pragma once
// How YAML 1.1 reads a plain scalar. Internal to yaml*.cc.

#include <string_view>

#include "base/json/json.h"

namespace berth::yaml {

// What a plain scalar means: null, a boolean, a number, or itself. `unprintable` is set for infinities and NaN, which
// JSON cannot hold (the result is then null).
Value resolve_plain(std::string_view text, bool& unprintable);

// Whether a string, written plain, would be read as that same string by YAML 1.1 and 1.2 readers alike.
bool plain_is_string(std::string_view text);

}  // namespace berth::yaml

#pragma once
// Making objects of many members at once.

#include <string_view>
#include <utility>
#include <vector>

#include "base/json/json.h"

namespace berth::json {

// Of two equal keys the later wins. For thousands of members, in any order: each set() moves all that sort behind it.
Value make_object(const std::vector<std::pair<std::string_view, Value>>& members);

}  // namespace berth::json

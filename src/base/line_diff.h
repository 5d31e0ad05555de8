#pragma once
// Differences of texts by lines, found and written as Python's difflib does with its defaults. Pure; any thread.

#include <string>
#include <string_view>

namespace berth {

// The unified form without file names, three lines of context around each change; "" where the texts are the same.
// O(n * m) in the number of lines at worst; not for large texts.
std::string line_diff(std::string_view before, std::string_view after);

}  // namespace berth

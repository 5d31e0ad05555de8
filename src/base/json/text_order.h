#pragma once
// The order of the fields in a JSON text. Pure; any thread.

#include <string>
#include <string_view>
#include <vector>

namespace berth::json {

// A field by its path ("a.b[0].c"), at its first occurrence or its second.
struct FieldInText {
  std::string path;
  bool second_occurrence = false;
};
// Sorts the fields by their order in the text; those that are not in it come last.
void sort_by_text(std::string_view text, std::vector<FieldInText>& fields);

}  // namespace berth::json

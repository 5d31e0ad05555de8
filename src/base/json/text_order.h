#pragma once
// Where in a JSON text its fields are. Pure; any thread.

#include <string>
#include <string_view>
#include <vector>

namespace berth::json {

// A field by its path ("a.b[0].c"), at its first occurrence or its second.
struct FieldInText {
  std::string path;
  bool second_occurrence = false;
};
// Puts the fields into the order of the text; what is not there comes last.
void sort_by_text(std::string_view text, std::vector<FieldInText>& fields);

}  // namespace berth::json

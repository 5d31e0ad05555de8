#include "base/json/text_order.h"

#include <gtest/gtest.h>

namespace berth::json {
namespace {

std::string sorted(std::string_view text, std::vector<FieldInText> fields) {
  sort_by_text(text, fields);
  std::string all;
  for (const FieldInText& each : fields)
    all += (all.empty() ? "" : " ") + each.path + (each.second_occurrence ? "#2" : "");
  return all;
}

TEST(TextOrder, FieldsComeAsTheyStandInTheText) {
  const std::string_view text = R"({"b": {"y": ["}", {"z": 1}], "x\"": 2}, "a": [], "e": {}, "c": -1e5 , "b": null})";
  EXPECT_EQ(sorted(text, {{"c"}, {"e"}, {"a"}, {"b.x\\\""}, {"b.y[1].z"}, {"b"}}), "b b.y[1].z b.x\\\" a e c");
  EXPECT_EQ(sorted(text, {{"b", true}, {"c"}, {"b"}}), "b c b#2");
  EXPECT_EQ(sorted(text, {{"nowhere"}, {"a", true}, {"c"}, {"a"}}), "a c nowhere a#2");
}

TEST(TextOrder, TextThatIsCutShortIsNoTrouble) {
  for (const std::string_view text : {"", "{", "{\"a\"", "{\"a\":", "{\"a\": \"x\\", "[1,", "{\"b\": {\"a\": [{"}) {
    EXPECT_EQ(sorted(text, {{"q"}, {"r"}}), "q r") << text;
  }
}

}  // namespace
}  // namespace berth::json

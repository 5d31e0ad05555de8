#include "base/json/go_error.h"

#include <gtest/gtest.h>

#include "base/json/json.h"

namespace berth::json {
namespace {

std::string said_of(std::string_view text) {
  Result<Value> parsed = parse(text);
  return parsed.ok() ? "read" : go_error_text(text, parsed.error());
}

// The texts are those of Go's encoding/json, Unmarshal().
TEST(GoError, EachPlaceOfTheGrammarHasItsWords) {
  EXPECT_EQ(said_of(""), "unexpected end of JSON input");
  EXPECT_EQ(said_of("{\"a\": [1"), "unexpected end of JSON input");
  EXPECT_EQ(said_of("x"), "invalid character 'x' looking for beginning of value");
  EXPECT_EQ(said_of("{} {"), "invalid character '{' after top-level value");
  EXPECT_EQ(said_of("{a: 1}"), "invalid character 'a' looking for beginning of object key string");
  EXPECT_EQ(said_of("{\"a\" 1}"), "invalid character '1' after object key");
  EXPECT_EQ(said_of("[1 2]"), "invalid character '2' after array element");
  EXPECT_EQ(said_of("{\"a\": 1 \"b\"}"), "invalid character '\"' after object key:value pair");
  EXPECT_EQ(said_of("\"a\nb\""), "invalid character '\\n' in string literal");
  EXPECT_EQ(said_of("\"\\x\""), "invalid character 'x' in string escape code");
  EXPECT_EQ(said_of("\"\\u00g0\""), "invalid character 'g' in \\u hexadecimal character escape");
}

TEST(GoError, NumbersAndWordsAreReadUpToWhatDoesNotFit) {
  EXPECT_EQ(said_of("-x"), "invalid character 'x' in numeric literal");
  EXPECT_EQ(said_of("1.x"), "invalid character 'x' after decimal point in numeric literal");
  EXPECT_EQ(said_of("1e+x"), "invalid character 'x' in exponent of numeric literal");
  EXPECT_EQ(said_of("01"), "invalid character '1' after top-level value");
  EXPECT_EQ(said_of("[{}, -01]"), "invalid character '1' after array element");
  EXPECT_EQ(said_of("{\"]\\\"[\": [1], \"a\": 00}"), "invalid character '0' after object key:value pair");
  EXPECT_EQ(said_of("[trux]"), "invalid character 'x' in literal true (expecting 'e')");
  EXPECT_EQ(said_of("\"\\u00\""), "invalid character '\"' in \\u hexadecimal character escape");
}

TEST(GoError, AnEndInTheMiddleIsASpace) {
  EXPECT_EQ(said_of("-"), "invalid character ' ' in numeric literal");
  EXPECT_EQ(said_of("[1."), "invalid character ' ' after decimal point in numeric literal");
  EXPECT_EQ(said_of("nul"), "invalid character ' ' in literal null (expecting 'l')");
  EXPECT_EQ(said_of("\"\\u00"), "invalid character ' ' in \\u hexadecimal character escape");
  EXPECT_EQ(said_of("\"a\\"), "invalid character ' ' in string escape code");
  for (const std::string_view text : {"\"a\\\\", "\"a", "{", "{\"a\"", "[1,", "[1"})
    EXPECT_EQ(said_of(text), "unexpected end of JSON input") << text;
}

TEST(GoError, CharactersAreQuotedAsGoDoes) {
  EXPECT_EQ(said_of("'"), "invalid character '\\'' looking for beginning of value");
  EXPECT_EQ(said_of("[\x01]"), "invalid character '\\x01' looking for beginning of value");
  EXPECT_EQ(said_of("\xC3\xA9"), "invalid character 'Ã' looking for beginning of value");
  EXPECT_EQ(said_of("\x85"), "invalid character '\\u0085' looking for beginning of value");
}

}  // namespace
}  // namespace berth::json

#include "base/text.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(Text, Pieces) {
  EXPECT_EQ(split("a,b,,c", ','), (std::vector<std::string_view>{"a", "b", "", "c"}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
  EXPECT_EQ(cut("a::b::c", "::").after, "b::c");
  EXPECT_FALSE(cut("abc", "::").found);
  EXPECT_EQ(cut("abc", "::").before, "abc");
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(join({"a", "b", "c"}, ", "), "a, b, c");
  EXPECT_EQ(join({}, ","), "");
  EXPECT_EQ(lower("AbC-9Z"), "abc-9z");
  EXPECT_TRUE(iequals("Content-Type", "content-TYPE"));
  EXPECT_FALSE(iequals("a", "ab"));
  EXPECT_EQ(replace_all("aXbXX", "X", "XY"), "aXYbXYXY");
  EXPECT_EQ(replace_all("abc", "", "x"), "abc");
  EXPECT_EQ(quoted("a\"b\\\n\x01\xC3\xA9"), "\"a\\\"b\\\\\\n\\x01\xC3\xA9\"");
  EXPECT_EQ(quoted("\xFF"), "\"\\xff\"");
}

TEST(Text, Integers) {
  EXPECT_EQ(parse_int("-42").value(), -42);
  EXPECT_EQ(parse_int("+7").value(), 7);
  EXPECT_EQ(parse_int("9223372036854775807").value(), INT64_MAX);
  for (const char* text : {"", "x", "1x", " 1", "+-1", "+", "9223372036854775808", "0x1", "1.0"}) {
    EXPECT_FALSE(parse_int(text).ok()) << text;
  }
}

TEST(Text, Base64) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("foo"), "Zm9v");
  EXPECT_EQ(base64url_encode("\xFB\xFF"), "-_8");
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  EXPECT_EQ(base64_decode(base64_encode(all)).value(), all);
  EXPECT_EQ(base64url_decode(base64url_encode(all)).value(), all);
  for (const char* text : {"Zg", "Zg=", "Z===", "====", "Zm9v!", "Zm=v", "-_8="})
    EXPECT_FALSE(base64_decode(text).ok()) << text;
  EXPECT_FALSE(base64url_decode("Zg==").ok());
  EXPECT_FALSE(base64url_decode("A").ok());
}

TEST(Text, Digests) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256("").size(), 32u);
  EXPECT_EQ(fnv32a("a"), 0xE40C292Cu);
  EXPECT_EQ(fnv64a("a"), 0xAF63DC4C8601EC8Cull);
  EXPECT_EQ(hex_encode(std::string_view("\x00\xAB", 2)), "00ab");
}

TEST(Text, Urls) {
  EXPECT_EQ(url_encode("a b/c~\xC3"), "a%20b%2Fc~%C3");
  EXPECT_EQ(url_decode("a%20b%2fc+d").value(), "a b/c+d");
  EXPECT_EQ(url_decode("a+b", true).value(), "a b");
  EXPECT_EQ(url_decode("%41").value(), "A");
  for (const char* text : {"%", "%4", "%4g", "a%"}) EXPECT_FALSE(url_decode(text).ok()) << text;
}

TEST(Text, Encodings) {
  EXPECT_TRUE(valid_utf8("h\xC3\xA9"));
  EXPECT_TRUE(valid_utf8(""));
  EXPECT_FALSE(valid_utf8("\xC3"));
  EXPECT_FALSE(valid_utf8("\xED\xA0\x80"));
  EXPECT_EQ(safe_encode("0123456789"),
            "4567"
            "89bcdf");
}

}  // namespace
}  // namespace berth

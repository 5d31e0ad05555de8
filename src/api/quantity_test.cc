#include "api/quantity.h"

#include <gtest/gtest.h>

namespace berth::api {
namespace {

std::string canonical(std::string_view text) {
  auto parsed = Quantity::parse(text);
  return parsed.ok() ? parsed->to_string() : "error: " + parsed.error().message;
}
Quantity must(std::string_view text) { return Quantity::parse(text).value(); }

TEST(Quantity, Canonical) {
  const std::pair<const char*, const char*> cases[] = {{"0", "0"},
                                                       {"0n", "0"},
                                                       {"0Ki", "0"},
                                                       {"-0", "0"},
                                                       {"+1", "1"},
                                                       {"1.", "1"},
                                                       {".5", "500m"},
                                                       {"007", "7"},
                                                       {"1.5", "1500m"},
                                                       {"1000", "1k"},
                                                       {"1000m", "1"},
                                                       {"100m", "100m"},
                                                       {"1024", "1024"},
                                                       {"1100", "1100"},
                                                       {"1024Mi", "1Gi"},
                                                       {"0.5Gi", "512Mi"},
                                                       {"1.5Ki", "1536"},
                                                       {"1Ki", "1Ki"},
                                                       {"0.5Ki", "512"},
                                                       {"1023Ki", "1023Ki"},
                                                       {"1e3", "1e3"},
                                                       {"1E3", "1e3"},
                                                       {"1e4", "10e3"},
                                                       {"1e+3", "1e3"},
                                                       {"1e-1", "100e-3"},
                                                       {"1e0", "1"},
                                                       {"1E", "1E"},
                                                       {"2Ei", "2Ei"},
                                                       {"1G", "1G"},
                                                       {"1000k", "1M"},
                                                       {"-1.5Gi", "-1536Mi"},
                                                       {"-100m", "-100m"},
                                                       {"0.0000000001", "1n"},
                                                       {"1.0000000001", "1000000001n"},
                                                       {"-0.0000000001", "-1n"},
                                                       {"1e-99999", "1e-9"},
                                                       {"0.0001Ki", "102400u"},
                                                       {"1000.0001Ki", "1024000102400u"},
                                                       {"100E", "9223372036854775807"},
                                                       {"8Ei", "9223372036854775807"},
                                                       {"1e999999", "9223372036854775807"}};
  for (const auto& [text, expected] : cases) EXPECT_EQ(canonical(text), expected) << text;
}

TEST(Quantity, Rejects) {
  const std::string format =
      "error: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
  const std::string suffix = "error: unable to parse quantity's suffix";
  for (const char* text : {"", " 1", "1 ", "aoeu", "1.1.M", "1+1.0M", "0.1am", "-", "+", ".", "m", "1,5", "1e3m3"}) {
    EXPECT_EQ(canonical(text), format) << text;
  }
  for (const char* text : {"0.1mi", "1i", "1K", "1ki", "1e", "3.01e-", "1Gi3", "1e99999999999999999999"}) {
    EXPECT_EQ(canonical(text), suffix) << text;
  }
}

TEST(Quantity, ValuesRoundUp) {
  EXPECT_EQ(must("1500m").value(), 2);
  EXPECT_EQ(must("-1500m").value(), -1);
  EXPECT_EQ(must("1n").milli_value(), 1);
  EXPECT_EQ(must("1.5").milli_value(), 1500);
  EXPECT_EQ(must("1E").milli_value(), INT64_MAX);
  EXPECT_EQ(must("-1E").milli_value(), INT64_MIN);
  EXPECT_EQ(must("1Gi").value(), 1 << 30);
  EXPECT_EQ(must("-1").sign(), -1);
  EXPECT_EQ(Quantity().sign(), 0);
}

TEST(Quantity, ArithmeticKeepsTheFormat) {
  EXPECT_EQ((must("1Gi") + must("1024Mi")).to_string(), "2Gi");
  EXPECT_EQ((Quantity() + must("1Gi")).to_string(), "1Gi");
  EXPECT_EQ((must("1") - must("100m")).to_string(), "900m");
  EXPECT_EQ((must("1Ki") - must("1Ki")).to_string(), "0");
  EXPECT_EQ((must("9E") + must("9E")).to_string(), "9223372036854775807");
  EXPECT_EQ(Quantity::of_milli(250).to_string(), "250m");
  EXPECT_EQ(Quantity::of(2048, Quantity::Format::kBinarySI).to_string(), "2Ki");
  EXPECT_EQ(must("1024"), must("1Ki"));
  EXPECT_LT(must("1k"), must("1Ki"));
  EXPECT_GE(must("0.1"), must("100m"));
}

}  // namespace
}  // namespace berth::api

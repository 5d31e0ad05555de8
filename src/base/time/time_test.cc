#include "base/time/time.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(Time, FormatsAndParses) {
  Time time = parse_time("2026-01-02T03:04:05.123456789Z").value();
  EXPECT_EQ(format_time(time), "2026-01-02T03:04:05Z");
  EXPECT_EQ(format_micro_time(time), "2026-01-02T03:04:05.123456Z");
  EXPECT_EQ(format_nano_time(time), "2026-01-02T03:04:05.123456789Z");
  EXPECT_EQ(format_time(Time()), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_nano_time(Time(Duration(-1))), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(format_time(parse_time("2024-02-29T23:30:00-02:30").value()), "2024-03-01T02:00:00Z");
  EXPECT_EQ(format_nano_time(parse_time("2024-01-01T00:00:00.5+00:00").value()), "2024-01-01T00:00:00.500000000Z");
}

TEST(Time, RejectsWhatIsNone) {
  for (const char* text :
       {"", "2026-01-02", "2026-01-02 03:04:05Z", "2026-13-02T03:04:05Z", "2026-02-29T03:04:05Z",
        "2026-01-02T24:00:00Z", "2026-01-02T03:60:05Z", "2026-01-02T03:04:05", "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05Zx", "2026-01-02T03:04:05+2:00", "0001-01-01T00:00:00Z", "x026-01-02T03:04:05Z"}) {
    EXPECT_FALSE(parse_time(text).ok()) << text;
  }
}

TEST(Time, Durations) {
  EXPECT_EQ(parse_duration("1h2m3.5s").value(), 3723500ms);
  EXPECT_EQ(parse_duration("300ms").value(), 300ms);
  EXPECT_EQ(parse_duration("-1.5h").value(), -90min);
  EXPECT_EQ(parse_duration("0").value(), 0s);
  EXPECT_EQ(parse_duration("+5s").value(), 5s);
  EXPECT_EQ(parse_duration(".5s").value(), 500ms);
  EXPECT_EQ(parse_duration("1us").value() + parse_duration("2\xC2\xB5s").value(), 3us);
  for (const char* text : {"", "-", "5", "s", ".s", "1x", "1h 2m", "9999999h", "--1s", "99999999999999999999s"}) {
    EXPECT_FALSE(parse_duration(text).ok()) << text;
  }
}

TEST(Time, HumanDurations) {
  const std::pair<Duration, const char*> cases[] = {
      {-5s, "<invalid>"},   {-1s, "0s"},         {0s, "0s"},
      {5s, "5s"},           {119s, "119s"},      {120s, "2m"},
      {190s, "3m10s"},      {47min, "47m"},      {179min, "179m"},
      {3h, "3h"},           {312min, "5h12m"},   {8h, "8h"},
      {47h, "47h"},         {48h, "2d"},         {52h, "2d4h"},
      {24h * 12, "12d"},    {24h * 365, "365d"}, {24h * (365 * 3 + 45), "3y45d"},
      {24h * 365 * 9, "9y"}};
  for (const auto& [duration, expected] : cases) EXPECT_EQ(human_duration(duration), expected);
}

}  // namespace
}  // namespace berth

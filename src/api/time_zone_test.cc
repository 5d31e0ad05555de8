#include "api/time_zone.h"

#include <gtest/gtest.h>

#include "base/time/time.h"

namespace berth::api {
namespace {

Time at(std::string_view text) { return parse_time(text).value(); }

std::string big_endian(std::int64_t value, int size) {
  std::string out;
  for (int i = size - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

// A file with one transition, to type 1 at 2000-01-01, and a footer.
std::string file_of(int first_offset, int second_offset, const std::string& footer, char version = '2') {
  auto block = [&](int word) {
    std::string out = "TZif" + std::string(1, version) + std::string(15, '\0');
    for (int count : {0, 0, 0, 1, 2, 4}) out += big_endian(count, 4);
    out += big_endian(946684800, word) + '\1';
    for (int offset : {first_offset, second_offset}) out += big_endian(offset, 4) + std::string(2, '\0');
    return out + std::string("ABC\0", 4);
  };
  return version == '\0' ? block(4) : block(4) + block(8) + "\n" + footer + "\n";
}

std::string shown(const std::string& file, std::string_view time) {
  const Result<TimeZone> zone = TimeZone::parse(file);
  return zone.ok() ? zone->format(at(time)) : zone.error().message;
}

TEST(TimeZone, KnownPlaces) {
  struct Row {
    const char *zone, *time, *shown;
  };
  const Row rows[] = {
      {"UTC", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"},
      {"", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"},
      {"Europe/Berlin", "2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00"},
      {"Europe/Berlin", "2026-07-01T12:00:00Z", "2026-07-01T14:00:00+02:00"},
      {"Europe/Berlin", "2026-03-29T00:59:59Z", "2026-03-29T01:59:59+01:00"},
      {"Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-29T03:00:00+02:00"},
      {"Europe/Berlin", "1945-06-01T00:00:00Z", "1945-06-01T03:00:00+03:00"},
      {"Europe/Berlin", "2199-07-01T00:00:00Z", "2199-07-01T02:00:00+02:00"},
      {"America/New_York", "2026-12-31T23:00:00Z", "2026-12-31T18:00:00-05:00"},
      {"America/St_Johns", "2026-01-01T00:00:00Z", "2025-12-31T20:30:00-03:30"},
      {"Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T05:45:00+05:45"},
      {"Pacific/Kiritimati", "2026-01-01T00:00:00Z", "2026-01-01T14:00:00+14:00"},
      {"Australia/Sydney", "2100-01-01T00:00:00Z", "2100-01-01T11:00:00+11:00"},
      {"Australia/Sydney", "2100-07-01T00:00:00Z", "2100-07-01T10:00:00+10:00"},
  };
  for (const Row& row : rows) {
    const Result<TimeZone> zone = TimeZone::named(row.zone);
    ASSERT_TRUE(zone.ok()) << row.zone << ": is the package tzdata installed?";
    EXPECT_EQ(zone->format(at(row.time)), row.shown) << row.zone << " at " << row.time;
  }
}

TEST(TimeZone, UnknownNames) {
  for (const char* name :
       {"Moon/Base", "utc ", "Europe", "Europe/", "/etc/localtime", "../zoneinfo/UTC", "zone.tab", "europe/berlin"}) {
    const Result<TimeZone> zone = TimeZone::named(name);
    ASSERT_FALSE(zone.ok()) << name;
    EXPECT_EQ(zone.error().message, "unknown time zone " + std::string(name));
  }
}

TEST(TimeZone, RulesBehindTheLastTransition) {
  struct Row {
    const char *footer, *time, *shown;
  };
  const Row rows[] = {
      {"EST5", "2026-07-01T00:00:00Z", "2026-06-30T19:00:00-05:00"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08T06:59:59Z", "2026-03-08T01:59:59-05:00"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-03-08T07:00:00Z", "2026-03-08T03:00:00-04:00"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-11-01T05:59:59Z", "2026-11-01T01:59:59-04:00"},
      {"EST5EDT,M3.2.0,M11.1.0", "2026-11-01T06:00:00Z", "2026-11-01T01:00:00-05:00"},
      {"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2026-01-01T00:00:00Z", "2026-01-01T11:00:00+11:00"},
      {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T00:59:59Z", "2026-03-28T22:59:59-02:00"},
      {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-03-29T01:00:00Z", "2026-03-29T00:00:00-01:00"},
      {"AAA0BBB,J60,J300", "2024-03-01T01:59:59Z", "2024-03-01T01:59:59Z"},  // J60 is March 1st in leap years too
      {"AAA0BBB,J60,J300", "2024-03-01T02:00:00Z", "2024-03-01T03:00:00+01:00"},
      {"AAA0BBB,59/0,300", "2024-02-29T00:00:00Z", "2024-02-29T01:00:00+01:00"},  // counted from 0, with February 29th
      {"AAA0BBB-2:30,M1.1.1,M12.5.0", "2026-07-01T00:00:00Z", "2026-07-01T02:30:00+02:30"},
      {"AAA-1", "1990-01-01T00:00:00Z", "1990-01-01T00:10:00+00:10"},  // before the transition
      {"", "2026-07-01T00:00:00Z", "2026-07-01T00:20:00+00:20"},       // no rule: the last transition stays
      {"nonsense", "2026-07-01T00:00:00Z", "malformed time zone information"},
      {"EST5EDT,M3.2.0", "2026-07-01T00:00:00Z", "malformed time zone information"},
      {"EST5EDT,M13.2.0,M11.1.0", "2026-07-01T00:00:00Z", "malformed time zone information"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(shown(file_of(600, 1200, row.footer), row.time), row.shown) << row.footer << " at " << row.time;
  EXPECT_EQ(shown(file_of(600, 1200, "", '\0'), "2026-07-01T00:00:00Z"), "2026-07-01T00:20:00+00:20");
}

TEST(TimeZone, CutFilesAreRefused) {
  const std::string whole = file_of(0, 3600, "CET-1CEST,M3.5.0,M10.5.0/3");
  const std::size_t footer = whole.find("\nCET");
  for (std::size_t size = 0; size < footer; ++size) EXPECT_FALSE(TimeZone::parse(whole.substr(0, size)).ok()) << size;
  std::string huge = whole;
  huge[32] = '\x7f';  // a count
  EXPECT_FALSE(TimeZone::parse(huge).ok());
}

TEST(TimeZone, DaysBegin) {
  const TimeZone berlin = TimeZone::named("Europe/Berlin").value(), beirut = TimeZone::named("Asia/Beirut").value();
  EXPECT_EQ(format_time(berlin.start_of_day(2026, 3, 29)), "2026-03-28T23:00:00Z");
  EXPECT_EQ(format_time(berlin.start_of_day(2026, 3, 30)), "2026-03-29T22:00:00Z");
  EXPECT_EQ(format_time(berlin.start_of_day(2026, 1, 32)), "2026-01-31T23:00:00Z");
  EXPECT_EQ(beirut.format(beirut.start_of_day(2026, 3, 29)), "2026-03-29T01:00:00+03:00");
  EXPECT_EQ(beirut.format(beirut.start_of_day(2026, 10, 25)), "2026-10-25T00:00:00+02:00");
  EXPECT_EQ(format_time(TimeZone().start_of_day(1969, 12, 31)), "1969-12-31T00:00:00Z");
  EXPECT_EQ(TimeZone().wall(at("1969-12-31T23:59:59Z")).weekday, 3);
}

}  // namespace
}  // namespace berth::api

#include "api/cron_schedule.h"

#include <gtest/gtest.h>

#include "base/time/time.h"

namespace berth::api {
namespace {

Time at(std::string_view text) { return parse_time(text).value(); }

std::string next_of(std::string_view schedule, std::string_view from, std::string_view zone = "UTC") {
  const Result<CronSchedule> parsed = CronSchedule::parse(schedule, TimeZone::named(zone).value());
  if (!parsed.ok()) return parsed.error().message;
  const std::optional<Time> next = parsed->next(at(from));
  return next ? TimeZone::named(zone)->format(*next) : "never";
}

TEST(CronSchedule, NextTimes) {
  struct Row {
    const char *schedule, *from, *next;
  };
  const Row rows[] = {
      {"* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
      {"* * * * *", "2026-01-01T00:00:59.5Z", "2026-01-01T00:01:00Z"},
      {"*/5 * * * *", "2026-01-01T00:04:59Z", "2026-01-01T00:05:00Z"},
      {"*/5 * * * *", "2026-01-01T00:55:00Z", "2026-01-01T01:00:00Z"},
      {"7/20 * * * *", "2026-01-01T00:08:00Z", "2026-01-01T00:27:00Z"},
      {"10-20/5,40 * * * *", "2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z"},
      {"30 8 * * *", "2026-01-01T09:00:00Z", "2026-01-02T08:30:00Z"},
      {"0 0 1 * ?", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"},
      {"0 0 * * SUN", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"},
      {"0 0 * * mon-fri", "2026-01-02T12:00:00Z", "2026-01-05T00:00:00Z"},
      {"0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},    // a Friday or a 13th
      {"0 0 */13 * 5", "2026-01-03T00:00:00Z", "2026-01-09T00:00:00Z"},  // a step is no star
      {"0 0 13 * *", "2026-01-01T00:00:00Z", "2026-01-13T00:00:00Z"},
      {"0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
      {"0 0 29 feb *", "2097-01-01T00:00:00Z", "never"},  // 2100 is no leap year
      {"0 0 31 2 *", "2026-01-01T00:00:00Z", "never"},
      {"59 23 31 DEC *", "2026-12-31T23:58:00Z", "2026-12-31T23:59:00Z"},
      {"59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"},
      {"@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"},
      {"@daily", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
      {"@midnight", "2026-01-01T00:00:01Z", "2026-01-02T00:00:00Z"},
      {"@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"},
      {"@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
      {"@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
      {"@annually", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
      {"@every 1h30m", "2026-01-01T00:00:07.9Z", "2026-01-01T01:30:07Z"},
      {"@every 1ms", "2026-01-01T00:00:07Z", "2026-01-01T00:00:08Z"},
      {"TZ=Asia/Tokyo 0 9 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
      {"CRON_TZ=Asia/Tokyo  @daily", "2026-01-01T00:00:00Z", "2026-01-01T15:00:00Z"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(next_of(row.schedule, row.from), row.next) << row.schedule << " from " << row.from;
}

TEST(CronSchedule, ClocksThatAreChanged) {
  struct Row {
    const char *zone, *schedule, *from, *next;
  };
  const Row rows[] = {
      // Spring: 2:30 does not exist on the 29th.
      {"Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T02:30:00+02:00"},
      {"Europe/Berlin", "30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T03:30:00+02:00"},
      // Autumn: 2:30 comes twice.
      {"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T02:30:00+02:00"},
      {"Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T02:30:00+01:00"},
      {"Europe/Berlin", "30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-26T02:30:00+01:00"},
      // Midnight itself is skipped: the day still has its other hours.
      {"Asia/Beirut", "0 8 * * SUN", "2026-03-27T00:00:00Z", "2026-03-29T08:00:00+03:00"},
      {"America/Sao_Paulo", "0 8 4 11 *", "2018-11-01T00:00:00Z", "2018-11-04T08:00:00-02:00"},
      {"Asia/Kolkata", "0 9 * * *", "2026-01-01T00:00:00Z", "2026-01-01T09:00:00+05:30"},
      {"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T00:00:00Z", "2026-10-05T02:15:00+11:00"},
  };
  for (const Row& row : rows)
    EXPECT_EQ(next_of(row.schedule, row.from, row.zone), row.next) << row.zone << " " << row.schedule;
}

TEST(CronSchedule, Refusals) {
  struct Row {
    const char *schedule, *words;
  };
  const Row rows[] = {
      {"", "empty spec string"},
      {"x", "expected exactly 5 fields, found 1: [x]"},
      {"* * * *  * *", "expected exactly 5 fields, found 6: [* * * * * *]"},
      {"x * * * *", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"},
      {"99999999999999999999 * * * *",
       "failed to parse int from 99999999999999999999: strconv.Atoi: parsing \"99999999999999999999\": value out of range"},
      {"60 * * * *", "end of range (60) above maximum (59): 60"},
      {"* 24 * * *", "end of range (24) above maximum (23): 24"},
      {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
      {"* * * 13 *", "end of range (13) above maximum (12): 13"},
      {"* * * * 7", "end of range (7) above maximum (6): 7"},
      {"* * * * mon-x", "failed to parse int from x: strconv.Atoi: parsing \"x\": invalid syntax"},
      {"5-3 * * * *", "beginning of range (5) beyond end of range (3): 5-3"},
      {"1-2-3 * * * *", "too many hyphens: 1-2-3"},
      {"1--3 * * * *", "too many hyphens: 1--3"},
      {"*/2/3 * * * *", "too many slashes: */2/3"},
      {"*/0 * * * *", "step of range should be a positive number: */0"},
      {"*/-2 * * * *", "negative number (-2) not allowed: -2"},
      {"jan * * * *", "failed to parse int from jan: strconv.Atoi: parsing \"jan\": invalid syntax"},
      {"@often", "unrecognized descriptor: @often"},
      {"@every x", "failed to parse duration @every x: time: invalid duration \"x\""},
      {"TZ=Moon/Base 0 * * * *", "provided bad location Moon/Base: unknown time zone Moon/Base"},
      {"TZ=UTC", "expected exactly 5 fields, found 0: []"},
  };
  for (const Row& row : rows) {
    const Result<CronSchedule> parsed = CronSchedule::parse(row.schedule);
    ASSERT_FALSE(parsed.ok()) << row.schedule;
    EXPECT_EQ(parsed.error().message, row.words) << row.schedule;
  }
}

}  // namespace
}  // namespace berth::api

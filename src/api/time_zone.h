#pragma once
// TimeZone: the clock on a wall somewhere. Read from the zones that the system keeps (TZif files, RFC 8536), without
// touching the process's own zone. Immutable; copies share the data; any thread.

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/runtime.h"

namespace berth::api {

class TimeZone {
 public:
  // What the clock shows.
  struct Wall {
    int year, month, day;  // month and day from 1
    int hour, minute, second;
    int weekday;  // 0: Sunday
    int offset;   // seconds east of UTC
  };

  TimeZone() = default;  // UTC
  // By its name in the database: "Europe/Berlin", "UTC". Reads a file. An unknown name: kNotFound, `unknown time zone
  // X`.
  static Result<TimeZone> named(std::string_view name);
  // The zone of this machine, as $TZ or /etc/localtime say; UTC where they say nothing that can be read.
  static TimeZone of_this_machine();
  // A TZif file's content.
  static Result<TimeZone> parse(std::string_view tzif);

  Wall wall(Time time) const;
  // The first moment of a day. `day` may lie outside of the month: it runs on into the next ones.
  Time start_of_day(int year, int month, int day) const;
  // RFC 3339 with whole seconds and this zone's offset: "2026-01-02T03:04:05+01:00", "...Z".
  std::string format(Time time) const;

 private:
  struct Data;
  std::shared_ptr<const Data> data_;  // null: UTC
};

}  // namespace berth::api

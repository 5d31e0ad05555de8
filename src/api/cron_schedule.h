#pragma once
// CronSchedule: the times that a cron expression names. Five fields (minute, hour, day of the month, month, day of the
// week) of numbers, names, ranges, lists and steps; or @hourly, @daily, @midnight, @weekly, @monthly, @yearly,
// @annually, @every 1h30m. Immutable; any thread.
//
// An hour that the clock skips has no times; one that it repeats has each of its times twice.

#include <cstdint>
#include <optional>
#include <string_view>

#include "api/time_zone.h"
#include "base/result.h"

namespace berth::api {

class CronSchedule {
 public:
  // `zone`: where the clock hangs, unless the text itself begins with TZ=name or CRON_TZ=name. The words of an error
  // are those of the parser that Kubernetes uses.
  static Result<CronSchedule> parse(std::string_view text, const TimeZone& zone = TimeZone());

  // The first time after `time`; none where there is none within five years (a February 30th).
  std::optional<Time> next(Time time) const;

 private:
  bool day_matches(const TimeZone::Wall& at) const;

  TimeZone zone_;
  Duration every_{};  // not 0: at this distance, whatever the clock shows
  // Bit n: the number n is meant.
  std::uint64_t minutes_ = 0, hours_ = 0, days_ = 0, months_ = 0, weekdays_ = 0;
  bool any_day_ = false;  // one of the two day fields is a star: then both must match, otherwise one suffices
};

}  // namespace berth::api

#include "api/cron_schedule.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "base/text.h"
#include "base/time/time.h"

namespace berth::api {
namespace {

using Names = std::vector<std::string_view>;

struct Bounds {
  std::uint64_t low, high;
  Names names;  // of low, low + 1, ...
};

const Bounds& minute_bounds() {
  static const Bounds kBounds{0, 59, {}};
  return kBounds;
}
const Bounds& hour_bounds() {
  static const Bounds kBounds{0, 23, {}};
  return kBounds;
}
const Bounds& day_bounds() {
  static const Bounds kBounds{1, 31, {}};
  return kBounds;
}
const Bounds& month_bounds() {
  static const Bounds kBounds{
      1, 12, {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}};
  return kBounds;
}
const Bounds& weekday_bounds() {
  static const Bounds kBounds{0, 6, {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}};
  return kBounds;
}

struct Field {
  std::uint64_t bits = 0;
  bool star = false;
};

Error bad(std::string message) { return error(Code::kInvalid, std::move(message)); }
std::string text_of(std::uint64_t number) { return std::to_string(number); }

Result<std::uint64_t> number(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with("+")) digits.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole =
      end == digits.data() + digits.size() && !digits.empty() && !(digits.size() < text.size() && digits[0] == '-');
  if (!whole || problem == std::errc::invalid_argument) {
    return bad("failed to parse int from " + std::string(text) + ": strconv.Atoi: parsing " + quoted(text) +
               ": invalid syntax");
  }
  if (problem != std::errc()) {
    return bad("failed to parse int from " + std::string(text) + ": strconv.Atoi: parsing " + quoted(text) +
               ": value out of range");
  }
  if (value < 0) return bad("negative number (" + std::to_string(value) + ") not allowed: " + std::string(text));
  return static_cast<std::uint64_t>(value);
}

Result<std::uint64_t> number_or_name(std::string_view text, const Bounds& bounds) {
  const std::string small = lower(text);
  for (std::size_t i = 0; i < bounds.names.size(); ++i) {
    if (bounds.names[i] == small) return bounds.low + i;
  }
  return number(text);
}

// "*", "5", "1-5", each with "/step" or without.
Result<Field> parse_range(std::string_view text, const Bounds& bounds) {
  const std::string shown(text);
  const std::vector<std::string_view> parts = split(text, '/');
  const std::vector<std::string_view> ends = split(parts[0], '-');
  Field field;
  std::uint64_t from = bounds.low, to = bounds.high, step = 1;
  if (ends[0] == "*" || ends[0] == "?") {
    field.star = true;
  } else {
    BERTH_ASSIGN(from, number_or_name(ends[0], bounds));
    to = from;
    if (ends.size() == 2) {
      BERTH_ASSIGN(to, number_or_name(ends[1], bounds));
    }
    if (ends.size() > 2) return bad("too many hyphens: " + shown);
  }
  if (parts.size() > 2) return bad("too many slashes: " + shown);
  if (parts.size() == 2) {
    BERTH_ASSIGN(step, number(parts[1]));
    if (ends.size() == 1) to = bounds.high;
    if (step > 1) field.star = false;
  }
  if (from < bounds.low)
    return bad("beginning of range (" + text_of(from) + ") below minimum (" + text_of(bounds.low) + "): " + shown);
  if (to > bounds.high)
    return bad("end of range (" + text_of(to) + ") above maximum (" + text_of(bounds.high) + "): " + shown);
  if (from > to)
    return bad("beginning of range (" + text_of(from) + ") beyond end of range (" + text_of(to) + "): " + shown);
  if (step == 0) return bad("step of range should be a positive number: " + shown);
  for (std::uint64_t n = from; n <= to; n += std::min<std::uint64_t>(step, 64)) field.bits |= std::uint64_t{1} << n;
  return field;
}

Result<Field> parse_field(std::string_view text, const Bounds& bounds) {
  Field field;
  for (std::string_view range : split(text, ',')) {
    if (range.empty()) continue;
    BERTH_ASSIGN(const Field one, parse_range(range, bounds));
    field.bits |= one.bits;
    field.star = field.star || one.star;
  }
  return field;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> found;
  std::string word;
  for (char c : text) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (!space) word += c;
    if (space && !word.empty()) found.push_back(std::move(word));
    if (space) word.clear();
  }
  if (!word.empty()) found.push_back(std::move(word));
  return found;
}

// The five fields that a word stands for; empty: no such word.
std::string_view meaning(std::string_view word) {
  if (word == "@yearly" || word == "@annually") return "0 0 1 1 *";
  if (word == "@monthly") return "0 0 1 * *";
  if (word == "@weekly") return "0 0 * * 0";
  if (word == "@daily" || word == "@midnight") return "0 0 * * *";
  if (word == "@hourly") return "0 * * * *";
  return {};
}

}  // namespace

Result<CronSchedule> CronSchedule::parse(std::string_view text, const TimeZone& zone) {
  if (text.empty()) return bad("empty spec string");
  CronSchedule schedule;
  schedule.zone_ = zone;
  std::string_view rest = text;
  if (rest.starts_with("TZ=") || rest.starts_with("CRON_TZ=")) {
    const Cut named = cut(cut(rest, "=").after, " ");
    Result<TimeZone> own = TimeZone::named(named.before);
    if (!own.ok()) return bad("provided bad location " + std::string(named.before) + ": " + own.error().message);
    schedule.zone_ = *own;
    rest = trim(named.after);
  }
  if (constexpr std::string_view kEvery = "@every "; rest.starts_with(kEvery)) {
    Result<Duration> every = parse_duration(rest.substr(kEvery.size()));
    if (!every.ok()) return bad("failed to parse duration " + std::string(rest) + ": " + every.error().message);
    schedule.every_ = std::max<Duration>(std::chrono::floor<std::chrono::seconds>(*every), 1s);
    return schedule;
  }
  if (rest.starts_with("@")) {
    const std::string_view fields = meaning(rest);
    if (fields.empty()) return bad("unrecognized descriptor: " + std::string(rest));
    rest = fields;
  }
  const std::vector<std::string> fields = words(rest);
  if (fields.size() != 5) {
    return bad("expected exactly 5 fields, found " + std::to_string(fields.size()) + ": [" + join(fields, " ") + "]");
  }
  BERTH_ASSIGN(const Field minute, parse_field(fields[0], minute_bounds()));
  BERTH_ASSIGN(const Field hour, parse_field(fields[1], hour_bounds()));
  BERTH_ASSIGN(const Field day, parse_field(fields[2], day_bounds()));
  BERTH_ASSIGN(const Field month, parse_field(fields[3], month_bounds()));
  BERTH_ASSIGN(const Field weekday, parse_field(fields[4], weekday_bounds()));
  schedule.minutes_ = minute.bits;
  schedule.hours_ = hour.bits;
  schedule.days_ = day.bits;
  schedule.months_ = month.bits;
  schedule.weekdays_ = weekday.bits;
  schedule.any_day_ = day.star || weekday.star;
  return schedule;
}

bool CronSchedule::day_matches(const TimeZone::Wall& at) const {
  const bool day = days_ >> at.day & 1, weekday = weekdays_ >> at.weekday & 1;
  return any_day_ ? day && weekday : day || weekday;
}

std::optional<Time> CronSchedule::next(Time time) const {
  Time at = std::chrono::floor<std::chrono::seconds>(time);
  if (every_ > Duration::zero()) return at + every_;
  at += 1s;
  const int last_year = zone_.wall(at).year + 5;
  // From the largest unit that does not match to its next beginning, until all match.
  for (;;) {
    const TimeZone::Wall wall = zone_.wall(at);
    if (wall.year > last_year) return std::nullopt;
    if (!(months_ >> wall.month & 1)) {
      const bool december = wall.month == 12;
      at = zone_.start_of_day(december ? wall.year + 1 : wall.year, december ? 1 : wall.month + 1, 1);
    } else if (!day_matches(wall)) {
      at = zone_.start_of_day(wall.year, wall.month, wall.day + 1);
    } else if (!(hours_ >> wall.hour & 1)) {
      at += std::chrono::seconds(3600 - wall.minute * 60 - wall.second);
    } else if (!(minutes_ >> wall.minute & 1) || wall.second != 0) {
      at += std::chrono::seconds(60 - wall.second);
    } else {
      return at;
    }
  }
}

}  // namespace berth::api

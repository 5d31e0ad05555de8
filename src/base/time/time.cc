#include "base/time/time.h"

#include <cstdio>

#include "base/text.h"

namespace berth {
namespace {

using Days = std::chrono::sys_days;
constexpr std::int64_t kSecond = 1'000'000'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::string format(Time time, int digits) {
  auto second = std::chrono::floor<std::chrono::seconds>(time);
  auto day = std::chrono::floor<std::chrono::days>(second);
  std::chrono::year_month_day date(day);
  long of_day = (second - day).count();
  char buffer[64];
  int size = std::snprintf(buffer, sizeof buffer, "%04d-%02u-%02uT%02ld:%02ld:%02ld", static_cast<int>(date.year()),
                           static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), of_day / 3600,
                           of_day / 60 % 60, of_day % 60);
  std::string out(buffer, static_cast<std::size_t>(size));
  if (digits > 0) {
    std::snprintf(buffer, sizeof buffer, ".%09ld", static_cast<long>((time - second).count()));
    out.append(buffer, static_cast<std::size_t>(digits) + 1);
  }
  return out + "Z";
}

// Consumes exactly `count` digits at the front.
bool consume(std::string_view& text, int count, int& out) {
  if (text.size() < static_cast<std::size_t>(count)) return false;
  out = 0;
  for (int i = 0; i < count; ++i) {
    if (!is_digit(text[static_cast<std::size_t>(i)])) return false;
    out = out * 10 + (text[static_cast<std::size_t>(i)] - '0');
  }
  text.remove_prefix(static_cast<std::size_t>(count));
  return true;
}
bool consume(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

// Nanoseconds of a fraction's digits; those beyond the ninth are cut off.
std::int64_t consume_fraction(std::string_view& text) {
  std::int64_t nano = 0, unit = kSecond / 10;
  while (!text.empty() && is_digit(text[0])) {
    nano += (text[0] - '0') * unit;
    unit /= 10;
    text.remove_prefix(1);
  }
  return nano;
}

bool consume_offset(std::string_view& text, int& seconds) {
  seconds = 0;
  if (consume(text, 'Z')) return true;
  int sign = consume(text, '+') ? 1 : consume(text, '-') ? -1 : 0;
  int hours, minutes;
  if (sign == 0 || !consume(text, 2, hours) || !consume(text, ':') || !consume(text, 2, minutes)) return false;
  seconds = sign * (hours * 3600 + minutes * 60);
  return hours < 24 && minutes < 60;
}

// Nanoseconds in a unit of a Go duration; consumes the unit at the front. 0: none.
std::int64_t consume_unit(std::string_view& text) {
  static constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {
      {"ns", 1},         {"us", 1000},   {"\xC2\xB5s", 1000}, {"\xCE\xBCs", 1000},
      {"ms", 1'000'000}, {"s", kSecond}, {"m", 60 * kSecond}, {"h", 3600 * kSecond}};
  for (const auto& [name, size] : kUnits) {
    if (!text.starts_with(name)) continue;
    text.remove_prefix(name.size());
    return size;
  }
  return 0;
}

}  // namespace

std::string format_time(Time time) {
  // Nearly all calls format the present second.
  static thread_local std::pair<std::chrono::sys_seconds, std::string> last;
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  if (last.second.empty() || last.first != second) last = {second, format(time, 0)};
  return last.second;
}
std::string format_micro_time(Time time) { return format(time, 6); }
std::string format_nano_time(Time time) { return format(time, 9); }

Result<Time> parse_time(std::string_view text) {
  auto bad = [&] { return error(Code::kInvalid, quoted(text) + " is not an RFC 3339 time (2006-01-02T15:04:05Z)"); };
  std::string_view rest = text;
  int year, month, day, hour, minute, second, offset;
  bool ok = consume(rest, 4, year) && consume(rest, '-') && consume(rest, 2, month) && consume(rest, '-') &&
            consume(rest, 2, day) && consume(rest, 'T') && consume(rest, 2, hour) && consume(rest, ':') &&
            consume(rest, 2, minute) && consume(rest, ':') && consume(rest, 2, second);
  if (!ok || hour > 23 || minute > 59 || second > 59) return bad();
  std::int64_t nano = 0;
  if (consume(rest, '.')) {
    if (rest.empty() || !is_digit(rest[0])) return bad();
    nano = consume_fraction(rest);
  }
  if (!consume_offset(rest, offset) || !rest.empty()) return bad();
  std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                   std::chrono::day(static_cast<unsigned>(day))};
  if (!date.ok()) return bad();
  std::int64_t seconds = Days(date).time_since_epoch().count() * 86400LL + hour * 3600 + minute * 60 + second - offset;
  // 64 bits of nanoseconds reach from 1678 to 2262.
  if (seconds > INT64_MAX / kSecond - 1 || seconds < INT64_MIN / kSecond + 1) {
    return error(Code::kInvalid, quoted(text) + " is outside of the years 1678 to 2262");
  }
  return Time(Duration(seconds * kSecond + nano));
}

Result<Duration> parse_duration(std::string_view text) {
  auto bad = [&](const char* what) { return error(Code::kInvalid, std::string("time: ") + what + " " + quoted(text)); };
  std::string_view rest = text;
  bool negative = consume(rest, '-');
  if (!negative) consume(rest, '+');
  if (rest == "0") return Duration(0);
  if (rest.empty()) return bad("invalid duration");
  __int128 total = 0;
  constexpr __int128 kLimit = static_cast<__int128>(INT64_MAX) + 1;
  while (!rest.empty()) {
    if (!is_digit(rest[0]) && rest[0] != '.') return bad("invalid duration");
    __int128 whole = 0;
    bool digits = false;
    for (; !rest.empty() && is_digit(rest[0]); rest.remove_prefix(1)) {
      digits = true;
      whole = whole * 10 + (rest[0] - '0');
      if (whole > kLimit) return bad("invalid duration");
    }
    std::int64_t fraction = 0;
    if (consume(rest, '.')) {
      digits = digits || (!rest.empty() && is_digit(rest[0]));
      fraction = consume_fraction(rest);
    }
    if (!digits) return bad("invalid duration");
    std::int64_t unit = consume_unit(rest);
    if (unit == 0) {
      return bad(rest.empty() || is_digit(rest[0]) ? "missing unit in duration" : "unknown unit in duration");
    }
    total += whole * unit + static_cast<__int128>(fraction) * unit / kSecond;
    if (total > kLimit) return bad("invalid duration");
  }
  if (negative) total = -total;
  if (total == kLimit) return bad("invalid duration");
  return Duration(static_cast<std::int64_t>(total));
}

std::string human_duration(Duration duration) {
  auto one = [](long n, const char* unit) { return std::to_string(n) + unit; };
  auto two = [&](long n, const char* unit, long m, const char* small) {
    return m == 0 ? one(n, unit) : one(n, unit) + one(m, small);
  };
  long seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  // A second of difference between the clocks of two machines is tolerated, as upstream.
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return one(seconds, "s");
  long minutes = seconds / 60;
  if (minutes < 10) return two(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return one(minutes, "m");
  long hours = minutes / 60;
  if (hours < 8) return two(hours, "h", minutes % 60, "m");
  if (hours < 48) return one(hours, "h");
  if (hours < 24 * 8) return two(hours / 24, "d", hours % 24, "h");
  if (hours < 24 * 365 * 2) return one(hours / 24, "d");
  if (hours < 24 * 365 * 8) return two(hours / 24 / 365, "y", hours / 24 % 365, "d");
  return one(hours / 24 / 365, "y");
}

}  // namespace berth

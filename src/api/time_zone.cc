#include "api/time_zone.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "base/files.h"
#include "base/text.h"

namespace berth::api {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr const char* kDatabase = "/usr/share/zoneinfo/";
constexpr std::int64_t kDay = 86400;

std::int64_t day_number(int year, int month, int day) {
  const std::chrono::year_month_day first{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                          std::chrono::day(1)};
  return sys_days(first).time_since_epoch().count() + day - 1;
}
int weekday_of(std::int64_t day) { return static_cast<int>(((day + 4) % 7 + 7) % 7); }  // 1970-01-01 was a Thursday
bool is_leap(int year) { return std::chrono::year(year).is_leap(); }
std::int64_t seconds_of(Time time) { return std::chrono::floor<std::chrono::seconds>(time).time_since_epoch().count(); }

// --- The rule behind the last listed transition: a POSIX TZ text such as "CET-1CEST,M3.5.0,M10.5.0/3"

struct ChangeDay {
  char kind = 'M';  // J: 1 to 365 without February 29th; 0: 0 to 365; M: month, week, weekday
  int month = 0, week = 0, day = 0;
  int second = 2 * 3600;  // of that day, on the clock that is valid until then

  // Seconds from the beginning of 1970 to the change, on the clock that is valid until then.
  std::int64_t in(int year) const {
    const std::int64_t january = day_number(year, 1, 1);
    if (kind == '0') return (january + day) * kDay + second;
    if (kind == 'J') return (january + day - 1 + (is_leap(year) && day >= 60 ? 1 : 0)) * kDay + second;
    const std::int64_t first = day_number(year, month, 1);
    const std::int64_t next = month == 12 ? day_number(year + 1, 1, 1) : day_number(year, month + 1, 1);
    std::int64_t found = first + (day - weekday_of(first) + 7) % 7 + (week - 1) * 7;
    while (found >= next) found -= 7;
    return found * kDay + second;
  }
};

struct Rule {
  int standard = 0, summer = 0;  // seconds east of UTC
  bool has_summer = false;
  ChangeDay begin, end;

  int offset(std::int64_t at) const {
    if (!has_summer) return standard;
    const std::chrono::year_month_day date{
        sys_days(days(std::chrono::floor<days>(std::chrono::seconds(at + standard)).count()))};
    std::int64_t latest = INT64_MIN;
    bool in_summer = false;
    for (int year = static_cast<int>(date.year()) - 1; year <= static_cast<int>(date.year()) + 1; ++year) {
      const std::int64_t starts = begin.in(year)-standard, ends = end.in(year)-summer;
      for (const auto& [when, what] : {std::pair{starts, true}, std::pair{ends, false}}) {
        if (when > at || when < latest) continue;
        latest = when;
        in_summer = what;
      }
    }
    return in_summer ? summer : standard;
  }
};

class RuleReader {
 public:
  explicit RuleReader(std::string_view text) : rest_(text) {}

  std::optional<Rule> read() {
    Rule rule;
    int offset = 0;
    if (!name() || !clock(offset)) return std::nullopt;
    rule.standard = -offset;
    if (rest_.empty()) return rule;
    if (!name()) return std::nullopt;
    rule.has_summer = true;
    rule.summer = rule.standard + 3600;
    if (!rest_.empty() && rest_[0] != ',') {
      if (!clock(offset)) return std::nullopt;
      rule.summer = -offset;
    }
    if (!take(',') || !change(rule.begin) || !take(',') || !change(rule.end) || !rest_.empty()) return std::nullopt;
    return rule;
  }

 private:
  bool take(char c) {
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool number(int& out, int low, int high) {
    std::size_t digits = 0;
    out = 0;
    while (digits < rest_.size() && digits < 4 && rest_[digits] >= '0' && rest_[digits] <= '9')
      out = out * 10 + (rest_[digits++] - '0');
    rest_.remove_prefix(digits);
    return digits > 0 && out >= low && out <= high;
  }
  bool name() {
    const bool quoted = take('<');
    std::size_t size = 0;
    auto belongs = [&](char c) {
      const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
      return letter || (quoted && ((c >= '0' && c <= '9') || c == '+' || c == '-'));
    };
    while (size < rest_.size() && belongs(rest_[size])) ++size;
    rest_.remove_prefix(size);
    return size >= 3 && (!quoted || take('>'));
  }
  // [+-]hours[:minutes[:seconds]]
  bool clock(int& seconds) {
    const int sign = take('-') ? -1 : 1;
    if (sign == 1) take('+');
    int hours = 0, minutes = 0, rest = 0;
    if (!number(hours, 0, 167)) return false;
    if (take(':') && (!number(minutes, 0, 59) || (take(':') && !number(rest, 0, 59)))) return false;
    seconds = sign * (hours * 3600 + minutes * 60 + rest);
    return true;
  }
  bool change(ChangeDay& out) {
    if (take('M')) {
      out.kind = 'M';
      if (!number(out.month, 1, 12) || !take('.') || !number(out.week, 1, 5) || !take('.') || !number(out.day, 0, 6))
        return false;
    } else if (take('J')) {
      out.kind = 'J';
      if (!number(out.day, 1, 365)) return false;
    } else {
      out.kind = '0';
      if (!number(out.day, 0, 365)) return false;
    }
    return !take('/') || clock(out.second);
  }

  std::string_view rest_;
};

// --- The file

class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : rest_(bytes) {}
  bool has(std::size_t count) const { return rest_.size() >= count; }
  std::string_view take(std::size_t count) {
    std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::int64_t number(int size) {  // big-endian, signed
    std::uint64_t value = 0;
    for (char c : take(static_cast<std::size_t>(size))) value = value << 8 | static_cast<unsigned char>(c);
    return size == 8 ? static_cast<std::int64_t>(value) : static_cast<std::int32_t>(value);
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

struct Header {
  char version = 0;
  std::size_t utc_marks = 0, standard_marks = 0, leaps = 0, times = 0, types = 0, chars = 0;
  std::size_t size(std::size_t word) const {
    return times * word + times + types * 6 + chars + leaps * (word + 4) + standard_marks + utc_marks;
  }
};

std::optional<Header> read_header(Bytes& bytes) {
  constexpr std::size_t kSize = 44;
  if (!bytes.has(kSize) || bytes.take(4) != "TZif") return std::nullopt;
  Header header;
  header.version = bytes.take(16)[0];
  for (std::size_t* count :
       {&header.utc_marks, &header.standard_marks, &header.leaps, &header.times, &header.types, &header.chars}) {
    const std::int64_t value = bytes.number(4);
    if (value < 0 || value > 100000) return std::nullopt;
    *count = static_cast<std::size_t>(value);
  }
  return header;
}

}  // namespace

struct TimeZone::Data {
  std::vector<std::int64_t> times;  // when the offset changed, and to which
  std::vector<int> offsets;
  int first = 0;  // before all of them
  std::optional<Rule> rule;

  int offset(std::int64_t at) const {
    if (rule && (times.empty() || at >= times.back())) return rule->offset(at);
    const auto next = std::upper_bound(times.begin(), times.end(), at);
    return next == times.begin() ? first : offsets[static_cast<std::size_t>(next - times.begin()) - 1];
  }
};

Result<TimeZone> TimeZone::parse(std::string_view tzif) {
  const Error bad = error(Code::kInvalid, "malformed time zone information");
  Bytes bytes(tzif);
  std::optional<Header> header = read_header(bytes);
  if (!header) return bad;
  int word = 4;
  if (header->version >= '2') {  // the same once more, in 64 bits
    if (!bytes.has(header->size(4))) return bad;
    bytes.take(header->size(4));
    header = read_header(bytes);
    word = 8;
  }
  if (!header || header->types == 0 || !bytes.has(header->size(static_cast<std::size_t>(word)))) return bad;
  auto data = std::make_shared<Data>();
  for (std::size_t i = 0; i < header->times; ++i) data->times.push_back(bytes.number(word));
  if (!std::is_sorted(data->times.begin(), data->times.end())) return bad;
  const std::string_view chosen = bytes.take(header->times);
  std::vector<int> types;
  for (std::size_t i = 0; i < header->types; ++i) {
    types.push_back(static_cast<int>(bytes.number(4)));
    bytes.take(2);
  }
  for (char type : chosen) {
    const auto index = static_cast<unsigned char>(type);
    if (index >= types.size()) return bad;
    data->offsets.push_back(types[index]);
  }
  data->first = types[0];
  bytes.take(header->chars + header->leaps * static_cast<std::size_t>(word + 4) + header->standard_marks +
             header->utc_marks);
  const std::string_view footer = bytes.rest();
  if (word == 8 && footer.size() > 2 && footer.front() == '\n' && footer.back() == '\n') {
    data->rule = RuleReader(footer.substr(1, footer.size() - 2)).read();
    if (!data->rule) return bad;
  }
  TimeZone zone;
  zone.data_ = std::move(data);
  return zone;
}

Result<TimeZone> TimeZone::named(std::string_view name) {
  if (name.empty() || name == "UTC") return TimeZone();
  if (name == "Local") return of_this_machine();
  const Error unknown = error(Code::kNotFound, "unknown time zone " + std::string(name));
  for (std::string_view part : split(name, '/')) {
    if (part.empty() || part == "." || part == "..") return unknown;
  }
  if (name.find('\0') != std::string_view::npos) return unknown;
  Result<std::string> content = read_file(kDatabase + std::string(name));
  if (!content.ok() || !content->starts_with("TZif")) return unknown;
  return parse(*content);
}

TimeZone TimeZone::of_this_machine() {
  const char* variable = std::getenv("TZ");
  if (variable) {
    std::string_view value = variable;
    if (value.starts_with(":")) value.remove_prefix(1);
    if (!value.starts_with("/")) {
      Result<TimeZone> zone = value == "Local" ? TimeZone() : named(value);
      return zone.ok() ? *zone : TimeZone();
    }
  }
  Result<std::string> content =
      read_file(variable ? std::string(variable).substr(*variable == ':' ? 1 : 0) : "/etc/localtime");
  if (!content.ok()) return TimeZone();
  Result<TimeZone> zone = parse(*content);
  return zone.ok() ? *zone : TimeZone();
}

TimeZone::Wall TimeZone::wall(Time time) const {
  const std::int64_t at = seconds_of(time);
  Wall wall{};
  wall.offset = data_ ? data_->offset(at) : 0;
  const std::int64_t local = at + wall.offset;
  const std::int64_t day = (local >= 0 ? local : local - kDay + 1) / kDay;
  const std::chrono::year_month_day date{sys_days(days(day))};
  wall.year = static_cast<int>(date.year());
  wall.month = static_cast<int>(static_cast<unsigned>(date.month()));
  wall.day = static_cast<int>(static_cast<unsigned>(date.day()));
  const int of_day = static_cast<int>(local - day * kDay);
  wall.hour = of_day / 3600;
  wall.minute = of_day / 60 % 60;
  wall.second = of_day % 60;
  wall.weekday = weekday_of(day);
  return wall;
}

Time TimeZone::start_of_day(int year, int month, int day) const {
  const std::int64_t local = day_number(year, month, day) * kDay;
  auto offset_at = [&](std::int64_t at) { return data_ ? data_->offset(at) : 0; };
  // Midnight is at `local` less the offset before or behind a change nearby; the day begins at the first moment whose
  // clock shows midnight or, where midnight was skipped, at the change itself.
  std::int64_t low = local - kDay - 3600 * 2, high = local + kDay + 3600 * 2;  // before, behind: no offset is larger
  for (int offset : {offset_at(low), offset_at(high)}) {
    const std::int64_t candidate = local - offset;
    if (candidate + offset_at(candidate) == local) high = std::min(high, candidate);
  }
  if (high <= local + kDay) return Time(std::chrono::seconds(high));
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (middle + offset_at(middle) >= local ? high : low) = middle;
  }
  return Time(std::chrono::seconds(high));
}

std::string TimeZone::format(Time time) const {
  const Wall at = wall(time);
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%04d-%02d-%02dT%02d:%02d:%02d", at.year, at.month, at.day, at.hour, at.minute,
                at.second);
  std::string text = buffer;
  if (at.offset == 0) return text + "Z";
  const int minutes = std::abs(at.offset) / 60;
  std::snprintf(buffer, sizeof buffer, "%c%02d:%02d", at.offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
  return text + buffer;
}

}  // namespace berth::api

#include "base/yaml/scalar.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <string>

namespace berth::yaml {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

template <std::size_t n>
bool one_of(std::string_view text, const std::string_view (&list)[n]) {
  for (std::string_view each : list) {
    if (each == text) return true;
  }
  return false;
}

constexpr std::string_view kNulls[] = {"", "~", "null", "Null", "NULL"};
constexpr std::string_view kTrue[] = {"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"};
constexpr std::string_view kFalse[] = {"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"};
constexpr std::string_view kUnprintable[] = {".nan",  ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF",
                                             "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF"};

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool looks_like_float(std::string_view text) {
  std::size_t at = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  std::size_t whole = 0, fraction = 0;
  for (; at < text.size() && is_digit(text[at]); ++at) ++whole;
  if (at < text.size() && text[at] == '.') {
    for (++at; at < text.size() && is_digit(text[at]); ++at) ++fraction;
  }
  if (whole + fraction == 0) return false;
  if (at == text.size()) return true;
  if (text[at] != 'e' && text[at] != 'E') return false;
  ++at;
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  std::size_t exponent = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  return at == text.size() && at > exponent;
}

// A double with an integral value becomes an integer, as when Go converts YAML by way of JSON.
Value number(double value) {
  if (std::floor(value) == value && std::fabs(value) < 9e18) return Value(static_cast<std::int64_t>(value));
  return Value(value);
}

// Go's ParseInt with base 0, without underscores: 0x, 0o, 0b, and 0 before octal digits.
bool parse_integer(std::string_view text, Value& out) {
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.size() > 1 && text[0] == '0') {
    char kind = static_cast<char>(text[1] | 0x20);
    base = kind == 'x' ? 16 : kind == 'b' ? 2 : 8;
    text.remove_prefix(kind == 'x' || kind == 'b' || kind == 'o' ? 2 : 1);
  }
  std::uint64_t magnitude = 0;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), magnitude, base);
  if (text.empty() || failed != std::errc() || end != text.data() + text.size()) return false;
  constexpr std::uint64_t kTop = std::uint64_t{1} << 63;
  if (magnitude < kTop) {
    auto value = static_cast<std::int64_t>(magnitude);
    out = Value(negative ? -value : value);
  } else if (negative && magnitude == kTop) {
    out = Value(INT64_MIN);
  } else if (!negative) {
    out = Value(static_cast<double>(magnitude));
  } else {
    return false;
  }
  return true;
}

bool is_base60(std::string_view text) {
  // "12:30:45" is a number to YAML 1.1 readers other than ours.
  if (text.empty() || text.find(':') == std::string_view::npos) return false;
  for (char c : text) {
    if (!is_digit(c) && c != ':' && c != '.' && c != '_' && c != '-' && c != '+') return false;
  }
  return is_digit(text.back()) || text.back() == '.';
}

bool looks_like_date(std::string_view text) {
  return text.size() >= 8 && is_digit(text[0]) && is_digit(text[1]) && is_digit(text[2]) && is_digit(text[3]) &&
         text[4] == '-' && is_digit(text[5]);
}

}  // namespace

Value resolve_plain(std::string_view text, bool& unprintable) {
  unprintable = false;
  if (one_of(text, kNulls)) return Value();
  if (one_of(text, kTrue)) return Value(true);
  if (one_of(text, kFalse)) return Value(false);
  char first = text[0];
  if (!is_digit(first) && first != '-' && first != '+' && first != '.') return Value(text);
  if (one_of(text, kUnprintable)) {
    unprintable = true;
    return Value();
  }
  std::string digits;
  for (char c : text) {
    if (c != '_') digits += c;
  }
  Value out;
  if (first != '.' && parse_integer(digits, out)) return out;
  // Underscores are allowed in numbers that start with a digit or a sign.
  if (looks_like_float(first == '.' ? text : std::string_view(digits))) {
    double value = std::strtod(digits.c_str(), nullptr);
    if (std::isfinite(value)) return number(value);
  }
  return Value(text);
}

bool plain_is_string(std::string_view text) {
  bool unprintable;
  return resolve_plain(text, unprintable).is_string() && !is_base60(text) && !looks_like_date(text) && text != "<<" &&
         text != "=";
}

}  // namespace berth::yaml

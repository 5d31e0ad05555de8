// Walks the layout piece by piece, as time.Parse does: an error names the piece and what was left of the text there.
#include "api/schema/go_time.h"

#include <cctype>
#include <chrono>

#include "base/text.h"

namespace berth::api::schema {
namespace {

bool digit(std::string_view text, std::size_t at) {
  return at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0;
}
bool digits(std::string_view text, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (!digit(text, i)) return false;
  }
  return true;
}

// One number of the layout: how many digits it has at least and at most, and the values it may have.
struct Piece {
  std::string_view layout, separator;  // the separator follows it
  std::size_t least, most;
  int low, high;
  std::string_view what;  // is out of range
};
constexpr Piece kPieces[] = {
    {"2006", "-", 4, 4, 0, 9999, "year"}, {"01", "-", 2, 2, 1, 12, "month"},  {"02", "T", 2, 2, 0, 99, "day"},
    {"15", ":", 1, 2, 0, 23, "hour"},     {"04", ":", 2, 2, 0, 59, "minute"}, {"05", "", 2, 2, 0, 59, "second"},
};

struct Walk {
  std::string_view text, rest;
  std::string head;

  Walk(std::string_view t, bool micro) : text(t), rest(t) {
    std::string_view layout = micro ? "2006-01-02T15:04:05.000000Z07:00" : "2006-01-02T15:04:05Z07:00";
    head = "parsing time " + quoted(text);
    missing = head + " as " + quoted(layout) + ": cannot parse ";
  }
  std::string missing;

  std::string cannot(std::string_view piece) const { return missing + quoted(rest) + " as " + quoted(piece); }
  std::string beyond(std::string_view what) const { return head + ": " + std::string(what) + " out of range"; }

  std::string number(const Piece& piece) {
    std::size_t count = piece.least;
    if (!digits(rest, piece.least)) return cannot(piece.layout);
    while (count < piece.most && digit(rest, count)) ++count;
    const int value = static_cast<int>(parse_int(rest.substr(0, count)).value());
    if (value < piece.low || value > piece.high) return beyond(piece.what);
    rest.remove_prefix(count);
    return {};
  }
  std::string separator(std::string_view wanted) {
    if (!rest.starts_with(wanted)) return cannot(wanted);
    rest.remove_prefix(wanted.size());
    return {};
  }
  std::string fraction(bool micro) {
    if (micro) {
      if (rest.size() < 7 || rest[0] != '.' || !digits(rest.substr(1), 6)) return cannot(".000000");
      rest.remove_prefix(7);
      return {};
    }
    if (rest.size() < 2 || rest[0] != '.' || !digit(rest, 1)) return {};
    rest.remove_prefix(1);
    while (digit(rest, 0)) rest.remove_prefix(1);
    return {};
  }
  std::string zone() {
    if (rest.starts_with('Z')) {
      rest.remove_prefix(1);
      return {};
    }
    const bool formed = rest.size() >= 6 && (rest[0] == '+' || rest[0] == '-') && digits(rest.substr(1), 2) &&
                        rest[3] == ':' && digits(rest.substr(4), 2);
    if (!formed) return cannot("Z07:00");
    if (rest.substr(1, 2) > "24") return beyond("time zone offset hour");
    if (rest.substr(4, 2) > "60") return beyond("time zone offset minute");
    rest.remove_prefix(6);
    return {};
  }
};

}  // namespace

std::string go_time_problem(std::string_view text, bool micro) {
  Walk walk(text, micro);
  for (const Piece& piece : kPieces) {
    if (std::string problem = walk.number(piece); !problem.empty()) return problem;
    if (std::string problem = walk.separator(piece.separator); !problem.empty()) return problem;
  }
  if (std::string problem = walk.fraction(micro); !problem.empty()) return problem;
  if (std::string problem = walk.zone(); !problem.empty()) return problem;
  if (!walk.rest.empty()) return walk.head + ": extra text: " + quoted(walk.rest);
  const auto part = [&](std::size_t at, std::size_t count) {
    return static_cast<unsigned>(parse_int(text.substr(at, count)).value());
  };
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(part(0, 4))),
                                         std::chrono::month(part(5, 2)), std::chrono::day(part(8, 2))};
  return date.ok() ? std::string() : walk.beyond("day");
}

}  // namespace berth::api::schema

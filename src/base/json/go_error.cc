#include "base/json/go_error.h"

#include "base/text.h"

namespace berth::json {
namespace {

// "offset 12: what" -> 12
std::size_t offset_of(const Error& problem) {
  Cut parts = cut(problem.message, ": ");
  constexpr std::string_view kPrefix = "offset ";
  if (!parts.before.starts_with(kPrefix)) return 0;
  Result<long> offset = parse_int(parts.before.substr(kPrefix.size()));
  return offset.ok() && *offset > 0 ? static_cast<std::size_t>(*offset) : 0;
}

// A character as Go quotes it.
std::string quoted_character(unsigned char c) {
  if (c == '\'') return "'\\''";
  if (c == '"') return "'\"'";
  if (c == '\n') return "'\\n'";
  if (c == '\t') return "'\\t'";
  if (c == '\r') return "'\\r'";
  if (c >= 0x20 && c < 0x7F) return std::string("'") + static_cast<char>(c) + "'";
  // Go prints a byte as the rune of that number (Latin-1), here in UTF-8.
  if (c > 0xA0 && c != 0xAD) return {'\'', static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F)), '\''};
  constexpr std::string_view kHex = "0123456789abcdef";
  return std::string(c < 0x20 || c == 0x7F ? "'\\x" : "'\\u00") + kHex[c >> 4] + kHex[c & 15] + "'";
}

// Where in the grammar the parser stood, as Go words it.
std::string_view place_of(std::string_view what) {
  if (what.find("after the value") != what.npos) return "after top-level value";
  if (what.find("quoted key") != what.npos) return "looking for beginning of object key string";
  if (what.find("':' expected") != what.npos) return "after object key";
  if (what.find("',' or ']'") != what.npos) return "after array element";
  if (what.find("',' or '}'") != what.npos) return "after object key:value pair";
  if (what.find("control character") != what.npos) return "in string literal";
  if (what.find("escape") != what.npos) return "in string escape code";
  if (what.find("hexadecimal") != what.npos) return "in \\u hexadecimal character escape";
  if (what.find("digit") != what.npos) return "in numeric literal";
  return "looking for beginning of value";
}

}  // namespace

std::string go_error_text(std::string_view text, const Error& problem) {
  std::size_t offset = offset_of(problem);
  std::string_view what = problem.message;
  if (offset >= text.size() || what.find("unexpected end") != what.npos) return "unexpected end of JSON input";
  if (what.find("nested too deeply") != what.npos) return "exceeded max depth";
  return "invalid character " + quoted_character(static_cast<unsigned char>(text[offset])) + " " + std::string(place_of(what));
}

}  // namespace berth::json

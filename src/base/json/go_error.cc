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
  if (c > 0xA0 && c != 0xAD)
    return {'\'', static_cast<char>(0xC0 | (c >> 6)), static_cast<char>(0x80 | (c & 0x3F)), '\''};
  constexpr std::string_view kHex = "0123456789abcdef";
  return std::string(c < 0x20 || c == 0x7F ? "'\\x" : "'\\u00") + kHex[c >> 4] + kHex[c & 15] + "'";
}

// The message for an extra character after the value before `offset`. The text up to there is well-formed.
std::string after_value(std::string_view text, std::size_t offset) {
  std::string open;
  for (std::size_t at = 0; at < offset; ++at) {
    if (text[at] == '"') {
      for (++at; at < offset && text[at] != '"'; ++at) at += text[at] == '\\' ? 1 : 0;
    } else if (text[at] == '[' || text[at] == '{') {
      open += text[at];
    } else if (text[at] == ']' || text[at] == '}') {
      open.pop_back();
    }
  }
  if (open.empty()) return "after top-level value";
  return open.back() == '[' ? "after array element" : "after object key:value pair";
}

// The offset of the unexpected character, and Go's words for its place in the grammar. parse() reports the offset at
// which the escape, number or word begins.
struct Unexpected {
  std::size_t offset;
  std::string words;
};

Unexpected unexpected_in_value(std::string_view text, std::size_t offset) {
  if (text[offset] == '-') return {offset + 1, "in numeric literal"};
  for (const std::string_view word : {"true", "false", "null"}) {
    if (text[offset] != word[0]) continue;
    std::size_t same = 1;
    while (same + 1 < word.size() && text[offset + same] == word[same]) ++same;
    return {offset + same, "in literal " + std::string(word) + " (expecting '" + word[same] + "')"};
  }
  return {offset, "looking for beginning of value"};
}

Unexpected find_unexpected(std::string_view text, std::size_t offset, std::string_view what) {
  if (what.find("after the value") != what.npos) return {offset, "after top-level value"};
  if (what.find("quoted key") != what.npos) return {offset, "looking for beginning of object key string"};
  if (what.find("':' expected") != what.npos) return {offset, "after object key"};
  if (what.find("',' or ']'") != what.npos) return {offset, "after array element"};
  if (what.find("',' or '}'") != what.npos) return {offset, "after object key:value pair"};
  if (what.find("control character") != what.npos) return {offset, "in string literal"};
  if (what.find("unknown escape") != what.npos) return {offset + 1, "in string escape code"};
  if (what.find("start with 0") != what.npos) return {offset + 1, after_value(text, offset)};
  if (what.find("hexadecimal") != what.npos) {
    return {text.find_first_not_of("0123456789abcdefABCDEF", offset + 2), "in \\u hexadecimal character escape"};
  }
  if (what.find("a digit") != what.npos)
    return {offset,
            text[offset - 1] == '.' ? "after decimal point in numeric literal" : "in exponent of numeric literal"};
  return unexpected_in_value(text, offset);
}

}  // namespace

std::string go_error_text(std::string_view text, const Error& problem) {
  std::size_t offset = offset_of(problem);
  std::string_view what = problem.message;
  // Go parses a space after the text, which is allowed between values and in strings, but not in escapes, numbers and
  // words.
  const std::string ended = std::string(text) + ' ';
  if (what.find("unexpected end") != what.npos) {
    const std::size_t last = text.find_last_not_of('\\');
    const bool escape = what.find("in a string") != what.npos && (text.size() - 1 - last) % 2 == 1;
    return escape ? "invalid character ' ' in string escape code" : "unexpected end of JSON input";
  }
  if (offset >= text.size() && what.find("a digit") == what.npos) return "unexpected end of JSON input";
  if (what.find("nested too deeply") != what.npos) return "exceeded max depth";
  const Unexpected unexpected = find_unexpected(ended, offset, what);
  return "invalid character " + quoted_character(static_cast<unsigned char>(ended[unexpected.offset])) + " " +
         unexpected.words;
}

}  // namespace berth::json

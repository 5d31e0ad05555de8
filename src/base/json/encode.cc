#include <array>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/json/node.h"

namespace berth::json {
namespace {

// By byte: 0: copied; 1: \u00XX; 2: part of a UTF-8 sequence; anything else: the letter after the backslash.
constexpr std::array<char, 256> kEscapes = [] {
  std::array<char, 256> table{};
  for (int c = 0; c < 0x20; ++c) table[c] = 1;
  for (int c = 0x80; c < 0x100; ++c) table[c] = 2;
  table['<'] = table['>'] = table['&'] = 1;  // Go's encoder escapes them, so that JSON inside HTML is no markup
  table['"'] = '"';
  table['\\'] = '\\';
  table['\b'] = 'b';
  table['\f'] = 'f';
  table['\n'] = 'n';
  table['\r'] = 'r';
  table['\t'] = 't';
  return table;
}();

// The compiler turns operations on these into vector instructions where the machine has them.
using Bytes16 = unsigned char __attribute__((vector_size(16)));

bool need_no_escapes(const unsigned char* at) {
  Bytes16 bytes;
  std::memcpy(&bytes, at, sizeof bytes);
  // `<` and `>` differ in one bit, `"` and `&` in another.
  auto special = (bytes < 0x20) | (bytes > 0x7F) | ((bytes & 0xFD) == '<') | ((bytes & 0xFB) == '"') | (bytes == '\\');
  std::uint64_t halves[2];
  std::memcpy(halves, &special, sizeof halves);
  return (halves[0] | halves[1]) == 0;
}
static_assert(('>' & 0xFD) == '<' && ('&' & 0xFB) == '"');

// The length of the well-formed UTF-8 sequence at `at`, or 0.
std::size_t sequence_length(const unsigned char* at, std::size_t left) {
  unsigned char c = at[0];
  std::size_t length = c >= 0xF0 && c <= 0xF4 ? 4 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xC2 && c < 0xE0 ? 2 : 0;
  if (length == 0 || length > left) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((at[i] & 0xC0) != 0x80) return 0;
  }
  if ((c == 0xE0 && at[1] < 0xA0) || (c == 0xED && at[1] > 0x9F)) return 0;
  if ((c == 0xF0 && at[1] < 0x90) || (c == 0xF4 && at[1] > 0x8F)) return 0;
  return length;
}

void append_int(std::int64_t value, std::string& out) {
  char buffer[24];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  out.append(buffer, end);
}

class Encoder {
 public:
  Encoder(std::string& out, int indent) : out_(out), indent_(indent) {}

  void encode(const Value& value) {
    switch (value.type()) {
      case Type::kNull: out_ += "null"; return;
      case Type::kBool: out_ += value.as_bool() ? "true" : "false"; return;
      case Type::kInt: append_int(value.as_int(), out_); return;
      case Type::kDouble: append_double(value.as_double(), out_); return;
      case Type::kString: append_string(value.as_string(), out_); return;
      case Type::kArray: array(value); return;
      case Type::kObject: object(value); return;
    }
  }

 private:
  void array(const Value& value) {
    out_ += '[';
    ++depth_;
    bool first = true;
    for (const Value& element : value) {
      if (!first) out_ += ',';
      first = false;
      line();
      encode(element);
    }
    --depth_;
    if (!first) line();
    out_ += ']';
  }
  void object(const Value& value) {
    out_ += '{';
    ++depth_;
    bool first = true;
    for (Entry entry : value.entries()) {
      if (!first) out_ += ',';
      first = false;
      line();
      append_string(entry.key, out_);
      out_ += ':';
      if (indent_ >= 0) out_ += ' ';
      encode(entry.value);
    }
    --depth_;
    if (!first) line();
    out_ += '}';
  }
  void line() {
    if (indent_ < 0) return;
    out_ += '\n';
    out_.append(depth_ * static_cast<std::size_t>(indent_), ' ');
  }

  std::string& out_;
  int indent_;  // -1: compact
  std::size_t depth_ = 0;
};

}  // namespace

void append_string(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t size = text.size(), from = 0, i = 0;
  if (size <= 48) {  // most are short and plain: in one piece
    char quoted[50];
    quoted[0] = '"';
    while (i < size && kEscapes[bytes[i]] == 0) {
      quoted[i + 1] = text[i];
      ++i;
    }
    if (i == size) {
      quoted[i + 1] = '"';
      out.append(quoted, size + 2);
      return;
    }
    i = 0;
  }
  out += '"';
  while (true) {
    while (i + sizeof(Bytes16) <= size && need_no_escapes(bytes + i)) i += sizeof(Bytes16);
    while (i < size && kEscapes[bytes[i]] == 0) ++i;
    if (i == size) break;
    const char escape = kEscapes[bytes[i]];
    std::size_t length = 1;
    if (escape == 2) {
      length = sequence_length(bytes + i, size - i);
      bool separator = length == 3 && bytes[i] == 0xE2 && bytes[i + 1] == 0x80 && (bytes[i + 2] & 0xFE) == 0xA8;
      if (length > 0 && !separator) {
        i += length;
        continue;
      }
      out.append(text.data() + from, i - from);
      out += length == 0 ? "\\ufffd" : bytes[i + 2] == 0xA8 ? "\\u2028" : "\\u2029";
      if (length == 0) length = 1;
    } else {
      out.append(text.data() + from, i - from);
      out += '\\';
      if (escape != 1) {
        out += escape;
      } else {
        out += "u00";
        out += kHex[bytes[i] >> 4];
        out += kHex[bytes[i] & 15];
      }
    }
    i += length;
    from = i;
  }
  out.append(text.data() + from, size - from);
  out += '"';
}

void append_double(double value, std::string& out) {
  if (!std::isfinite(value)) {
    out += "null";  // JSON has neither infinities nor NaN
    return;
  }
  double magnitude = std::fabs(value);
  char buffer[64];
  bool exponent = magnitude != 0 && (magnitude < 1e-6 || magnitude >= 1e21);
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<std::size_t>(end - buffer));
  std::size_t e = text.find('e');
  int power = 0;
  std::size_t digits_at = text[e + 1] == '+' ? e + 2 : e + 1;
  std::from_chars(text.data() + digits_at, text.data() + text.size(), power);
  if (exponent) {
    out.append(text.substr(0, e));
    // Go: e+21, but e-9 and not e-09.
    out += power < 0 ? "e-" : "e+";
    append_int(power < 0 ? -power : power, out);
    return;
  }
  // The shortest digits, padded with zeros: to_chars in fixed form prints all digits of a large number instead.
  std::string digits;
  for (char c : text.substr(0, e)) {
    if (c >= '0' && c <= '9') digits += c;
  }
  if (std::signbit(value)) out += '-';
  if (power < 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-power - 1), '0');
    out += digits;
    return;
  }
  std::size_t integer_digits = static_cast<std::size_t>(power) + 1;
  if (digits.size() <= integer_digits) {
    out += digits;
    out.append(integer_digits - digits.size(), '0');
  } else {
    out.append(digits, 0, integer_digits);
    out += '.';
    out.append(digits, integer_digits);
  }
}

void encode_to(const Value& value, std::string& out) { Encoder(out, -1).encode(value); }

std::string encode(const Value& value) {
  std::string out;
  if (value.is_array() || value.is_object()) out.reserve(1024);
  encode_to(value, out);
  return out;
}

std::string encode_pretty(const Value& value, int indent) {
  std::string out;
  Encoder(out, indent).encode(value);
  return out;
}

}  // namespace berth::json

// A single pass over the text that builds the nodes directly. The bulk check of UTF-8 is simdjson's; its parsers are
// not used, because they neither accept integers beyond 64 bits nor tell the offset of a DOM error.

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <unordered_set>

#include "base/json/intern.h"
#include "base/json/node.h"

namespace berth::json {
namespace {

// As the limit of Kubernetes' decoder.
constexpr std::size_t kMaxDuplicates = 100;
// With up to this many keys, duplicates are searched linearly; with more, in a set.
constexpr std::size_t kLinearKeys = 32;

// The parser recurses for each level of nesting: functions called on each level are not inlined, so that their locals
// do not enlarge the frames of the recursion.
#define BERTH_OWN_FRAME [[gnu::noinline]]

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::uint32_t code, std::string& out) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xC0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    out += static_cast<char>(0xE0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | (code >> 18));
    out += static_cast<char>(0x80 | ((code >> 12) & 0x3F));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    out += static_cast<char>(0x80 | (code & 0x3F));
  }
}

// The length of the valid prefix; only called for an error message, so bisection is fast enough. A text cut inside a
// character is invalid, so each step ends at a character's end.
std::size_t valid_prefix(std::string_view text) {
  std::size_t good = 0, bad = text.size();
  auto boundary = [&](std::size_t at) {
    while (at > good && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    return at;
  };
  while (good < bad) {
    std::size_t middle = boundary((good + bad) / 2);
    if (middle == good) break;
    if (simdjson::validate_utf8(text.data() + good, middle - good))
      good = middle;
    else
      bad = middle;
  }
  return good;
}

class Parser {
 public:
  Parser(std::string_view text, const ParseOptions& options)
      : begin_(text.data()), at_(text.data()), end_(text.data() + text.size()), options_(options) {}
  // Members of objects that are incomplete because parsing failed.
  ~Parser() {
    for (const Member& member : members_) release_key(member.key);
  }
  Parser(const Parser&) = delete;

  Result<Value> run() {
    Value value;
    skip_space();
    if (!parse_value(value, 0)) return failure();
    skip_space();
    if (at_ != end_) {
      fail("unexpected text after the value");
      return failure();
    }
    return value;
  }

 private:
  bool fail(const char* what) {
    if (problem_ == nullptr) {
      problem_ = what;
      problem_at_ = at_;
    }
    return false;
  }
  bool fail_at(const char* where, const char* what) {
    at_ = where;
    return fail(what);
  }
  Error failure() const {
    return error(Code::kBadRequest, "offset " + std::to_string(problem_at_ - begin_) + ": " + problem_);
  }

  void skip_space() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t')) ++at_;
  }

  bool word(const char* text, std::size_t size) {
    if (static_cast<std::size_t>(end_ - at_) < size || std::memcmp(at_, text, size) != 0) {
      return fail("a JSON value expected");
    }
    at_ += size;
    return true;
  }

  bool parse_value(Value& out, std::size_t depth) {
    if (at_ == end_) return fail("unexpected end of text");
    switch (*at_) {
      case '{': return parse_object(out, depth + 1);
      case '[': return parse_array(out, depth + 1);
      case '"': return parse_text(out);
      case 't': return parse_word(out, true, "true", 4);
      case 'f': return parse_word(out, false, "false", 5);
      case 'n': return parse_word(out, nullptr, "null", 4);
      default: return parse_number(out);
    }
  }

  template <class T>
  BERTH_OWN_FRAME bool parse_word(Value& out, T value, const char* text, std::size_t size) {
    out = Value(value);
    return word(text, size);
  }

  BERTH_OWN_FRAME bool parse_text(Value& out) {
    std::string_view text;
    if (!parse_string(text)) return false;
    out = Value(text);
    return true;
  }

  BERTH_OWN_FRAME bool parse_number(Value& out) {
    const char* start = at_;
    if (*at_ == '-') ++at_;
    if (at_ == end_ || !is_digit(*at_)) return fail_at(start, "a JSON value expected");
    if (*at_ == '0' && at_ + 1 != end_ && is_digit(at_[1])) return fail("a number may not start with 0");
    while (at_ != end_ && is_digit(*at_)) ++at_;
    bool integer = true;
    if (at_ != end_ && *at_ == '.') {
      integer = false;
      ++at_;
      if (at_ == end_ || !is_digit(*at_)) return fail("a digit expected");
      while (at_ != end_ && is_digit(*at_)) ++at_;
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      integer = false;
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (at_ == end_ || !is_digit(*at_)) return fail("a digit expected");
      while (at_ != end_ && is_digit(*at_)) ++at_;
    }
    if (integer) {
      std::int64_t number = 0;
      if (std::from_chars(start, at_, number).ec == std::errc()) {
        out = Value(number);
        return true;
      }
    }
    double number = 0;
    if (std::from_chars(start, at_, number).ec != std::errc()) {
      // Too large, or too small to tell from zero; only strtod says which.
      number = std::strtod(std::string(start, at_).c_str(), nullptr);
      if (!std::isfinite(number)) return fail_at(start, "number out of range");
    }
    out = Value(number);
    return true;
  }

  // Eight bytes at a time up to the first that ends or interrupts a plain string.
  void skip_plain() {
    constexpr std::uint64_t kOnes = 0x0101010101010101ull, kHighs = 0x8080808080808080ull;
    while (end_ - at_ >= 8) {
      std::uint64_t word;
      std::memcpy(&word, at_, 8);
      std::uint64_t quote = word ^ (kOnes * '"');
      std::uint64_t slash = word ^ (kOnes * '\\');
      std::uint64_t hit = ((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) | ((word - kOnes * 0x20) & ~word);
      if ((hit & kHighs) != 0) break;
      at_ += 8;
    }
    while (at_ != end_ && *at_ != '"' && *at_ != '\\' && static_cast<unsigned char>(*at_) >= 0x20) ++at_;
  }

  // `out` is valid until the next call.
  bool parse_string(std::string_view& out) {
    const char* start = ++at_;
    skip_plain();
    if (at_ != end_ && *at_ == '"') {
      out = {start, static_cast<std::size_t>(at_++ - start)};
      return true;
    }
    buffer_.assign(start, at_);
    while (at_ != end_ && *at_ != '"') {
      if (static_cast<unsigned char>(*at_) < 0x20) return fail("control character in a string");
      if (*at_ == '\\') {
        if (!parse_escape()) return false;
      }
      const char* plain = at_;
      skip_plain();
      buffer_.append(plain, at_);
    }
    if (at_ == end_) return fail("unexpected end of text in a string");
    ++at_;
    out = buffer_;
    return true;
  }

  bool parse_escape() {
    const char* start = at_++;
    if (at_ == end_) return fail("unexpected end of text in a string");
    switch (char c = *at_++) {
      case '"':
      case '\\':
      case '/': buffer_ += c; return true;
      case 'b': buffer_ += '\b'; return true;
      case 'f': buffer_ += '\f'; return true;
      case 'n': buffer_ += '\n'; return true;
      case 'r': buffer_ += '\r'; return true;
      case 't': buffer_ += '\t'; return true;
      case 'u': break;
      default: return fail_at(start, "unknown escape in a string");
    }
    std::uint32_t code = 0, low = 0;
    if (!hex4(code)) return fail_at(start, "four hexadecimal digits expected after \\u");
    if (code >= 0xD800 && code < 0xE000) {
      const char* after = at_;
      bool pair = code < 0xDC00 && end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u';
      if (pair) {
        at_ += 2;
        pair = hex4(low) && low >= 0xDC00 && low < 0xE000;
      }
      if (pair) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      } else {
        at_ = after;
        code = 0xFFFD;  // half of a surrogate pair: U+FFFD, as in Go
      }
    }
    append_utf8(code, buffer_);
    return true;
  }

  bool hex4(std::uint32_t& out) {
    if (end_ - at_ < 4) return false;
    auto [end, failed] = std::from_chars(at_, at_ + 4, out, 16);
    if (failed != std::errc() || end != at_ + 4) return false;
    at_ += 4;
    return true;
  }

  BERTH_OWN_FRAME bool parse_array(Value& out, std::size_t depth) {
    if (depth > options_.max_depth) return fail("nested too deeply");
    ++at_;
    skip_space();
    std::size_t base = values_.size();
    if (at_ != end_ && *at_ == ']') {
      ++at_;
      return empty(out, Type::kArray);
    }
    enter();
    for (;;) {
      if (!parse_value(out, depth)) return false;
      keep(out);
      skip_space();
      if (at_ == end_) return fail("unexpected end of text in an array");
      char c = *at_;
      if (c != ',' && c != ']') return fail("',' or ']' expected");
      ++at_;
      if (c == ']') break;
      if (tracking()) ++path_.back().index;
      skip_space();
    }
    return finish_array(out, base);
  }

  // The key and its colon; null on failure.
  BERTH_OWN_FRAME const InternedKey* parse_key() {
    std::string_view text;
    if (at_ == end_ || *at_ != '"') {
      fail(at_ == end_ ? "unexpected end of text in an object" : "a quoted key expected");
      return nullptr;
    }
    if (!parse_string(text)) return nullptr;
    const InternedKey* key = intern(text);
    skip_space();
    if (at_ == end_ || *at_ != ':') {
      release_key(key);
      fail("':' expected");
      return nullptr;
    }
    ++at_;
    skip_space();
    return key;
  }

  BERTH_OWN_FRAME bool parse_object(Value& out, std::size_t depth) {
    if (depth > options_.max_depth) return fail("nested too deeply");
    ++at_;
    skip_space();
    std::size_t base = members_.size();
    if (at_ != end_ && *at_ == '}') {
      ++at_;
      return empty(out, Type::kObject);
    }
    enter();
    for (;;) {
      const InternedKey* key = parse_key();
      if (key == nullptr) return false;
      if (tracking()) note_key(key, base);
      if (!parse_value(out, depth)) return give_up(key);
      keep(key, out);
      skip_space();
      if (at_ == end_) return fail("unexpected end of text in an object");
      char c = *at_;
      if (c != ',' && c != '}') return fail("',' or '}' expected");
      ++at_;
      if (c == '}') break;
      skip_space();
    }
    return finish_object(out, base);
  }

  BERTH_OWN_FRAME bool give_up(const InternedKey* key) {
    release_key(key);
    return false;
  }
  BERTH_OWN_FRAME void enter() {
    if (tracking()) path_.emplace_back();
  }
  BERTH_OWN_FRAME bool empty(Value& out, Type type) {
    out = Builder::adopt(type, nullptr);
    return true;
  }
  BERTH_OWN_FRAME void keep(Value& value) { values_.push_back(std::move(value)); }
  BERTH_OWN_FRAME void keep(const InternedKey* key, Value& value) { members_.push_back(Member{key, std::move(value)}); }
  BERTH_OWN_FRAME bool finish_array(Value& out, std::size_t base) {
    if (tracking()) path_.pop_back();
    out = Builder::array_of(values_.data() + base, values_.size() - base);
    values_.resize(base);
    return true;
  }
  BERTH_OWN_FRAME bool finish_object(Value& out, std::size_t base) {
    if (tracking()) path_.pop_back();
    out = Builder::object_of(members_.data() + base, members_.size() - base);
    members_.resize(base);
    return true;
  }
  BERTH_OWN_FRAME void note_key(const InternedKey* key, std::size_t base) {
    path_.back().key = key;
    if (is_duplicate(key, base)) report_duplicate();
  }

  bool tracking() const { return options_.duplicates != nullptr; }

  bool is_duplicate(const InternedKey* key, std::size_t base) {
    auto& seen = path_.back().seen;
    if (seen == nullptr && members_.size() - base < kLinearKeys) {
      for (std::size_t i = base; i < members_.size(); ++i) {
        if (members_[i].key == key) return true;
      }
      return false;
    }
    if (seen == nullptr) {
      seen = std::make_unique<std::unordered_set<const InternedKey*>>();
      for (std::size_t i = base; i < members_.size(); ++i) seen->insert(members_[i].key);
    }
    return !seen->insert(key).second;
  }

  void report_duplicate() {
    std::vector<std::string>& list = *options_.duplicates;
    if (list.size() >= kMaxDuplicates) return;
    std::string path;
    for (const Step& step : path_) {
      if (step.key == nullptr) {
        path += '[' + std::to_string(step.index) + ']';
      } else {
        if (!path.empty()) path += '.';
        path += step.key->view();
      }
    }
    if (std::find(list.begin(), list.end(), path) == list.end()) list.push_back(std::move(path));
  }

  struct Step {
    const InternedKey* key = nullptr;  // null in an array
    std::size_t index = 0;
    std::unique_ptr<std::unordered_set<const InternedKey*>> seen;  // the keys so far, where there are many
  };

  const char* begin_;
  const char* at_;
  const char* end_;
  const ParseOptions& options_;
  const char* problem_ = nullptr;
  const char* problem_at_ = nullptr;
  std::string buffer_;  // the last string that had escapes
  // Elements and members of the open arrays and objects; a node is allocated in its exact size at the end.
  std::vector<Value> values_;
  std::vector<Member> members_;
  std::vector<Step> path_;
};

}  // namespace

Result<Value> parse(std::string_view text, const ParseOptions& options) {
  if (!simdjson::validate_utf8(text.data(), text.size())) {
    return error(Code::kBadRequest, "offset " + std::to_string(valid_prefix(text)) + ": not valid UTF-8");
  }
  return Parser(text, options).run();
}

}  // namespace berth::json

#include <algorithm>

#include "base/json/json.h"
#include "base/text.h"
#include "base/yaml/scalar.h"
#include "base/yaml/yaml.h"

namespace berth::yaml {
namespace {

// Control characters, invalid UTF-8, and separators that are line ends or not printable in YAML.
bool has_special(std::string_view text) {
  if (!valid_utf8(text)) return true;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if ((c < 0x20 && c != '\n') || c == 0x7F) return true;
    if (c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) return true;  // C1 controls, NEL
    if (c == 0xE2 && text.substr(i, 2) == "\xE2\x80" && (static_cast<unsigned char>(text[i + 2]) & 0xFE) == 0xA8)
      return true;
    if (c == 0xEF && (text.substr(i, 3) == "\xEF\xBB\xBF" || text.substr(i, 2) == "\xEF\xBF")) return true;
  }
  return false;
}

// Whether the characters of a one-line string allow the plain style at all.
bool plain_allowed(std::string_view text) {
  if (text.empty() || text.front() == ' ' || text.back() == ' ' || text.back() == ':') return false;
  if (text.starts_with("---") || text.starts_with("...")) return false;
  constexpr std::string_view kIndicators = "#,[]{}&*!|>'\"%@`";
  if (kIndicators.find(text[0]) != std::string_view::npos) return false;
  bool single = text.size() == 1 || text[1] == ' ';
  if ((text[0] == '-' || text[0] == '?' || text[0] == ':') && single) return false;
  return text.find(": ") == std::string_view::npos && text.find(" #") == std::string_view::npos;
}

std::string double_quoted(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    static constexpr char kHex[] = "0123456789ABCDEF";
    switch (c) {
      case '"': out += "\\\""; continue;
      case '\\': out += "\\\\"; continue;
      case '\n': out += "\\n"; continue;
      case '\r': out += "\\r"; continue;
      case '\t': out += "\\t"; continue;
      default: break;
    }
    if (c < 0x20 || c == 0x7F) {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else if (c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0) {
      auto low = static_cast<unsigned char>(text[++i]);
      out += "\\x";
      out += kHex[low >> 4];
      out += kHex[low & 15];
    } else if (c == 0xE2 && text.substr(i, 3) == "\xE2\x80\xA8") {
      out += "\\L";
      i += 2;
    } else if (c == 0xE2 && text.substr(i, 3) == "\xE2\x80\xA9") {
      out += "\\P";
      i += 2;
    } else if (c == 0xEF && (text.substr(i, 3) == "\xEF\xBB\xBF" || text.substr(i, 2) == "\xEF\xBF")) {
      auto second = static_cast<unsigned char>(text[i + 1]), third = static_cast<unsigned char>(text[i + 2]);
      unsigned code = ((c & 15u) << 12) | ((second & 63u) << 6) | (third & 63u);
      out += "\\u";
      for (int shift = 12; shift >= 0; shift -= 4) out += kHex[(code >> shift) & 15];
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out += '"';
}

// Lines that end in white space, and text that is only line ends, do not survive a literal block in every reader.
bool literal_allowed(std::string_view text) {
  if (text.find(" \n") != std::string_view::npos || text.back() == ' ') return false;
  return text.find_first_not_of('\n') != std::string_view::npos;
}

class Writer {
 public:
  std::string release() { return std::move(out_); }

  // Writes the value behind "key:" or "-" on the same line; lines of its own are indented by `indent` columns.
  void after_key(const Value& value, std::size_t indent) {
    if (value.is_object() && value.size() > 0) {
      out_ += '\n';
      object(value, indent + 2, true);
    } else if (value.is_array() && value.size() > 0) {
      out_ += '\n';
      array(value, indent, true);  // kubectl does not indent lists
    } else {
      out_ += ' ';
      scalar(value, indent + 2);
      out_ += '\n';
    }
  }

  void top(const Value& value) {
    if (value.is_object() && value.size() > 0) return object(value, 0, true);
    if (value.is_array() && value.size() > 0) return array(value, 0, true);
    scalar(value, 2);
    out_ += '\n';
  }

 private:
  // `fresh`: whether the first line still needs its indentation.
  void object(const Value& value, std::size_t indent, bool fresh) {
    for (json::Entry entry : value.entries()) {
      if (fresh) out_.append(indent, ' ');
      fresh = true;
      key(entry.key, indent);
      out_ += ':';
      after_key(entry.value, indent);
    }
  }

  void array(const Value& value, std::size_t indent, bool fresh) {
    for (const Value& element : value) {
      if (fresh) out_.append(indent, ' ');
      fresh = true;
      out_ += "- ";
      if (element.is_object() && element.size() > 0) {
        object(element, indent + 2, false);
      } else if (element.is_array() && element.size() > 0) {
        array(element, indent + 2, false);
      } else {
        scalar(element, indent + 2);
        out_ += '\n';
      }
    }
  }

  // Long lines are folded as go-yaml folds them: at the first single space beyond this column.
  static constexpr std::size_t kWidth = 80;

  std::size_t column() const {
    std::size_t at = 0;
    for (std::size_t i = out_.rfind('\n') + 1; i < out_.size(); ++i)
      at += (static_cast<unsigned char>(out_[i]) & 0xC0) != 0x80;
    return at;
  }

  enum class Style { kPlain, kSingle, kDouble };

  // The characters of one scalar, those of its following lines indented.
  void folded(std::string_view text, Style style, std::size_t indent) {
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t space = std::min(text.find(' ', i), text.size());
      const std::string word(text.substr(i, space - i));
      const std::string escaped = double_quoted(word);
      out_ += style == Style::kDouble   ? escaped.substr(1, escaped.size() - 2)
              : style == Style::kSingle ? replace_all(word, "'", "''")
                                        : word;
      if (space == text.size()) return;
      const bool after_space = space > 0 && text[space - 1] == ' ',
                 before_space = space + 1 < text.size() && text[space + 1] == ' ';
      const bool inside = style == Style::kPlain || (space > 0 && space + 1 < text.size());
      if (inside && !after_space && (style == Style::kDouble || !before_space) && column() > kWidth) {
        out_ += '\n';
        out_.append(indent, ' ');
        if (before_space) out_ += '\\';
      } else {
        out_ += ' ';
      }
      i = space + 1;
    }
  }

  void value_line(std::string_view text, std::size_t indent) {
    if (text.size() + indent <= kWidth) return line(text);
    if (has_special(text) || text.find('\n') != std::string_view::npos || !plain_is_string(text)) {
      out_ += '"';
      folded(text, Style::kDouble, indent);
      out_ += '"';
    } else if (plain_allowed(text)) {
      folded(text, Style::kPlain, indent);
    } else {
      out_ += '\'';
      folded(text, Style::kSingle, indent);
      out_ += '\'';
    }
  }

  // YAML readers take a key for one only where its colon is within 1024 characters; longer ones are marked.
  void key(std::string_view text, std::size_t indent) {
    std::size_t from = out_.size();
    line(text);
    if (out_.size() - from < 1000) return;
    out_.insert(from, "? ");
    out_ += '\n';
    out_.append(indent, ' ');
  }

  void line(std::string_view text) {
    if (has_special(text) || text.find('\n') != std::string_view::npos || !plain_is_string(text)) {
      out_ += double_quoted(text);
    } else if (plain_allowed(text)) {
      out_ += text;
    } else {
      out_ += '\'' + replace_all(std::string(text), "'", "''") + '\'';
    }
  }

  void scalar(const Value& value, std::size_t indent) {
    if (!value.is_string()) {
      json::encode_to(value, out_);
      return;
    }
    std::string_view text = value.as_string();
    if (text.find('\n') == std::string_view::npos || has_special(text) || !literal_allowed(text))
      return value_line(text, indent);
    literal(text, indent);
  }

  void literal(std::string_view text, std::size_t indent) {
    out_ += '|';
    if (text[0] == ' ' || text[0] == '\n') out_ += '2';  // the indentation, where the first line does not show it
    if (text.back() != '\n')
      out_ += '-';
    else if (text.size() > 1 && text[text.size() - 2] == '\n')
      out_ += '+';
    bool ended = text.back() == '\n';
    if (ended) text.remove_suffix(1);
    for (std::string_view each : split(text, '\n')) {
      out_ += '\n';
      if (each.empty()) continue;
      out_.append(indent, ' ');
      out_ += each;
    }
  }

  std::string out_;
};

}  // namespace

std::string encode(const Value& value) {
  Writer writer;
  writer.top(value);
  return writer.release();
}

}  // namespace berth::yaml

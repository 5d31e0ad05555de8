#include "api/selector.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace berth::api {

namespace {

using Operator = LabelSelector::Operator;
using Requirement = LabelSelector::Requirement;

// --- What a label may look like. (The validation module is above this one.)

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }
bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool is_name_part(std::string_view text) {
  if (text.empty() || !is_alnum(text.front()) || !is_alnum(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_alnum(c) || c == '-' || c == '_' || c == '.'; });
}

bool is_subdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (std::string_view label : split(text, '.')) {
    if (label.empty() || !is_lower_alnum(label.front()) || !is_lower_alnum(label.back())) return false;
    for (char c : label) {
      if (!is_lower_alnum(c) && c != '-') return false;
    }
  }
  return true;
}

constexpr std::string_view kNameFormat =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character "
    "(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
constexpr std::string_view kValueFormat =
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
constexpr std::string_view kPrefixFormat =
    "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and "
    "must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

Error bad(std::string message) { return error(Code::kBadRequest, std::move(message)); }

Status check_key(std::string_view key) {
  const Cut parts = cut(key, "/");
  const std::string_view name = parts.found ? parts.after : key;
  std::vector<std::string> complaints;
  if (name.find('/') != name.npos) {
    return bad("<nil>: Invalid value: " + quoted(key) + ": a valid label key " + std::string(kNameFormat) +
               " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')");
  }
  if (parts.found && parts.before.empty()) {
    complaints.push_back("prefix part must be non-empty");
  } else if (parts.found && !is_subdomain(parts.before)) {
    complaints.push_back(std::string(kPrefixFormat));
  }
  if (name.empty()) complaints.push_back("name part must be non-empty");
  if (name.size() > 63) complaints.push_back("name part must be no more than 63 bytes");
  if (!is_name_part(name)) complaints.push_back("name part " + std::string(kNameFormat));
  if (complaints.empty()) return {};
  return bad("key: Invalid value: " + quoted(key) + ": " + join(complaints, "; "));
}

Status check_value(std::string_view key, std::size_t index, std::string_view value) {
  std::string complaint;
  if (value.size() > 63) {
    complaint = "must be no more than 63 bytes";
  } else if (!value.empty() && !is_name_part(value)) {
    complaint = kValueFormat;
  } else {
    return {};
  }
  return bad("values[" + std::to_string(index) + "][" + std::string(key) + "]: Invalid value: " + quoted(value) + ": " +
             complaint);
}

Status check_requirement(const Requirement& requirement) {
  BERTH_TRY(check_key(requirement.key));
  switch (requirement.op) {
    case Operator::kIn:
    case Operator::kNotIn:
      if (requirement.values.empty()) {
        return bad("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
      }
      break;
    case Operator::kGreater:
    case Operator::kLess:
      if (requirement.values.size() != 1) {
        return bad("values: Invalid value: []: for 'Gt', 'Lt' operators, exactly one value is required");
      }
      if (!parse_int(requirement.values[0]).ok()) {
        return bad("values[0]: Invalid value: " + quoted(requirement.values[0]) +
                   ": for 'Gt', 'Lt' operators, the value must be an integer");
      }
      break;
    case Operator::kExists:
    case Operator::kNotExists:
      if (!requirement.values.empty()) {
        return bad("values: Invalid value: " + quoted(join(requirement.values, ",")) +
                   ": values set must be empty for exists and does not exist");
      }
      break;
  }
  for (std::size_t i = 0; i < requirement.values.size(); ++i) {
    BERTH_TRY(check_value(requirement.key, i, requirement.values[i]));
  }
  return {};
}

// --- The grammar of label selectors, token by token as upstream reads it, so that errors point at the same place.

enum class Token {
  kError,
  kEnd,
  kIdentifier,
  kIn,
  kNotIn,
  kNot,
  kEquals,
  kNotEquals,
  kGreater,
  kLess,
  kOpen,
  kClose,
  kComma
};

struct Lexeme {
  Token token = Token::kEnd;
  std::string literal;
};

bool is_special(char c) { return c == '=' || c == '!' || c == '(' || c == ')' || c == ',' || c == '>' || c == '<'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

Token special_token(std::string_view text) {
  if (text == ")") return Token::kClose;
  if (text == ",") return Token::kComma;
  if (text == "!") return Token::kNot;
  if (text == "==" || text == "=") return Token::kEquals;
  if (text == "!=") return Token::kNotEquals;
  if (text == ">") return Token::kGreater;
  if (text == "<") return Token::kLess;
  if (text == "(") return Token::kOpen;
  return Token::kError;
}

std::vector<Lexeme> scan(std::string_view text) {
  std::vector<Lexeme> out;
  std::size_t at = 0;
  while (at < text.size()) {
    if (is_space(text[at])) {
      ++at;
      continue;
    }
    std::size_t end = at;
    if (is_special(text[at])) {
      // The longest operator that can be read here.
      end = at + 1;
      if (end < text.size() && is_special(text[end]) && special_token(text.substr(at, 2)) != Token::kError) ++end;
      out.push_back({special_token(text.substr(at, end - at)), std::string(text.substr(at, end - at))});
    } else {
      while (end < text.size() && !is_special(text[end]) && !is_space(text[end])) ++end;
      const std::string_view word = text.substr(at, end - at);
      out.push_back({word == "in"      ? Token::kIn
                     : word == "notin" ? Token::kNotIn
                                       : Token::kIdentifier,
                     std::string(word)});
    }
    at = end;
  }
  out.push_back({Token::kEnd, ""});
  return out;
}

class Parser {
 public:
  explicit Parser(std::string_view text) : lexemes_(scan(text)) {}

  Result<std::vector<Requirement>> parse() {
    std::vector<Requirement> out;
    for (;;) {
      const Lexeme first = look();
      if (first.token == Token::kEnd) return out;
      if (first.token != Token::kIdentifier && first.token != Token::kNot) {
        return bad("found '" + first.literal + "', expected: !, identifier, or 'end of string'");
      }
      Result<Requirement> one = requirement();
      if (!one.ok()) return bad("unable to parse requirement: " + one.error().message);
      out.push_back(std::move(one).value());
      const Lexeme after = take();
      if (after.token == Token::kEnd) return out;
      if (after.token != Token::kComma) return bad("found '" + after.literal + "', expected: ',' or 'end of string'");
      const Lexeme next = look();
      if (next.token != Token::kIdentifier && next.token != Token::kNot) {
        return bad("found '" + next.literal + "', expected: identifier after ','");
      }
    }
  }

 private:
  // Where a value may stand, `in` and `notin` are ordinary words.
  Lexeme look() const {
    Lexeme out = lexemes_[at_];
    if (out.token == Token::kIn || out.token == Token::kNotIn) out.token = Token::kIdentifier;
    return out;
  }
  Lexeme take() {
    Lexeme out = look();
    if (at_ + 1 < lexemes_.size()) ++at_;
    return out;
  }

  Result<Requirement> requirement() {
    Requirement out{"", Operator::kExists, {}};
    bool negated = false;
    Lexeme key = take();
    if (key.token == Token::kNot) {
      negated = true;
      key = take();
    }
    if (key.token != Token::kIdentifier) return bad("found '" + key.literal + "', expected: identifier");
    BERTH_TRY(check_key(key.literal));
    out.key = key.literal;
    const Token next = look().token;
    if (negated || next == Token::kEnd || next == Token::kComma) {
      out.op = negated ? Operator::kNotExists : Operator::kExists;
      return out;
    }
    const Lexeme op = lexemes_[at_];
    take();
    switch (op.token) {
      case Token::kIn: out.op = Operator::kIn; break;
      case Token::kNotIn: out.op = Operator::kNotIn; break;
      case Token::kEquals: out.op = Operator::kIn; break;
      case Token::kNotEquals: out.op = Operator::kNotIn; break;
      case Token::kGreater: out.op = Operator::kGreater; break;
      case Token::kLess: out.op = Operator::kLess; break;
      default: return bad("found '" + op.literal + "', expected: in, notin, =, ==, !=, gt, lt");
    }
    Result<std::vector<std::string>> values =
        op.token == Token::kIn || op.token == Token::kNotIn ? value_set() : exact_value();
    if (!values.ok()) return values.error();
    out.values = std::move(values).value();
    std::sort(out.values.begin(), out.values.end());
    out.values.erase(std::unique(out.values.begin(), out.values.end()), out.values.end());
    BERTH_TRY(check_requirement(out));
    return out;
  }

  Result<std::vector<std::string>> exact_value() {
    const Lexeme next = look();
    if (next.token == Token::kEnd || next.token == Token::kComma) return std::vector<std::string>{""};
    take();
    if (next.token != Token::kIdentifier) return bad("found '" + next.literal + "', expected: identifier");
    return std::vector<std::string>{next.literal};
  }

  Result<std::vector<std::string>> value_set() {
    const Lexeme open = take();
    if (open.token != Token::kOpen) return bad("found '" + open.literal + "' expected: '('");
    std::vector<std::string> out;
    const Lexeme first = look();
    if (first.token == Token::kClose) {
      take();
      return std::vector<std::string>{""};
    }
    if (first.token != Token::kIdentifier && first.token != Token::kComma) {
      return bad("found '" + first.literal + "', expected: ',', ')' or identifier");
    }
    // Between two commas, and beside a parenthesis, an absent word is the empty value.
    bool word_expected = true;
    for (;;) {
      const Lexeme lexeme = take();
      if (lexeme.token == Token::kIdentifier && word_expected) {
        out.push_back(lexeme.literal);
        word_expected = false;
      } else if (lexeme.token == Token::kComma) {
        if (word_expected) out.push_back("");
        word_expected = true;
      } else if (lexeme.token == Token::kClose) {
        if (word_expected) out.push_back("");
        return out;
      } else if (word_expected) {
        return bad("found '" + lexeme.literal + "', expected: ',', or identifier");
      } else {
        return bad("found '" + lexeme.literal + "', expected: ',' or ')'");
      }
    }
  }

  std::vector<Lexeme> lexemes_;
  std::size_t at_ = 0;
};

bool holds(const Requirement& requirement, const Value& labels) {
  const Value* value = labels.find(requirement.key);
  switch (requirement.op) {
    case Operator::kExists: return value != nullptr;
    case Operator::kNotExists: return value == nullptr;
    case Operator::kIn:
    case Operator::kNotIn: {
      const bool in = value != nullptr &&
                      std::binary_search(requirement.values.begin(), requirement.values.end(), value->as_string());
      return in == (requirement.op == Operator::kIn);
    }
    case Operator::kGreater:
    case Operator::kLess: {
      if (value == nullptr) return false;
      Result<long> number = parse_int(value->as_string());
      Result<long> bound = parse_int(requirement.values[0]);
      if (!number.ok() || !bound.ok()) return false;
      return requirement.op == Operator::kGreater ? *number > *bound : *number < *bound;
    }
  }
  return false;
}

void sort_by_key(std::vector<Requirement>& requirements) {
  std::stable_sort(requirements.begin(), requirements.end(),
                   [](const Requirement& a, const Requirement& b) { return a.key < b.key; });
}

}  // namespace

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector out;
  BERTH_ASSIGN(out.requirements_, Parser(text).parse());
  sort_by_key(out.requirements_);
  return out;
}

Result<LabelSelector> LabelSelector::of_object(const Value& selector) {
  if (selector.is_null()) return nothing();
  LabelSelector out = of_map(selector["matchLabels"]);
  for (const Value& expression : selector["matchExpressions"]) {
    Requirement requirement{expression["key"].str(), Operator::kIn, {}};
    const std::string_view op = expression["operator"].as_string();
    if (op == "In") {
      requirement.op = Operator::kIn;
    } else if (op == "NotIn") {
      requirement.op = Operator::kNotIn;
    } else if (op == "Exists") {
      requirement.op = Operator::kExists;
    } else if (op == "DoesNotExist") {
      requirement.op = Operator::kNotExists;
    } else {
      return error(Code::kInvalid, quoted(op) + " is not a valid label selector operator");
    }
    for (const Value& value : expression["values"]) requirement.values.push_back(value.str());
    std::sort(requirement.values.begin(), requirement.values.end());
    if (Status good = check_requirement(requirement); !good.ok()) return error(Code::kInvalid, good.error().message);
    out.requirements_.push_back(std::move(requirement));
  }
  sort_by_key(out.requirements_);
  return out;
}

LabelSelector LabelSelector::of_map(const Value& map) {
  LabelSelector out;
  for (const json::Entry entry : map.entries()) {
    out.requirements_.push_back({std::string(entry.key), Operator::kIn, {entry.value.str()}});
  }
  return out;
}

LabelSelector LabelSelector::nothing() {
  LabelSelector out;
  out.nothing_ = true;
  return out;
}

bool LabelSelector::matches(const Value& labels) const {
  if (nothing_) return false;
  for (const Requirement& requirement : requirements_) {
    if (!holds(requirement, labels)) return false;
  }
  return true;
}

std::string LabelSelector::to_string() const {
  std::string out;
  for (const Requirement& requirement : requirements_) {
    if (!out.empty()) out += ',';
    const std::string& key = requirement.key;
    switch (requirement.op) {
      case Operator::kExists: out += key; break;
      case Operator::kNotExists: out += "!" + key; break;
      case Operator::kGreater: out += key + ">" + requirement.values[0]; break;
      case Operator::kLess: out += key + "<" + requirement.values[0]; break;
      case Operator::kIn:
        out += requirement.values.size() == 1 ? key + "=" + requirement.values[0]
                                              : key + " in (" + join(requirement.values, ",") + ")";
        break;
      case Operator::kNotIn:
        out += requirement.values.size() == 1 ? key + "!=" + requirement.values[0]
                                              : key + " notin (" + join(requirement.values, ",") + ")";
        break;
    }
  }
  return out;
}

// --- Field selectors

namespace {

// The terms between commas, with "\," left as it is.
std::vector<std::string> terms_of(std::string_view text) {
  std::vector<std::string> out(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      out.back() += text[i];
      out.back() += text[++i];
    } else if (text[i] == ',') {
      out.emplace_back();
    } else {
      out.back() += text[i];
    }
  }
  return out;
}

Result<std::string> unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\') {
      if (i + 1 == text.size()) return bad("invalid field selector: invalid escape sequence: " + std::string("\\"));
      const char next = text[++i];
      if (next != '\\' && next != ',' && next != '=') {
        return bad("invalid field selector: invalid escape sequence: \\" + std::string(1, next));
      }
      out += next;
    } else if (text[i] == ',' || text[i] == '=') {
      return bad("invalid field selector: unescaped character in value: " + std::string(1, text[i]));
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string scalar_text(const Value& value) {
  if (value.is_string()) return value.str();
  if (value.is_bool() || value.is_number()) return json::encode(value);
  return "";
}

}  // namespace

Result<FieldSelector> FieldSelector::parse(std::string_view text) {
  FieldSelector out;
  for (const std::string& term : terms_of(text)) {
    if (term.empty()) continue;
    std::size_t at = 0;
    std::size_t length = 0;
    bool equal = true;
    for (; at < term.size(); ++at) {
      if (term.compare(at, 2, "!=") == 0) {
        equal = false;
        length = 2;
      } else if (term.compare(at, 2, "==") == 0) {
        length = 2;
      } else if (term[at] == '=') {
        length = 1;
      }
      if (length > 0) break;
    }
    if (length == 0) return bad("invalid selector: '" + std::string(text) + "'; can't understand '" + term + "'");
    BERTH_ASSIGN(std::string value, unescape(std::string_view(term).substr(at + length)));
    if (at == 0 && value.empty()) continue;  // "=": upstream drops a term of nothing
    out.requirements_.push_back({term.substr(0, at), std::move(value), equal});
  }
  return out;
}

bool FieldSelector::matches(const Value& object) const {
  for (const Requirement& requirement : requirements_) {
    const Value* at = &object;
    for (std::string_view part : split(requirement.field, '.')) at = &(*at)[part];
    if ((scalar_text(*at) == requirement.value) != requirement.equal) return false;
  }
  return true;
}

std::string_view FieldSelector::exact_name() const {
  for (const Requirement& requirement : requirements_) {
    if (requirement.equal && requirement.field == "metadata.name") return requirement.value;
  }
  return {};
}

}  // namespace berth::api

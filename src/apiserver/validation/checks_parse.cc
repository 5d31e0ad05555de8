// Compiles schema/*.checks (docs/formats/schema.md, "Checks"). Two passes: first the names of all blocks, then their
// lines.
#include <algorithm>
#include <limits>
#include <map>

#include "apiserver/validation/checks.h"
#include "apiserver/validation/checks_model.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth {
std::vector<std::pair<std::string_view, std::string_view>> embedded_check_files();
}

namespace berth::apiserver::validation {
namespace {

struct Format {
  std::string_view name;
  Complaints complaints;
};
constexpr Format kFormats[] = {
    {"dns1123-label", is_dns1123_label},
    {"dns1123-subdomain", is_dns1123_subdomain},
    {"dns1123-subdomain-with-underscore", is_dns1123_subdomain_with_underscore},
    {"dns1035-label", is_dns1035_label},
    {"qualified-name", is_qualified_name},
    {"label-value", is_label_value},
    {"env-name", is_env_name},
    {"config-key", is_config_key},
    {"port-name", is_port_name},
    {"http-header", is_http_header_name},
    {"ip", is_valid_ip},
    {"path-segment", is_path_segment},
    {"absolute-path", is_absolute_path},
    {"relative-path", is_relative_path},
    {"local-path", is_local_path},
    {"no-backsteps", has_no_backsteps},
};

// Rules that are a word, or a word with arguments; `low` and `high` of those with fixed bounds.
struct Known {
  std::string_view name;
  Rule::Kind kind;
  std::int64_t low = std::numeric_limits<std::int64_t>::min(), high = std::numeric_limits<std::int64_t>::max();
};
constexpr Known kRules[] = {
    {"required", Rule::Kind::kRequired},
    {"optional", Rule::Kind::kOptional},
    {"oneof", Rule::Kind::kOneOf},
    {"range", Rule::Kind::kRange},
    {"min", Rule::Kind::kMin},
    {"positive", Rule::Kind::kPositive, 1},
    {"port", Rule::Kind::kRange, 1, 65535},
    {"id", Rule::Kind::kRange, 0, 2147483647},
    {"port-or-name", Rule::Kind::kPortOrName},
    {"file-mode", Rule::Kind::kFileMode, 0, 0777},
    {"quantity-min0", Rule::Kind::kQuantityMin0},
    {"quantity-positive", Rule::Kind::kQuantityPositive},
    {"max-bytes", Rule::Kind::kMaxBytes},
    {"max-items", Rule::Kind::kMaxItems},
    {"unique", Rule::Kind::kUnique},
    {"labels", Rule::Kind::kLabels},
    {"annotations", Rule::Kind::kAnnotations},
    {"selector", Rule::Kind::kSelector},
    {"each", Rule::Kind::kEach},
    {"each-here", Rule::Kind::kEachHere},
    {"each-key", Rule::Kind::kEachKey},
    {"at", Rule::Kind::kAt},
    {"into", Rule::Kind::kInto},
    {"union", Rule::Kind::kUnion},
    {"call", Rule::Kind::kCall},
    {"forbidden", Rule::Kind::kForbidden},
};

class LoadedChecks final : public CheckSet {
 public:
  const CheckBlock* find(const api::schema::Type& type) const override {
    auto at = by_type_.find(&type);
    return at == by_type_.end() ? nullptr : at->second;
  }
  const CheckBlock* find(std::string_view name) const override {
    auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second.get();
  }
  // Null where there is one of that name already.
  CheckBlock* add(std::string name, const api::schema::Type& type, bool main) {
    auto [at, added] = by_name_.try_emplace(name, std::make_unique<CheckBlock>());
    if (!added) return nullptr;
    at->second->name = std::move(name);
    at->second->type = &type;
    if (main) by_type_[&type] = at->second.get();
    return at->second.get();
  }
  CheckBlock* find_mutable(std::string_view name) {
    auto at = by_name_.find(name);
    return at == by_name_.end() ? nullptr : at->second.get();
  }

 private:
  std::map<std::string, std::unique_ptr<CheckBlock>, std::less<>> by_name_;
  std::map<const api::schema::Type*, const CheckBlock*> by_type_;
};

// One rule as it is written: NAME, (ARGUMENT,...) and :"TEXT"... after it.
struct Written {
  std::string name;
  std::vector<std::string> arguments, texts;
};

class Parser {
 public:
  explicit Parser(const api::schema::Schema& schema) : schema_(schema) {}

  Result<std::unique_ptr<CheckSet>> parse(const std::vector<std::pair<std::string_view, std::string_view>>& files) {
    for (bool names_only : {true, false}) {
      for (const auto& [name, text] : files) BERTH_TRY(read(name, text, names_only));
    }
    return std::unique_ptr<CheckSet>(std::move(checks_));
  }

 private:
  Error fail(std::string_view what) const {
    return error(Code::kInvalid, std::string(file_) + ":" + std::to_string(line_) + ": " + std::string(what));
  }

  Status read(std::string_view file, std::string_view text, bool names_only) {
    file_ = file;
    line_ = 0;
    alias_.clear();
    CheckBlock* block = nullptr;
    for (std::string_view line : split(text, '\n')) {
      ++line_;
      if (trim(line).empty() || line.front() == '#') continue;
      if (line.front() == ' ') {
        if (block == nullptr) return fail("a field must be below a line: check TYPE");
        if (!names_only) BERTH_TRY(read_line(*block, line));
        continue;
      }
      BERTH_ASSIGN(block, read_head(line, names_only));
    }
    return ok_status();
  }

  // "package io.k8s.api.core.v1 as core", "check TYPE" or "check NAME of TYPE".
  Result<CheckBlock*> read_head(std::string_view line, bool names_only) {
    std::vector<std::string_view> words;
    for (std::string_view word : split(line, ' ')) {
      if (!trim(word).empty()) words.push_back(trim(word));
    }
    if (words[0] == "package" && words.size() == 4 && words[2] == "as") {
      package_ = words[1];
      alias_ = words[3];
      return static_cast<CheckBlock*>(nullptr);
    }
    const bool plain = words.size() == 2, named = words.size() == 4 && words[2] == "of";
    if (words[0] != "check" || (!plain && !named))
      return fail("expected: package NAME as ALIAS, check TYPE, or check NAME of TYPE");
    if (alias_.empty()) return fail("the first line must be: package NAME as ALIAS");
    const std::string name = alias_ + "." + std::string(words[1]);
    if (!names_only) return checks_->find_mutable(name);
    const api::schema::Type* type = schema_.find_type(package_ + "." + std::string(words.back()));
    if (type == nullptr) return fail("no such type: " + std::string(words.back()));
    CheckBlock* block = checks_->add(name, *type, plain);
    if (block == nullptr) return fail("checked twice: " + name);
    return block;
  }

  Status read_line(CheckBlock& block, std::string_view line) {
    std::size_t at = line.find_first_not_of(' ');
    std::size_t end = std::min(line.find(' ', at), line.size());
    CheckLine out;
    if (line.substr(at, end - at) != ".") {
      out.name = line.substr(at, end - at);
      out.field = block.type->find(out.name);
      if (out.field == nullptr) return fail("no such field: " + out.name);
    }
    const api::schema::Field* field = out.field;
    for (at = end; at < line.size();) {
      if (line[at] == ' ') {
        ++at;
        continue;
      }
      BERTH_ASSIGN(Written written, read_rule(line, at));
      BERTH_ASSIGN(Rule rule, compile(*block.type, field, written));
      if ((rule.kind == Rule::Kind::kEach || rule.kind == Rule::Kind::kEachHere) && field != nullptr)
        field = field->element.get();
      out.rules.push_back(std::move(rule));
    }
    if (out.rules.empty()) return fail("a field without a rule");
    block.lines.push_back(std::move(out));
    return ok_status();
  }

  Result<std::string> read_quoted(std::string_view line, std::size_t& at) const {
    std::string text;
    for (++at; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] == '\\' && at + 1 < line.size()) ++at;
      text.push_back(line[at]);
    }
    if (at == line.size()) return fail("a text without its closing quote");
    ++at;
    return text;
  }

  Result<Written> read_rule(std::string_view line, std::size_t& at) const {
    Written written;
    const std::size_t start = at;
    while (at < line.size() && line[at] != ' ' && line[at] != '(' && line[at] != ':') ++at;
    written.name = line.substr(start, at - start);
    if (at < line.size() && line[at] == '(') {
      ++at;
      while (true) {
        if (at >= line.size()) return fail("an argument list without its )");
        std::string argument;
        if (line[at] == '"') {
          BERTH_ASSIGN(argument, read_quoted(line, at));
        } else {
          const std::size_t from = at;
          while (at < line.size() && line[at] != ',' && line[at] != ')') ++at;
          argument = trim(line.substr(from, at - from));
        }
        written.arguments.push_back(std::move(argument));
        if (at < line.size() && line[at] == ',') {
          ++at;
        } else if (at < line.size() && line[at] == ')') {
          ++at;
          break;
        } else {
          return fail("expected , or ) in an argument list");
        }
      }
    }
    while (at + 1 < line.size() && line[at] == ':' && line[at + 1] == '"') {
      ++at;
      BERTH_ASSIGN(std::string text, read_quoted(line, at));
      written.texts.push_back(std::move(text));
    }
    if (at < line.size() && line[at] != ' ') return fail("expected a space after the rule " + written.name);
    return written;
  }

  Result<std::int64_t> number(const Written& written, std::size_t index) const {
    if (index >= written.arguments.size()) return fail(written.name + " needs a number");
    const Result<long> value = parse_int(written.arguments[index]);
    if (!value.ok()) return fail(written.name + ": not a number: " + quoted(written.arguments[index]));
    return std::int64_t{*value};
  }

  Result<Rule> compile(const api::schema::Type& type, const api::schema::Field* field, const Written& written) {
    Rule rule;
    rule.texts = written.texts;
    for (const Format& format : kFormats) {
      if (format.name != written.name) continue;
      rule.kind = Rule::Kind::kFormat;
      rule.format = format.complaints;
      return rule;
    }
    const auto known =
        std::find_if(std::begin(kRules), std::end(kRules), [&](const Known& one) { return one.name == written.name; });
    if (known == std::end(kRules)) return fail("unknown rule " + quoted(written.name));
    rule.kind = known->kind;
    rule.low = known->low;
    rule.high = known->high;
    switch (rule.kind) {
      case Rule::Kind::kOneOf:
        rule.words = written.arguments;
        if (rule.words.empty() && field != nullptr) rule.words = field->enum_values;
        if (rule.words.empty()) return fail("oneof without values, of a field that has none of its own");
        break;
      case Rule::Kind::kRange: {
        if (known->high != std::numeric_limits<std::int64_t>::max()) break;
        BERTH_ASSIGN(rule.low, number(written, 0));
        BERTH_ASSIGN(rule.high, number(written, 1));
        break;
      }
      case Rule::Kind::kMin: {
        BERTH_ASSIGN(rule.low, number(written, 0));
        break;
      }
      case Rule::Kind::kMaxBytes:
      case Rule::Kind::kMaxItems: {
        BERTH_ASSIGN(rule.high, number(written, 0));
        break;
      }
      case Rule::Kind::kUnique: rule.words = written.arguments; break;
      case Rule::Kind::kAt:
        rule.words = written.arguments;
        if (rule.words.size() != 1) return fail("at needs the name to report under");
        break;
      case Rule::Kind::kInto: {
        BERTH_ASSIGN(rule.block, block_for(field, written));
        break;
      }
      case Rule::Kind::kUnion: BERTH_TRY(fill_union(type, field, written, rule)); break;
      case Rule::Kind::kCall:
        if (written.arguments.size() == 1) rule.call = check_function(written.arguments[0]);
        if (rule.call == nullptr) return fail("call: no such function");
        break;
      default:
        if (!written.arguments.empty()) return fail(written.name + " takes no arguments");
    }
    return rule;
  }

  // The type of a field, or of its elements.
  static const api::schema::Type* type_of(const api::schema::Field* field) {
    while (field != nullptr && field->element) field = field->element.get();
    return field != nullptr ? field->type : nullptr;
  }

  Result<const CheckBlock*> block_for(const api::schema::Field* field, const Written& written) const {
    if (!written.arguments.empty()) {
      const std::string& name = written.arguments[0];
      const CheckBlock* block = checks_->find(name.find('.') == std::string::npos ? alias_ + "." + name : name);
      if (block == nullptr) return fail("no such check: " + name);
      return block;
    }
    const api::schema::Type* type = type_of(field);
    const CheckBlock* block = type != nullptr ? checks_->find(*type) : nullptr;
    if (block == nullptr) return fail("into: the field's type has no checks");
    return block;
  }

  Status fill_union(const api::schema::Type& type, const api::schema::Field* field, const Written& written,
                    Rule& rule) const {
    const api::schema::Type* owner = field != nullptr ? type_of(field) : &type;
    if (owner == nullptr) return fail("union of a field that is no object");
    // MEMBER, MEMBER>NAME-IN-THERE or MEMBER!NAME-AS-ONE-TOO-MANY.
    for (const std::string& argument : written.arguments) {
      const std::size_t end = std::min(argument.find_first_of(">!"), argument.size());
      const std::string name = argument.substr(0, end), other = end < argument.size() ? argument.substr(end + 1) : name;
      const api::schema::Field* member = owner->find(name);
      if (member == nullptr) return fail("union: no such member: " + name);
      rule.members.push_back(member);
      rule.inner_names.push_back(end < argument.size() && argument[end] == '>' ? other : name);
      rule.more_names.push_back(end < argument.size() && argument[end] == '!' ? other : name);
      const api::schema::Type* inner = type_of(member);
      rule.member_blocks.push_back(inner != nullptr ? checks_->find(*inner) : nullptr);
    }
    return ok_status();
  }

  const api::schema::Schema& schema_;
  std::unique_ptr<LoadedChecks> checks_ = std::make_unique<LoadedChecks>();
  std::string_view file_;
  int line_ = 0;
  std::string package_, alias_;
};

}  // namespace

Result<std::unique_ptr<CheckSet>> parse_checks(
    const api::schema::Schema& schema, const std::vector<std::pair<std::string_view, std::string_view>>& files) {
  return Parser(schema).parse(files);
}

const CheckSet& builtin_checks() {
  static const std::unique_ptr<CheckSet> kChecks = [] {
    auto parsed = parse_checks(api::schema::builtin(), embedded_check_files());
    BERTH_CHECK(parsed.ok(), parsed.ok() ? "" : parsed.error().message.c_str());
    return std::move(*parsed);
  }();
  return *kChecks;
}

const CheckBlock& checks_of(std::string_view name) {
  const CheckBlock* block = builtin_checks().find(name);
  BERTH_CHECK(block != nullptr, std::string(name).c_str());
  return *block;
}

}  // namespace berth::apiserver::validation

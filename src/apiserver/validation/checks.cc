// Runs compiled checks: one pass over the lines of a block, each line's rules from left to right.
#include "apiserver/validation/checks.h"

#include <algorithm>

#include "api/quantity.h"
#include "apiserver/validation/checks_model.h"
#include "apiserver/validation/validation.h"

namespace berth::apiserver::validation {
namespace {

// As Go sees it: a pointer is nothing when it is nil, everything else when it is its type's zero value.
bool is_nothing(const api::schema::Field* field, const Value& value) {
  if (value.is_null()) return true;
  if (field == nullptr || field->pointer) return false;
  switch (value.type()) {
    case json::Type::kBool: return !value.as_bool();
    case json::Type::kInt: return value.as_int() == 0;
    case json::Type::kString: return value.as_string().empty();
    case json::Type::kArray: return value.empty();
    case json::Type::kObject: return field->shape == api::schema::Shape::kMap && value.empty();
    default: return false;
  }
}

std::string_view text_of(const Rule& rule, std::string_view usual) {
  return rule.texts.empty() ? usual : std::string_view(rule.texts[0]);
}

class Run {
 public:
  explicit Run(Report& report) : report_(report) {}

  void block(const Path& path, const CheckBlock& block, const Value& object) {
    for (const CheckLine& line : block.lines) {
      if (line.name.empty()) {
        rules(line.rules.data(), line.rules.data() + line.rules.size(), path, path, nullptr, object);
      } else {
        const Path here = path / line.name;
        rules(line.rules.data(), line.rules.data() + line.rules.size(), path, here, line.field, object[line.name]);
      }
    }
  }

 private:
  // `parent`: where the object is that has the value as a member.
  void rules(const Rule* rule, const Rule* end, const Path& parent, const Path& path, const api::schema::Field* field,
             const Value& value) {
    for (; rule != end; ++rule) {
      switch (rule->kind) {
        case Rule::Kind::kEach: return each(rule + 1, end, path, field, value, true);
        case Rule::Kind::kEachHere: return each(rule + 1, end, path, field, value, false);
        case Rule::Kind::kEachKey:
          for (json::Entry entry : value.entries()) {
            const Path here = path.key(entry.key);
            rules(rule + 1, end, path, here, nullptr, Value(entry.key));
          }
          return;
        case Rule::Kind::kAt: {
          const Path here = parent / rule->words[0];
          return rules(rule + 1, end, parent, here, field, value);
        }
        default:
          if (!one(*rule, path, field, value)) return;
      }
    }
  }

  void each(const Rule* rule, const Rule* end, const Path& path, const api::schema::Field* field, const Value& value,
            bool by_index) {
    const api::schema::Field* element = field != nullptr ? field->element.get() : nullptr;
    if (value.is_object()) {
      for (json::Entry entry : value.entries()) {
        const Path here = path.key(entry.key);
        rules(rule, end, path, by_index ? here : path, element, entry.value);
      }
      return;
    }
    std::size_t index = 0;
    for (const Value& item : value) {
      const Path here = path.at(index++);
      rules(rule, end, path, by_index ? here : path, element, item);
    }
  }

  // Whether the line's next rules are worth looking at.
  bool one(const Rule& rule, const Path& path, const api::schema::Field* field, const Value& value) {
    using Kind = Rule::Kind;
    if (rule.kind == Kind::kRequired) {
      if (!is_nothing(field, value)) return true;
      report_.required(path, text_of(rule, ""));
      return false;
    }
    if (rule.kind == Kind::kOptional) return !is_nothing(field, value);
    if (rule.kind == Kind::kUnion) {
      one_of_members(rule, path, value);
      return true;
    }
    if (rule.kind == Kind::kCall) {
      rule.call(report_, path, value);
      return true;
    }
    if (value.is_null() && field != nullptr && field->pointer) return true;  // nil: there is nothing to be wrong
    switch (rule.kind) {
      case Kind::kForbidden:
        if (!is_nothing(field, value)) report_.forbidden(path, text_of(rule, ""));
        return true;
      case Kind::kInto:
        // An absent struct is its zero value; an absent list has no elements.
        if (!value.is_null() || field == nullptr || field->shape == api::schema::Shape::kObject)
          into(*rule.block, path, value);
        return true;
      case Kind::kLabels: validate_labels(report_, path, value); return true;
      case Kind::kAnnotations: validate_annotations(report_, path, value); return true;
      case Kind::kSelector: validate_label_selector(report_, path, value); return true;
      case Kind::kMaxItems:
        if (value.size() > static_cast<std::size_t>(rule.high)) {
          report_.add(api::too_many(path.text(), static_cast<int>(value.size()), static_cast<int>(rule.high)));
        }
        return true;
      case Kind::kUnique: unique(rule, path, value); return true;
      case Kind::kPortOrName: report_.port_or_name(path, value); return true;
      case Kind::kQuantityMin0:
      case Kind::kQuantityPositive: quantity(rule, path, value); return true;
      case Kind::kOneOf:
      case Kind::kFormat:
      case Kind::kMaxBytes: text(rule, path, value); return true;
      default: number(rule, path, value); return true;
    }
  }

  void into(const CheckBlock& inner, const Path& path, const Value& value) {
    if (value.is_array()) {
      std::size_t index = 0;
      for (const Value& item : value) {
        const Path here = path.at(index++);
        block(here, inner, item);
      }
    } else {
      block(path, inner, value);
    }
  }

  void one_of_members(const Rule& rule, const Path& path, const Value& object) {
    bool found = false;
    for (std::size_t i = 0; i < rule.members.size(); ++i) {
      const Value& member = object[rule.members[i]->name];
      if (is_nothing(rule.members[i], member)) continue;
      if (found) {
        if (!rule.texts.empty() && !rule.texts[0].empty()) report_.forbidden(path / rule.more_names[i], rule.texts[0]);
      } else if (rule.member_blocks[i] != nullptr) {
        const Path here = path / rule.inner_names[i];
        into(*rule.member_blocks[i], here, member);
      }
      found = true;
    }
    if (!found && rule.texts.size() > 1) report_.required(path, rule.texts[1]);
  }

  void unique(const Rule& rule, const Path& path, const Value& list) {
    const bool by_key = !rule.words.empty();
    auto key_of = [&](std::size_t i) -> const Value& { return by_key ? list[i][rule.words[0]] : list[i]; };
    for (std::size_t i = 1; i < list.size(); ++i) {
      const Value& mine = key_of(i);
      if (mine.is_null() || (mine.is_string() && mine.as_string().empty())) continue;
      bool seen = false;
      for (std::size_t j = 0; j < i && !seen; ++j) seen = key_of(j) == mine;
      if (!seen) continue;
      const Path here = path.at(i);
      if (by_key) {
        report_.duplicate(here / rule.words[0], mine);
      } else {
        report_.duplicate(here, mine);
      }
    }
  }

  void text(const Rule& rule, const Path& path, const Value& value) {
    static const Value kEmpty("");
    const Value& shown = value.is_null() ? kEmpty : value;
    const std::string_view text = value.as_string();
    if (rule.kind == Rule::Kind::kMaxBytes) {
      if (text.size() > static_cast<std::size_t>(rule.high))
        report_.add(api::too_long(path.text(), value, static_cast<int>(rule.high)));
    } else if (rule.kind == Rule::Kind::kOneOf) {
      if (std::find(rule.words.begin(), rule.words.end(), text) == rule.words.end())
        report_.add(api::not_supported(path.text(), shown, rule.words));
    } else if (rule.texts.empty()) {
      report_.complaints(path, shown, rule.format(text));
    } else if (!rule.format(text).empty()) {
      report_.invalid(path, shown, rule.texts[0]);
    }
  }

  void quantity(const Rule& rule, const Path& path, const Value& value) {
    const Result<api::Quantity> amount = api::Quantity::parse(value.as_string("0"));
    const bool positive = rule.kind == Rule::Kind::kQuantityPositive;
    if (!amount.ok() || amount->sign() > 0 || (amount->sign() == 0 && !positive)) return;
    report_.invalid(path, value.is_null() ? Value("0") : value,
                    text_of(rule, positive ? "must be greater than zero" : "must be greater than or equal to 0"));
  }

  void number(const Rule& rule, const Path& path, const Value& value) {
    const std::int64_t number = value.as_int();
    if (number >= rule.low && number <= rule.high) return;
    const Value shown(static_cast<long>(number));
    if (!rule.texts.empty()) return report_.invalid(path, shown, rule.texts[0]);
    switch (rule.kind) {
      case Rule::Kind::kPositive: return report_.invalid(path, shown, "must be greater than zero");
      case Rule::Kind::kMin:
        return report_.invalid(path, shown, "must be greater than or equal to " + std::to_string(rule.low));
      case Rule::Kind::kFileMode:
        return report_.invalid(path, shown, "must be a number between 0 and 0777 (octal), both inclusive");
      default:
        return report_.invalid(
            path, shown,
            "must be between " + std::to_string(rule.low) + " and " + std::to_string(rule.high) + ", inclusive");
    }
  }

  Report& report_;
};

}  // namespace

void run_checks(Report& report, const Path& path, const CheckBlock& block, const Value& object) {
  Run(report).block(path, block, object);
}

}  // namespace berth::apiserver::validation

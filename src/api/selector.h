#pragma once
// Label and field selectors. Parsed once, matched often; immutable.

#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::api {

class LabelSelector {
 public:
  enum class Operator { kIn, kNotIn, kExists, kNotExists, kGreater, kLess };
  struct Requirement {
    std::string key;
    Operator op;
    std::vector<std::string> values;
  };

  LabelSelector() = default;  // matches everything
  // "a=b,c!=d,e in (f,g),h,!i". Errors are upstream's, e.g. `unable to parse requirement: ...`.
  static Result<LabelSelector> parse(std::string_view text);
  // A metav1.LabelSelector object {matchLabels, matchExpressions}. Null matches nothing, {} everything.
  static Result<LabelSelector> of_object(const Value& selector);
  // A plain map, as in Service.spec.selector. Empty matches everything.
  static LabelSelector of_map(const Value& map);
  static LabelSelector nothing();

  bool matches(const Value& labels) const;  // `labels`: the metadata.labels object, or null
  bool matches_everything() const { return !nothing_ && requirements_.empty(); }
  const std::vector<Requirement>& requirements() const { return requirements_; }
  std::string to_string() const;

 private:
  std::vector<Requirement> requirements_;
  bool nothing_ = false;
};

class FieldSelector {
 public:
  struct Requirement {
    std::string field;  // "metadata.name", "spec.nodeName", ...
    std::string value;
    bool equal;
  };
  // "metadata.name=x,spec.nodeName!=y". Which fields a kind supports is the registry's business.
  static Result<FieldSelector> parse(std::string_view text);
  // Compares the strings found at the dotted paths; a missing field is "".
  bool matches(const Value& object) const;
  bool empty() const { return requirements_.empty(); }
  const std::vector<Requirement>& requirements() const { return requirements_; }
  // The value metadata.name must have, where the selector says so; otherwise "".
  std::string_view exact_name() const;

 private:
  std::vector<Requirement> requirements_;
};

}  // namespace berth::api

#include "controllers/shared/node_selector.h"

#include "api/object.h"
#include "base/text.h"

namespace berth::controllers {
namespace {

bool contains(const Value& values, std::string_view text) {
  for (const Value& value : values) {
    if (value.as_string() == text) return true;
  }
  return false;
}

bool compares(const Value* found, const Value& values, bool greater) {
  if (!found || values.size() != 1) return false;
  const auto have = parse_int(found->as_string());
  const auto want = parse_int(values[0].as_string());
  if (!have.ok() || !want.ok()) return false;
  return greater ? have.value() > want.value() : have.value() < want.value();
}

bool matches_label(const Value& expression, const Value& labels) {
  const Value* found = labels.find(expression["key"].as_string());
  const std::string_view op = expression["operator"].as_string();
  const Value& values = expression["values"];
  if (op == "In") return found && contains(values, found->as_string());
  if (op == "NotIn") return !found || !contains(values, found->as_string());
  if (op == "Exists") return found != nullptr;
  if (op == "DoesNotExist") return found == nullptr;
  if (op == "Gt" || op == "Lt") return compares(found, values, op == "Gt");
  return false;
}

// metadata.name is the only field that the API allows.
bool matches_field(const Value& expression, const Value& node) {
  if (expression["key"].as_string() != "metadata.name") return false;
  const std::string_view op = expression["operator"].as_string();
  const bool in = contains(expression["values"], api::name_of(node));
  return op == "In" ? in : op == "NotIn" && !in;
}

}  // namespace

bool matches_term(const Value& term, const Value& node) {
  const Value& expressions = term["matchExpressions"];
  const Value& fields = term["matchFields"];
  if (expressions.empty() && fields.empty()) return false;
  for (const Value& expression : expressions) {
    if (!matches_label(expression, api::labels_of(node))) return false;
  }
  for (const Value& expression : fields) {
    if (!matches_field(expression, node)) return false;
  }
  return true;
}

bool matches_node_selector(const Value& selector, const Value& node) {
  if (selector.is_null()) return true;
  for (const Value& term : selector["nodeSelectorTerms"]) {
    if (matches_term(term, node)) return true;
  }
  return false;
}

bool matches_topologies(const Value& topologies, const Value& node) {
  if (topologies.empty()) return true;
  for (const Value& term : topologies) {
    bool all = true;
    for (const Value& expression : term["matchLabelExpressions"]) {
      const Value* found = api::labels_of(node).find(expression["key"].as_string());
      all = all && found && contains(expression["values"], found->as_string());
    }
    if (all) return true;
  }
  return false;
}

}  // namespace berth::controllers

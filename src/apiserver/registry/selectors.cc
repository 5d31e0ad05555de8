#include "apiserver/registry/selectors.h"

#include <algorithm>

#include "apiserver/registry/kind_strategy.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

bool is_selectable(const KindStrategy& strategy, std::string_view field) {
  if (field == "metadata.name" || field == "metadata.namespace") return true;
  const auto& fields = strategy.selectable_fields;
  return std::find(fields.begin(), fields.end(), field) != fields.end();
}

// Kinds without field labels of their own are refused by upstream's general conversion, which words it differently.
Error unknown_field(const KindStrategy& strategy, const std::string& field) {
  if (!strategy.selectable_fields.empty()) return error(Code::kBadRequest, "field label not supported: " + field);
  return error(Code::kBadRequest,
               quoted(field) + " is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
}

std::string encode_requirement(const api::FieldSelector::Requirement& requirement) {
  std::string value = requirement.value;
  for (const char* special : {"\\", ",", "="})
    value = replace_all(std::move(value), special, "\\" + std::string(special));
  return requirement.field + (requirement.equal ? "=" : "!=") + value;
}

// Field labels that are not simply the path of a text in the object, put as ones that are.
std::string as_paths(const KindStrategy& strategy, const api::FieldSelector& fields) {
  std::vector<std::string> out;
  for (api::FieldSelector::Requirement requirement : fields.requirements()) {
    strategy.rewrite_requirement(requirement);
    out.push_back(encode_requirement(requirement));
  }
  return join(out, ",");
}

}  // namespace

Result<Selection> parse_selection(const api::schema::Kind& kind, const std::string& label_text,
                                  const std::string& field_text) {
  const KindStrategy& strategy = strategy_of(kind);
  Selection selection;
  Result<api::LabelSelector> labels = api::LabelSelector::parse(label_text);
  if (!labels.ok()) return error(Code::kBadRequest, labels.error().message);
  Result<api::FieldSelector> fields = api::FieldSelector::parse(field_text);
  if (!fields.ok()) return error(Code::kBadRequest, fields.error().message);
  for (const auto& requirement : fields->requirements()) {
    if (!is_selectable(strategy, requirement.field)) return unknown_field(strategy, requirement.field);
  }
  selection.labels = std::move(*labels);
  if (strategy.rewrite_requirement == nullptr) {
    selection.fields = std::move(*fields);
  } else {
    BERTH_ASSIGN(selection.fields, api::FieldSelector::parse(as_paths(strategy, *fields)));
  }
  return selection;
}

}  // namespace berth::apiserver::registry

#include "apiserver/validation/workload_warnings.h"

#include "api/object.h"
#include "apiserver/validation/kind_warnings.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

const Value& at_path(const Value& object, std::string_view path) {
  const Value* at = &object;
  for (std::string_view step : split(path, '.')) at = &(*at)[step];
  return *at;
}

void warn_of_name(Warnings& warnings, std::string_view name, std::string_view used) {
  const std::vector<std::string> complaints = is_dns1123_label(name);
  if (complaints.empty()) return;
  warnings.push_back("metadata.name: this is used in " + std::string(used) +
                     ", which can result in surprising behavior; a DNS label is recommended: [" +
                     join(complaints, " ") + "]");
}

void warn_of_template(Warnings& warnings, std::string_view where, const Value& object) {
  const Value& pod_template = at_path(object, where);
  const Path path(where);
  warn_of_pod_spec(warnings, path / "spec", path / "metadata", pod_template["spec"], pod_template["metadata"], true);
}

void warn_of_stateful_set(Warnings& warnings, const Value& spec) {
  const Path claims("spec.volumeClaimTemplates");
  std::size_t index = 0;
  for (const Value& claim : spec["volumeClaimTemplates"])
    warn_of_claim_spec(warnings, claims.at(index++), claim["spec"]);
  if (spec["revisionHistoryLimit"].as_int() < 0) {
    warnings.emplace_back(
        "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended");
  }
}

void warn_of_kind(const KindRules& rules, const Value& before, const Value& after, Warnings& warnings) {
  if (rules.warn_change != nullptr) rules.warn_change(before, after, warnings);
  if (rules.warn != nullptr && (before.is_null() || !rules.warns_of_new)) rules.warn(after, warnings);
}

}  // namespace

void warn_of_pod_change(const Value& before, const Value& after, Warnings& warnings) {
  if (before.is_null()) warn_of_name(warnings, api::name_of(after), "the Pod's hostname");
  if (before["spec"] != after["spec"])
    warn_of_pod_spec(warnings, "spec", "metadata", after["spec"], after["metadata"], false);
}

void warn_of_set_change(const Value& before, const Value& after, Warnings& warnings) {
  if (before["spec"] != after["spec"]) warn_of_stateful_set(warnings, after["spec"]);
}

std::vector<std::string> warnings_on_create(const api::schema::Kind& kind, const Value& object) {
  const KindRules& rules = rules_of(kind);
  Warnings warnings;
  if (rules.names_pods) warn_of_name(warnings, api::name_of(object), "Pod names and hostnames");
  if (!rules.pod_template.empty()) warn_of_template(warnings, rules.pod_template, object);
  warn_of_kind(rules, Value(), object, warnings);
  return warnings;
}

std::vector<std::string> warnings_on_update(const api::schema::Kind& kind, const Value& before, const Value& after) {
  const KindRules& rules = rules_of(kind);
  Warnings warnings;
  if (const std::string_view path = rules.pod_template; !path.empty() && at_path(before, path) != at_path(after, path))
    warn_of_template(warnings, path, after);
  warn_of_kind(rules, before, after, warnings);
  return warnings;
}

}  // namespace berth::apiserver::validation

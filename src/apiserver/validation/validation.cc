#include "apiserver/validation/validation.h"

#include "apiserver/validation/checks.h"
#include "apiserver/validation/kind_rules.h"

namespace berth::apiserver::validation {
namespace {

void validate_finalizer_names(Report& report, const Value& finalizers) {
  const Path path("metadata.finalizers");
  for (std::size_t i = 0; i < finalizers.size(); ++i)
    validate_finalizer_name(report, path.at(i), finalizers[i].as_string());
}

std::vector<Cause> with_repeats(const CauseRepeats& repeats, std::vector<Cause> causes) {
  std::vector<Cause> out;
  for (Cause& cause : causes) {
    int times = 1;
    // Causes of single annotations come from the kinds' own rules, which upstream runs once.
    const bool content = cause.field == "metadata.labels" || cause.field == "metadata.annotations" ||
                         cause.field.starts_with("metadata.ownerReferences");
    if (content) times = repeats.content;
    for (const char* field : {"uid", "name", "namespace", "creationTimestamp", "deletionTimestamp",
                              "deletionGracePeriodSeconds", "finalizers"}) {
      if (cause.field == std::string("metadata.") + field) times = repeats.unchanged;
    }
    for (int i = 0; i < times; ++i) out.push_back(cause);
  }
  return out;
}

}  // namespace

std::vector<Cause> validate_create(const api::schema::Kind& kind, const Value& object) {
  const KindRules& rules = rules_of(kind);
  Report report;
  // Upstream validates the metadata of such kinds only when everything else is right.
  if (rules.name == NameRule::kPathSegment) {
    rules.create(report, object);
    if (report.size() == 0) validate_metadata(report, object["metadata"], kind.namespaced, NameRule::kPathSegment);
    return report.take();
  }
  validate_metadata(report, object["metadata"], kind.namespaced, rules.name);
  if (const CheckBlock* block = builtin_checks().find(*kind.type)) run_checks(report, {}, *block, object);
  rules.create(report, object);
  return report.take();
}

std::vector<Cause> validate_update(const api::schema::Kind& kind, const Value& before, const Value& after,
                                   std::string_view subresource) {
  const KindRules& rules = rules_of(kind);
  Report report;
  if (rules.name != NameRule::kPathSegment) validate_finalizer_names(report, after["metadata"]["finalizers"]);
  if (!subresource.empty()) {
    // The registry has dropped the fields that the subresource does not write.
    validate_metadata_update(report, before["metadata"], after["metadata"]);
    for (const SubresourceRule& rule : rules.subresources) {
      if (rule.subresource == subresource) rule.rule(report, before, after);
    }
    if (subresource == "status" && rules.status != nullptr) rules.status(report, before, after);
    return report.take();
  }
  // Labels and annotations are validated anew; a name that has been accepted stays valid.
  validate_labels(report, "metadata.labels", after["metadata"]["labels"]);
  validate_annotations(report, "metadata.annotations", after["metadata"]["annotations"]);
  if (rules.update_checks_all) {
    if (const CheckBlock* block = builtin_checks().find(*kind.type)) run_checks(report, {}, *block, after);
    rules.create(report, after);
  }
  rules.update(report, before, after);
  return with_repeats(rules.repeats, report.take());
}

}  // namespace berth::apiserver::validation

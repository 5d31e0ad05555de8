// StatefulSets: their annotations below berth.dev/, and their name, which is part of their pods' names.
#include "api/set_options.h"

#include "api/quantity.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

// The label controller-revision-hash is "<set>-<up to 10 characters>", statefulset.kubernetes.io/pod-name
// "<set>-<ordinal>", which has no more digits; and a label's value has at most 63.
constexpr std::size_t kLongestName = 63 - 1 - 10;

bool has_container(const Value& containers, const Value& name) {
  for (const Value& one : containers) {
    if (one["name"] == name) return true;
  }
  return false;
}

// An override's values have the types of a pod spec's, and the pod that comes of it would be accepted.
void validate_override(Report& report, const std::string& path, const Value& spec, const api::OrdinalOverride& one) {
  const std::string at = at_key(path, one.key);
  const std::size_t before = report.size();
  for (const char* list : {"containers", "initContainers"}) {
    std::size_t index = 0;
    for (const Value& container : one.spec[list]) {
      if (!has_container(spec["template"]["spec"][list], container["name"]))
        report.not_found(validation::at(at + "." + list, index) + ".name", container["name"]);
      ++index;
    }
  }
  if (report.size() > before) return;
  const api::schema::Kind& pod = *api::schema::builtin().find_kind("v1", "Pod");
  const Value typed = Value::object({{"apiVersion", "v1"}, {"kind", "Pod"}, {"spec", one.spec}});
  api::schema::DecodeProblems problems;
  Result<Value> decoded = api::schema::decode(pod, typed, &problems);
  if (!decoded.ok()) return report.invalid_shown(at, json::encode(one.spec), decoded.error().message);
  for (const std::string& unknown : problems.unknown)
    report.invalid_shown(at, json::encode(one.spec), "unknown field " + quoted(unknown));
  Report whole;
  Value merged = spec;
  merged.set("template", api::with_override(spec["template"], (*decoded)["spec"]));
  validate_set_template(whole, merged);
  for (Cause cause : whole.take()) {
    cause.field = at + ": " + cause.field;
    report.add(std::move(cause));
  }
}

}  // namespace

std::vector<std::string> is_set_name(std::string_view name) {
  if (name.size() <= kLongestName || !is_dns1123_label(name).empty()) return is_dns1123_label(name);
  return {"must be no more than " + std::to_string(kLongestName) +
          " characters: pods carry the set's name with a revision's hash as a label, which has at most 63"};
}

void validate_set_options(Report& report, const Value& set) {
  std::vector<api::OptionProblem> problems;
  const api::SetOptions options = api::set_options_of(set, &problems);
  const std::string path = "metadata.annotations";
  for (const api::OptionProblem& one : problems) report.invalid(at_key(path, one.annotation), one.value, one.text);
  if (report.size() > 0) return;  // an override is checked against a template that is good by itself
  for (const api::OrdinalOverride& one : options.overrides)
    validate_override(report, at_key(path, api::kOrdinalOverrides), set["spec"], one);
}

// With berth.dev/claim-template-updates: templates come, go, grow and take another class of attributes; nothing else of
// them changes, since claims that exist could not follow.
void validate_claim_template_changes(Report& report, const Value& before, const Value& after) {
  std::size_t index = 0;
  for (const Value& one : after) {
    const std::string path = at("spec.volumeClaimTemplates", index++);
    const Value* old = nullptr;
    for (const Value& candidate : before) {
      if (candidate["metadata"]["name"] == one["metadata"]["name"]) old = &candidate;
    }
    if (!old) continue;
    Value was = (*old)["spec"], is = one["spec"];
    const Value &old_size = was["resources"]["requests"]["storage"], &new_size = is["resources"]["requests"]["storage"];
    const auto smaller = api::Quantity::parse(new_size.as_string()),
               larger = api::Quantity::parse(old_size.as_string());
    if (smaller.ok() && larger.ok() && *smaller < *larger) {
      report.invalid(path + ".spec.resources.requests.storage", new_size,
                     "must not be less than " + old_size.str() + ": volumes grow, they do not shrink");
    }
    for (Value* spec : {&was, &is}) {
      spec->erase("volumeAttributesClassName");
      spec->mut("resources").mut("requests").erase("storage");
    }
    if (was != is)
      report.forbidden(
          path + ".spec",
          "only resources.requests.storage and volumeAttributesClassName may change: claims that exist cannot follow");
  }
}

}  // namespace berth::apiserver::validation

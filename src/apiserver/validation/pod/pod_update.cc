// Updates of pods. Allowed are: images, a shorter deadline, more tolerations, fewer scheduling gates, and labels and
// annotations.
#include <algorithm>

#include "api/copy_field.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

// Whether both have as many containers; their images are then those of `before`.
bool adopt_images(Report& report, Value& spec, const Value& before, const char* list) {
  if (before[list].size() != spec[list].size()) {
    report.forbidden(std::string("spec.") + list, "pod updates may not add or remove containers");
    return false;
  }
  for (std::size_t i = 0; i < before[list].size(); ++i) spec.mut(list).mut(i).set("image", before[list][i]["image"]);
  return true;
}

// Whether the rest is to be compared.
bool check_deadline(Report& report, const Value& before, const Value& after) {
  constexpr std::int64_t kMostSeconds = 2147483647;
  const Value &old = before["activeDeadlineSeconds"], &fresh = after["activeDeadlineSeconds"];
  if (fresh.is_int() && (fresh.as_int() < 0 || fresh.as_int() > kMostSeconds)) {
    report.invalid("spec.activeDeadlineSeconds", fresh, "must be between 0 and 2147483647, inclusive");
    return false;
  }
  if (fresh.is_int() && old.is_int() && old.as_int() < fresh.as_int()) {
    report.invalid("spec.activeDeadlineSeconds", fresh, "must be less than or equal to previous value");
    return false;
  }
  if (old.is_int() && fresh.is_null())
    report.invalid("spec.activeDeadlineSeconds", Value(), "must not update from a positive integer to nil value");
  return true;
}

// Tolerations may be added, and those that are there may last longer or shorter.
void check_tolerations(Report& report, const Value& before, const Value& after) {
  for (const Value& old : before["tolerations"]) {
    const bool kept = std::any_of(after["tolerations"].begin(), after["tolerations"].end(), [&](Value other) {
      api::copy_field(other, old, "tolerationSeconds");
      return other == old;
    });
    if (!kept)
      return report.forbidden("spec.tolerations",
                              "existing toleration can not be modified except its tolerationSeconds");
  }
}

void check_gates(Report& report, const Value& before, const Value& after) {
  const Path gates("spec.schedulingGates");
  std::size_t index = 0;
  for (const Value& gate : after["schedulingGates"]) {
    const Value& old = before["schedulingGates"];
    const Path here = gates.at(index++);
    if (std::find(old.begin(), old.end(), gate) != old.end()) continue;
    report.forbidden(here / "name",
                     "only deletion is allowed, but found new scheduling gate '" + gate["name"].str() + "'");
  }
}

// A pod that waits behind gates may be narrowed to fewer nodes.
void check_node_selector(Report& report, const Value& before, const Value& after) {
  for (json::Entry entry : before["nodeSelector"].entries()) {
    const Value* other = after["nodeSelector"].find(entry.key);
    if (other != nullptr && *other == entry.value) continue;
    return report.invalid("spec.nodeSelector", after["nodeSelector"],
                          "only additions to spec.nodeSelector are allowed (no mutations or deletions)");
  }
}

}  // namespace

void validate_pod_update(Report& report, const Value& before, const Value& after) {
  validate_pod(report, after);
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  const Value& old = before["spec"];
  Value rest = after["spec"];  // with what may change as it was
  if (!adopt_images(report, rest, old, "containers") || !adopt_images(report, rest, old, "initContainers")) return;
  if (!check_deadline(report, old, rest)) return;
  check_tolerations(report, old, rest);
  check_gates(report, old, rest);
  for (const char* field : {"activeDeadlineSeconds", "tolerations", "schedulingGates"})
    api::copy_field(rest, old, field);
  if (rest["terminationGracePeriodSeconds"].as_int() == 1 && old["terminationGracePeriodSeconds"].as_int() < 0) {
    api::copy_field(rest, old, "terminationGracePeriodSeconds");
  }
  if (!old["schedulingGates"].empty() && old["nodeSelector"] != rest["nodeSelector"]) {
    check_node_selector(report, old, rest);
    api::copy_field(rest, old, "nodeSelector");
  }
  if (old == rest) return;
  report.forbidden(
      "spec",
      "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
      "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
      "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n" +
          go_diff(old, rest, "io.k8s.api.core.v1.PodSpec"));
}

}  // namespace berth::apiserver::validation

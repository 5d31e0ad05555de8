#include "apiserver/validation/workload_warnings.h"

#include "api/object.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

// Where a kind has its pod template, and what its name is used in.
struct Templated {
  std::string_view group, kind, path;
  bool names_pods;
};
constexpr Templated kTemplated[] = {
    {"", "PodTemplate", "template", false},
    {"", "ReplicationController", "spec.template", true},
    {"apps", "DaemonSet", "spec.template", false},
    {"apps", "Deployment", "spec.template", true},
    {"apps", "ReplicaSet", "spec.template", true},
    {"apps", "StatefulSet", "spec.template", false},
    {"batch", "CronJob", "spec.jobTemplate.spec.template", true},
    {"batch", "Job", "spec.template", true},
};

const Templated* templated(const api::schema::Kind& kind) {
  for (const Templated& one : kTemplated) {
    if (one.group == kind.group && one.kind == kind.kind) return &one;
  }
  return nullptr;
}

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

void warn_of_template(Warnings& warnings, const Templated& where, const Value& object) {
  const Value& pod_template = at_path(object, where.path);
  const Path path(where.path);
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

bool is_pod(const api::schema::Kind& kind) { return kind.group.empty() && kind.kind == "Pod"; }
bool is_set(const api::schema::Kind& kind) { return kind.group == "apps" && kind.kind == "StatefulSet"; }

}  // namespace

std::vector<std::string> warnings_on_create(const api::schema::Kind& kind, const Value& object) {
  Warnings warnings;
  if (is_pod(kind)) {
    warn_of_name(warnings, api::name_of(object), "the Pod's hostname");
    warn_of_pod_spec(warnings, "spec", "metadata", object["spec"], object["metadata"], false);
  } else if (const Templated* where = templated(kind)) {
    if (where->names_pods) warn_of_name(warnings, api::name_of(object), "Pod names and hostnames");
    warn_of_template(warnings, *where, object);
    if (is_set(kind)) warn_of_stateful_set(warnings, object["spec"]);
  }
  return warnings;
}

std::vector<std::string> warnings_on_update(const api::schema::Kind& kind, const Value& before, const Value& after) {
  Warnings warnings;
  if (is_pod(kind)) {
    if (before["spec"] != after["spec"])
      warn_of_pod_spec(warnings, "spec", "metadata", after["spec"], after["metadata"], false);
  } else if (const Templated* where = templated(kind)) {
    if (at_path(before, where->path) != at_path(after, where->path)) warn_of_template(warnings, *where, after);
    if (is_set(kind) && before["spec"] != after["spec"]) warn_of_stateful_set(warnings, after["spec"]);
  }
  return warnings;
}

}  // namespace berth::apiserver::validation

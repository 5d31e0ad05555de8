// StatefulSet, Deployment, DaemonSet, ReplicaSet, ReplicationController, PodTemplate, PodDisruptionBudget.
#include <algorithm>
#include <set>

#include "api/selector.h"
#include "api/set_options.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::string_view kSet = "io.k8s.api.apps.v1.StatefulSetUpdateStrategy",
                           kSetRolling = "io.k8s.api.apps.v1.RollingUpdateStatefulSetStrategy",
                           kDeployment = "io.k8s.api.apps.v1.DeploymentStrategy",
                           kDaemonSet = "io.k8s.api.apps.v1.DaemonSetUpdateStrategy";

// The pods of a template match the selector of their owner.
void check_labels_match(Report& report, const Value& spec, bool matches) {
  if (!matches)
    report.invalid("spec.template.metadata.labels", spec["template"]["metadata"]["labels"],
                   "`selector` does not match template `labels`");
}

// A selector that is there, and not empty. Whether it can be used.
bool check_selector(Report& report, const Value& selector, std::string_view shown_kind, std::string_view unusable) {
  if (!selector.is_object()) {
    report.required("spec.selector");
    return true;
  }
  const std::size_t before = report.size();
  validate_label_selector(report, "spec.selector", selector);
  const bool usable = report.size() == before;
  if (selector["matchLabels"].empty() && selector["matchExpressions"].empty()) {
    report.invalid_shown("spec.selector", shown_selector(selector),
                         "empty selector is invalid for " + std::string(shown_kind));
  }
  if (usable) return true;
  const std::string shown = "Invalid value: " + shown_selector(selector);
  report.add({"FieldValueInvalid", unusable.empty() ? shown : shown + ": " + std::string(unusable), "spec.selector"});
  return false;
}

void check_match(Report& report, const Value& spec) {
  const Value& selector = spec["selector"];
  const Result<api::LabelSelector> parsed = api::LabelSelector::of_object(selector);
  check_labels_match(report, spec,
                     selector.is_object() && parsed.ok() && parsed->matches(spec["template"]["metadata"]["labels"]));
}

// Pods that are replaced when they end have no end of their own.
void check_lasting_pods(Report& report, const Value& spec, std::string_view owner) {
  const Value& pods = spec["template"]["spec"];
  if (pods["restartPolicy"].as_string() != "Always") {
    report.not_supported("spec.template.spec.restartPolicy", Value(pods["restartPolicy"].as_string()), {"Always"});
  }
  if (!pods["activeDeadlineSeconds"].is_null()) {
    report.forbidden("spec.template.spec.activeDeadlineSeconds",
                     "activeDeadlineSeconds in " + std::string(owner) + " is not Supported");
  }
}

// A set's pods as they will be: with a volume for each of its claim templates, before their own; one of the same name
// replaces their own. Their subdomain is the set's to give.
Value with_claimed_volumes(const Value& spec) {
  const Value& claims = spec["volumeClaimTemplates"];
  if (claims.empty() && spec["template"]["spec"]["subdomain"].is_null()) return spec["template"];
  Value volumes = Value::array();
  std::set<std::string_view> names;
  for (const Value& claim : claims) {
    const Value& name = claim["metadata"]["name"];
    if (!names.insert(name.as_string()).second) continue;
    volumes.push(Value::object({{"name", name}, {"persistentVolumeClaim", Value::object({{"claimName", name}})}}));
  }
  for (const Value& volume : spec["template"]["spec"]["volumes"]) {
    if (!names.contains(volume["name"].as_string())) volumes.push(volume);
  }
  Value pod_template = spec["template"];
  if (!volumes.empty()) pod_template.mut("spec").set("volumes", std::move(volumes));
  pod_template.mut("spec").erase("subdomain");
  return pod_template;
}

// A count that is not negative, or a percentage.
bool validate_int_or_percent(Report& report, const Path& path, const Value& value) {
  if (value.is_null()) return true;
  if (value.is_int()) {
    report.not_negative(path, value);
    return value.as_int() >= 0;
  }
  std::string_view text = value.as_string();
  bool percent = text.size() > 1 && text.back() == '%';
  for (std::size_t i = 0; i + 1 < text.size(); ++i) percent = percent && text[i] >= '0' && text[i] <= '9';
  if (percent) return true;
  report.invalid(
      path, value,
      "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
      "validation is '[0-9]+%')");
  return false;
}

// -1 where there is no readable percentage.
int percent_of(const Value& value) {
  const std::string_view text = value.as_string();
  if (text.empty() || text.back() != '%') return -1;
  const Result<long> number = parse_int(text.substr(0, text.size() - 1));
  return number.ok() ? static_cast<int>(std::min<long>(*number, 1000000)) : -1;
}

void validate_at_most_whole(Report& report, const Path& path, const Value& value) {
  if (percent_of(value) > 100) report.invalid(path, value, "must not be greater than 100%");
}

// An unreadable percentage counts as 0, as upstream has it.
bool is_some(const Value& value) { return value.is_int() ? value.as_int() != 0 : percent_of(value) > 0; }

void validate_rolling_update(Report& report, const Value& strategy) {
  const Path path("spec.updateStrategy.rollingUpdate"), here = path / "maxUnavailable";
  report.not_negative(path / "partition", strategy["partition"]);
  const Value& unavailable = strategy["maxUnavailable"];
  if (unavailable.is_null()) return;
  validate_int_or_percent(report, here, unavailable);
  if (!is_some(unavailable)) report.invalid(here, unavailable, "cannot be 0");
  validate_at_most_whole(report, here, unavailable);
}

void validate_daemon_rolling_update(Report& report, const Value& rolling) {
  const Path path("spec.updateStrategy.rollingUpdate"), at_unavailable = path / "maxUnavailable",
                                                        at_surge = path / "maxSurge";
  const Value &unavailable = rolling["maxUnavailable"], &surge = rolling["maxSurge"];
  validate_int_or_percent(report, at_unavailable, unavailable);
  validate_int_or_percent(report, at_surge, surge);
  validate_at_most_whole(report, at_unavailable, unavailable);
  validate_at_most_whole(report, at_surge, surge);
  if (is_some(unavailable) && is_some(surge)) {
    report.invalid(at_surge, surge, "may not be set when maxUnavailable is non-zero");
  } else if (!is_some(unavailable) && !is_some(surge)) {
    report.required(at_unavailable, "cannot be 0 when maxSurge is 0");
  }
}

void validate_deployment_strategy(Report& report, const Value& strategy) {
  const Path path("spec.strategy"), here = path / "rollingUpdate", at_unavailable = here / "maxUnavailable";
  const Value& rolling = strategy["rollingUpdate"];
  const std::string_view type = strategy["type"].as_string();
  if (type == "Recreate") {
    if (rolling.is_object()) report.forbidden(here, "may not be specified when strategy `type` is 'Recreate'");
    return;
  }
  if (type != "RollingUpdate") {
    report.add({"FieldValueNotSupported",
                "Unsupported value: " + shown_as_go(strategy, kDeployment) +
                    ": supported values: \"Recreate\", \"RollingUpdate\"",
                path.text()});
    return;
  }
  if (!rolling.is_object()) return report.required(here, "this should be defaulted and never be nil");
  validate_int_or_percent(report, at_unavailable, rolling["maxUnavailable"]);
  validate_int_or_percent(report, here / "maxSurge", rolling["maxSurge"]);
  if (!is_some(rolling["maxUnavailable"]) && !is_some(rolling["maxSurge"])) {
    report.invalid(at_unavailable, rolling["maxUnavailable"], "may not be 0 when `maxSurge` is 0");
  }
  validate_at_most_whole(report, at_unavailable, rolling["maxUnavailable"]);
}

void validate_set_strategy(Report& report, const Value& strategy) {
  const std::string_view type = strategy["type"].as_string();
  if (type.empty()) {
    report.required("spec.updateStrategy");
  } else if (type == "OnDelete") {
    if (strategy["rollingUpdate"].is_object()) {
      report.invalid_shown("spec.updateStrategy.rollingUpdate", shown_as_go(strategy["rollingUpdate"], kSetRolling),
                           "only allowed for updateStrategy 'RollingUpdate'");
    }
  } else if (type == "RollingUpdate") {
    validate_rolling_update(report, strategy["rollingUpdate"]);
  } else {
    report.invalid_shown("spec.updateStrategy", shown_as_go(strategy, kSet), "must be 'RollingUpdate' or 'OnDelete'");
  }
}

// Claim templates are validated where they are new.
void validate_set(Report& report, const Value& object, bool with_claims) {
  const Value& spec = object["spec"];
  std::string_view policy = spec["podManagementPolicy"].as_string();
  if (policy.empty()) {
    report.required("spec.podManagementPolicy");
  } else if (policy != "OrderedReady" && policy != "Parallel") {
    report.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'");
  }
  validate_set_strategy(report, spec["updateStrategy"]);
  const Value& retention = spec["persistentVolumeClaimRetentionPolicy"];
  for (const char* field : {"whenDeleted", "whenScaled"}) {
    if (!retention.is_object() || retention[field].as_string() == "Retain" || retention[field].as_string() == "Delete")
      continue;
    const Path path("spec.persistentVolumeClaimRetentionPolicy");
    report.not_supported(path / field, Value(retention[field].as_string()), {"Retain", "Delete"});
  }
  report.not_negative("spec.replicas", spec["replicas"]);
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  report.not_negative("spec.ordinals.start", spec["ordinals"]["start"]);
  // Pods are named after the set; a service name is what their addresses hang on.
  if (std::string_view service = spec["serviceName"].as_string(); !service.empty())
    report.complaints("spec.serviceName", service, is_dns1123_label(service));
  const Path claims("spec.volumeClaimTemplates");
  std::size_t index = 0;
  for (const Value& claim : spec["volumeClaimTemplates"]) {
    if (!with_claims) break;
    const Path here = claims.at(index++);
    validate_claim_spec(report, here / "spec", claim["spec"]);
  }
  if (check_selector(report, spec["selector"], "statefulset", "")) {
    check_match(report, spec);
    validate_pod_template(report, "spec.template", with_claimed_volumes(spec));
  }
  check_lasting_pods(report, spec, "StatefulSet");
  validate_set_options(report, object);
}

}  // namespace

void validate_stateful_set(Report& report, const Value& object) { validate_set(report, object, true); }

void validate_set_template(Report& report, const Value& spec) {
  validate_pod_template(report, "spec.template", with_claimed_volumes(spec));
  check_lasting_pods(report, spec, "StatefulSet");
}

void validate_stateful_set_update(Report& report, const Value& before, const Value& after) {
  const bool with_claims = api::set_options_of(after).claim_template_updates;
  validate_set(report, after, with_claims);
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  Value old_spec = before["spec"], new_spec = after["spec"];
  if (with_claims) {
    validate_claim_template_changes(report, old_spec["volumeClaimTemplates"], new_spec["volumeClaimTemplates"]);
    old_spec.erase("volumeClaimTemplates");
    new_spec.erase("volumeClaimTemplates");
  }
  for (const char* field : {"replicas", "template", "updateStrategy", "minReadySeconds", "ordinals",
                            "persistentVolumeClaimRetentionPolicy", "revisionHistoryLimit"}) {
    old_spec.erase(field);
    new_spec.erase(field);
  }
  if (old_spec != new_spec) {
    report.forbidden(
        "spec",
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
  }
}

void validate_deployment(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  report.not_negative("spec.replicas", spec["replicas"]);
  if (check_selector(report, spec["selector"], "deployment", "invalid label selector")) {
    check_match(report, spec);
    validate_pod_template(report, "spec.template", spec["template"]);
    check_lasting_pods(report, spec, "ReplicaSet");
  }
  validate_deployment_strategy(report, spec["strategy"]);
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  report.not_negative("spec.revisionHistoryLimit", spec["revisionHistoryLimit"]);
  if (const Value& deadline = spec["progressDeadlineSeconds"]; deadline.is_int()) {
    report.not_negative("spec.progressDeadlineSeconds", deadline);
    if (deadline.as_int() <= spec["minReadySeconds"].as_int()) {
      report.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
    }
  }
}

void validate_daemon_set(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  const Value& selector = spec["selector"];
  const std::size_t before = report.size();
  validate_label_selector(report, "spec.selector", selector);
  if (report.size() == before) check_match(report, spec);
  if (selector.is_object() && selector["matchLabels"].empty() && selector["matchExpressions"].empty()) {
    report.invalid_shown("spec.selector", shown_selector(selector), "empty selector is invalid for daemonset");
  }
  validate_pod_template(report, "spec.template", spec["template"]);
  check_lasting_pods(report, spec, "DaemonSet");
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  const Value& strategy = spec["updateStrategy"];
  if (strategy["type"].as_string() == "RollingUpdate") {
    if (strategy["rollingUpdate"].is_object()) {
      validate_daemon_rolling_update(report, strategy["rollingUpdate"]);
    } else {
      report.required("spec.updateStrategy.rollingUpdate");
    }
  } else if (strategy["type"].as_string() != "OnDelete") {
    report.add({"FieldValueNotSupported",
                "Unsupported value: " + shown_as_go(strategy, kDaemonSet) +
                    ": supported values: \"RollingUpdate\", \"OnDelete\"",
                "spec.updateStrategy"});
  }
  report.not_negative("spec.revisionHistoryLimit", spec["revisionHistoryLimit"]);
}

void validate_replica_set(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  report.not_negative("spec.replicas", spec["replicas"]);
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  // Upstream's text names a deployment for other kinds too.
  if (!check_selector(report, spec["selector"], "deployment", "invalid label selector")) return;
  check_match(report, spec);
  validate_pod_template(report, "spec.template", spec["template"]);
  check_lasting_pods(report, spec, "ReplicaSet");
}

void validate_replication_controller(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  if (spec["selector"].empty()) report.required("spec.selector");
  if (spec["replicas"].is_null()) {
    report.required("spec.replicas");
  } else {
    report.not_negative("spec.replicas", spec["replicas"]);
  }
  if (!spec["template"].is_object()) return report.required("spec.template");
  const Value& labels = spec["template"]["metadata"]["labels"];
  if (!spec["selector"].empty())
    check_labels_match(report, spec, api::LabelSelector::of_map(spec["selector"]).matches(labels));
  validate_pod_template(report, "spec.template", spec["template"]);
  check_lasting_pods(report, spec, "ReplicationController");
}

void validate_stored_template(Report& report, const Value& object) {
  validate_pod_template(report, "template", object["template"]);
}

void validate_selector_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  const Value& selector = after["spec"]["selector"];
  if (before["spec"]["selector"] != selector)
    report.invalid_shown("spec.selector", shown_selector(selector), "field is immutable");
}

void validate_budget(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  if (!spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null()) {
    report.invalid_shown("spec", shown_as_go(spec, "io.k8s.api.policy.v1.PodDisruptionBudgetSpec"),
                         "minAvailable and maxUnavailable cannot be both set");
  }
  for (const char* field : {"minAvailable", "maxUnavailable"}) {
    std::string path = std::string("spec.") + field;
    if (validate_int_or_percent(report, path, spec[field])) validate_at_most_whole(report, path, spec[field]);
  }
  if (spec["selector"].is_object()) validate_label_selector(report, "spec.selector", spec["selector"]);
  if (const Value& policy = spec["unhealthyPodEvictionPolicy"];
      !policy.is_null() && policy.as_string() != "AlwaysAllow" && policy.as_string() != "IfHealthyBudget") {
    report.not_supported("spec.unhealthyPodEvictionPolicy", policy, {"AlwaysAllow", "IfHealthyBudget"});
  }
}

}  // namespace berth::apiserver::validation

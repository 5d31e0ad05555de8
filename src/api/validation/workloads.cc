// StatefulSet, Deployment, DaemonSet, ReplicaSet, ReplicationController, PodTemplate, PodDisruptionBudget.
#include "api/selector.h"
#include "api/set_options.h"
#include "api/validation/report.h"
#include "api/validation/validation.h"
#include "base/text.h"

namespace berth::validation {
namespace {

std::string go_map(const Value& map) {
  if (!map.is_object()) return "map[string]string(nil)";
  std::vector<std::string> parts;
  for (auto [key, value] : map.entries()) parts.push_back(quoted(key) + ":" + quoted(value.as_string()));
  return "map[string]string{" + join(parts, ", ") + "}";
}

std::string go_int_or_string(const Value& value) {
  if (value.is_string()) return "intstr.IntOrString{Type:1, IntVal:0, StrVal:" + quoted(value.as_string()) + "}";
  return "intstr.IntOrString{Type:0, IntVal:" + std::to_string(value.as_int()) + ", StrVal:\"\"}";
}

// A whole selector that is there, not empty, and matches its template.
void validate_selector_and_template(Report& report, const Value& spec, const char* kind) {
  const Value& selector = spec["selector"];
  const Value& labels = spec["template"]["metadata"]["labels"];
  Result<api::LabelSelector> parsed = api::LabelSelector::of_object(selector);
  if (!selector.is_object()) {
    report.required("spec.selector");
  } else {
    validate_label_selector(report, "spec.selector", selector);
    if (selector["matchLabels"].empty() && selector["matchExpressions"].empty()) {
      report.invalid_shown("spec.selector", json::encode(selector), "empty selector is invalid for " + std::string(kind));
    }
  }
  if (!selector.is_object() || (parsed.ok() && !parsed->matches(labels))) {
    report.invalid_shown("spec.template.metadata.labels", go_map(labels), "`selector` does not match template `labels`");
  }
}

// A set's pods have a volume for each of its claim templates.
Value with_claimed_volumes(const Value& spec) {
  Value pod_template = spec["template"];
  for (const Value& claim : spec["volumeClaimTemplates"]) {
    bool named = false;
    for (const Value& volume : pod_template["spec"]["volumes"]) named = named || volume["name"] == claim["metadata"]["name"];
    if (named) continue;
    Value source = Value::object({{"claimName", claim["metadata"]["name"]}});
    pod_template.mut("spec").mut("volumes").push(Value::object({{"name", claim["metadata"]["name"]}, {"persistentVolumeClaim", source}}));
  }
  return pod_template;
}

void validate_template_for(Report& report, const Value& spec, const char* kind) {
  // Upstream complains of an absent template by its labels alone.
  if (spec["template"]["spec"].is_object() && !spec["template"]["spec"]["containers"].is_null()) {
    validate_pod_template(report, "spec.template", with_claimed_volumes(spec));
  }
  std::string_view policy = spec["template"]["spec"]["restartPolicy"].as_string();
  if (!policy.empty() && policy != "Always" && (policy == "Never" || policy == "OnFailure")) {
    report.add(api::not_supported("spec.template.spec.restartPolicy", policy, {"Always"}));
  }
  if (!spec["template"]["spec"]["activeDeadlineSeconds"].is_null()) {
    report.forbidden("spec.template.spec.activeDeadlineSeconds", "activeDeadlineSeconds in " + std::string(kind) + " is not Supported");
  }
}

// A count that is not negative, or a percentage.
bool validate_int_or_percent(Report& report, const std::string& path, const Value& value) {
  if (value.is_null()) return true;
  if (value.is_int()) {
    std::size_t before = report.size();
    report.not_negative(path, value);
    return report.size() == before;
  }
  std::string_view text = value.as_string();
  bool percent = text.size() > 1 && text.back() == '%';
  for (std::size_t i = 0; i + 1 < text.size(); ++i) percent = percent && text[i] >= '0' && text[i] <= '9';
  if (percent) return true;
  report.invalid_shown(path, go_int_or_string(value),
                       "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
                       "validation is '[0-9]+%')");
  return false;
}

int percent_of(const Value& value) {
  if (!value.is_string()) return -1;
  Result<long> number = parse_int(value.as_string().substr(0, value.as_string().size() - 1));
  return number.ok() ? static_cast<int>(*number) : -1;
}

void validate_at_most_whole(Report& report, const std::string& path, const Value& value) {
  if (percent_of(value) > 100) report.invalid_shown(path, go_int_or_string(value), "must not be greater than 100%");
}

bool is_zero(const Value& value) { return value.is_int() ? value.as_int() == 0 : percent_of(value) == 0; }

void validate_rolling_update(Report& report, const Value& strategy) {
  const std::string path = "spec.updateStrategy.rollingUpdate";
  report.not_negative(path + ".partition", strategy["partition"]);
  const Value& unavailable = strategy["maxUnavailable"];
  if (unavailable.is_null() || !validate_int_or_percent(report, path + ".maxUnavailable", unavailable)) return;
  if (is_zero(unavailable)) report.invalid_shown(path + ".maxUnavailable", go_int_or_string(unavailable), "cannot be 0");
  validate_at_most_whole(report, path + ".maxUnavailable", unavailable);
}

void validate_daemon_rolling_update(Report& report, const Value& rolling) {
  const std::string path = "spec.updateStrategy.rollingUpdate";
  const Value &unavailable = rolling["maxUnavailable"], &surge = rolling["maxSurge"];
  validate_int_or_percent(report, path + ".maxUnavailable", unavailable);
  validate_int_or_percent(report, path + ".maxSurge", surge);
  validate_at_most_whole(report, path + ".maxUnavailable", unavailable);
  validate_at_most_whole(report, path + ".maxSurge", surge);
  // What cannot be read counts as nothing, as upstream has it.
  auto some = [](const Value& value) { return value.is_int() ? value.as_int() != 0 : percent_of(value) > 0; };
  if (some(unavailable) && some(surge)) {
    report.invalid_shown(path + ".maxSurge", go_int_or_string(surge), "may not be set when maxUnavailable is non-zero");
  } else if (!some(unavailable) && !some(surge)) {
    report.required(path + ".maxUnavailable", "cannot be 0 when maxSurge is 0");
  }
}

}  // namespace

void validate_stateful_set(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  std::string_view policy = spec["podManagementPolicy"].as_string();
  if (policy.empty()) {
    report.required("spec.podManagementPolicy");
  } else if (policy != "OrderedReady" && policy != "Parallel") {
    report.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'");
  }
  const Value& strategy = spec["updateStrategy"];
  std::string_view type = strategy["type"].as_string();
  if (type.empty()) {
    report.required("spec.updateStrategy");
  } else if (type == "OnDelete") {
    if (strategy["rollingUpdate"].is_object()) {
      report.invalid_shown("spec.updateStrategy.rollingUpdate", json::encode(strategy["rollingUpdate"]), "only allowed for updateStrategy 'RollingUpdate'");
    }
  } else if (type == "RollingUpdate") {
    validate_rolling_update(report, strategy["rollingUpdate"]);
  } else {
    report.invalid_shown("spec.updateStrategy",
                         "apps.StatefulSetUpdateStrategy{Type:" + quoted(type) + ", RollingUpdate:(*apps.RollingUpdateStatefulSetStrategy)(nil)}",
                         "must be 'RollingUpdate' or 'OnDelete'");
  }
  for (const char* field : {"whenDeleted", "whenScaled"}) {
    const Value& retention = spec["persistentVolumeClaimRetentionPolicy"];
    if (retention.is_object()) {
      report.one_of(std::string("spec.persistentVolumeClaimRetentionPolicy.") + field, retention[field], {"Retain", "Delete"}, true);
    }
  }
  report.not_negative("spec.replicas", spec["replicas"]);
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  report.not_negative("spec.ordinals.start", spec["ordinals"]["start"]);
  // Pods are named after the set; a service name is what their addresses hang on.
  if (std::string_view service = spec["serviceName"].as_string(); !service.empty()) {
    report.complaints("spec.serviceName", service, is_dns1123_subdomain(service));
  }
  validate_selector_and_template(report, spec, "statefulset");
  validate_set_template(report, spec);
  validate_set_options(report, object);
}

void validate_set_template(Report& report, const Value& spec) { validate_template_for(report, spec, "StatefulSet"); }

void validate_stateful_set_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  Value old_spec = before["spec"], new_spec = after["spec"];
  if (api::set_options_of(after).claim_template_updates) {
    validate_claim_template_changes(report, old_spec["volumeClaimTemplates"], new_spec["volumeClaimTemplates"]);
    old_spec.erase("volumeClaimTemplates");
    new_spec.erase("volumeClaimTemplates");
  }
  for (const char* field : {"replicas", "template", "updateStrategy", "minReadySeconds", "ordinals", "persistentVolumeClaimRetentionPolicy",
                            "revisionHistoryLimit"}) {
    old_spec.erase(field);
    new_spec.erase(field);
  }
  if (old_spec != new_spec) {
    report.forbidden("spec",
                     "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
                     "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden");
  }
}

void validate_deployment(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  report.not_negative("spec.replicas", spec["replicas"]);
  validate_selector_and_template(report, spec, "deployment");
  validate_template_for(report, spec, "Deployment");
  const Value& strategy = spec["strategy"];
  const std::string rolling_path = "spec.strategy.rollingUpdate";
  if (strategy["type"].as_string() == "Recreate") {
    if (strategy["rollingUpdate"].is_object()) report.forbidden(rolling_path, "may not be specified when strategy `type` is 'Recreate'");
  } else if (strategy["type"].as_string() == "RollingUpdate") {
    const Value& rolling = strategy["rollingUpdate"];
    bool unavailable_ok = validate_int_or_percent(report, rolling_path + ".maxUnavailable", rolling["maxUnavailable"]);
    bool surge_ok = validate_int_or_percent(report, rolling_path + ".maxSurge", rolling["maxSurge"]);
    if (unavailable_ok && surge_ok && is_zero(rolling["maxUnavailable"]) && is_zero(rolling["maxSurge"])) {
      report.invalid_shown(rolling_path + ".maxUnavailable", go_int_or_string(rolling["maxUnavailable"]), "may not be 0 when `maxSurge` is 0");
    }
    if (unavailable_ok) validate_at_most_whole(report, rolling_path + ".maxUnavailable", rolling["maxUnavailable"]);
  } else {
    report.one_of("spec.strategy.type", strategy["type"], {"Recreate", "RollingUpdate"}, true);
  }
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  report.not_negative("spec.revisionHistoryLimit", spec["revisionHistoryLimit"]);
  if (const Value& deadline = spec["progressDeadlineSeconds"]; deadline.is_int()) {
    report.not_negative("spec.progressDeadlineSeconds", deadline);
    if (deadline.as_int() <= spec["minReadySeconds"].as_int() && spec["minReadySeconds"].as_int() >= 0) {
      report.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds");
    }
  }
}

void validate_daemon_set(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  const Value& selector = spec["selector"];
  const Value& labels = spec["template"]["metadata"]["labels"];
  if (selector.is_object()) validate_label_selector(report, "spec.selector", selector);
  Result<api::LabelSelector> parsed = api::LabelSelector::of_object(selector);
  if (parsed.ok() && !parsed->matches(labels)) {
    report.invalid_shown("spec.template.metadata.labels", go_map(labels), "`selector` does not match template `labels`");
  }
  if (selector.is_object() && selector["matchLabels"].empty() && selector["matchExpressions"].empty()) {
    report.invalid_shown("spec.selector", json::encode(selector), "empty selector is invalid for daemonset");
  }
  validate_template_for(report, spec, "DaemonSet");
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  const Value& strategy = spec["updateStrategy"];
  if (strategy["type"].as_string() == "RollingUpdate") {
    if (strategy["rollingUpdate"].is_object()) {
      validate_daemon_rolling_update(report, strategy["rollingUpdate"]);
    } else {
      report.required("spec.updateStrategy.rollingUpdate");
    }
  } else if (strategy["type"].as_string() != "OnDelete") {
    std::string shown = strategy["rollingUpdate"].is_object()
                            ? json::encode(strategy)
                            : "apps.DaemonSetUpdateStrategy{Type:" + quoted(strategy["type"].as_string()) + ", RollingUpdate:(*apps.RollingUpdateDaemonSet)(nil)}";
    report.add({"FieldValueNotSupported", "Unsupported value: " + shown + ": supported values: \"RollingUpdate\", \"OnDelete\"", "spec.updateStrategy"});
  }
  report.not_negative("spec.revisionHistoryLimit", spec["revisionHistoryLimit"]);
}

void validate_replica_set(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  report.not_negative("spec.replicas", spec["replicas"]);
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  validate_selector_and_template(report, spec, "replicaset");
  validate_template_for(report, spec, "ReplicaSet");
}

void validate_replication_controller(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  report.not_negative("spec.minReadySeconds", spec["minReadySeconds"]);
  if (spec["selector"].empty()) report.required("spec.selector");
  report.not_negative("spec.replicas", spec["replicas"]);
  if (!spec["template"].is_object()) return report.required("spec.template");
  const Value& labels = spec["template"]["metadata"]["labels"];
  if (!spec["selector"].empty() && !api::LabelSelector::of_map(spec["selector"]).matches(labels)) {
    report.invalid_shown("spec.template.metadata.labels", go_map(labels), "`selector` does not match template `labels`");
  }
  validate_template_for(report, spec, "ReplicationController");
}

void validate_stored_template(Report& report, const Value& object) { validate_pod_template(report, "template", object["template"]); }

void validate_selector_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_immutable(report, "spec.selector", before["spec"]["selector"], after["spec"]["selector"]);
}

void validate_budget(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  if (!spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null()) {
    report.invalid_shown("spec", json::encode(spec), "minAvailable and maxUnavailable cannot be both set");
  }
  for (const char* field : {"minAvailable", "maxUnavailable"}) {
    std::string path = std::string("spec.") + field;
    if (validate_int_or_percent(report, path, spec[field])) validate_at_most_whole(report, path, spec[field]);
  }
  if (spec["selector"].is_object()) validate_label_selector(report, "spec.selector", spec["selector"]);
  report.one_of("spec.unhealthyPodEvictionPolicy", spec["unhealthyPodEvictionPolicy"], {"AlwaysAllow", "IfHealthyBudget"});
}

}  // namespace berth::validation

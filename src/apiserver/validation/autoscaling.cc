// HorizontalPodAutoscaler. Both versions are checked in the newer form, whose paths the causes name.
#include <algorithm>
#include <vector>

#include "api/autoscaler_versions.h"
#include "api/object.h"
#include "api/quantity.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr const char* kSources[] = {"object", "external", "pods", "resource", "containerResource"};
const std::vector<std::string> kTypes = {"ContainerResource", "External", "Object", "Pods", "Resource"};

void check_segment(Report& report, const std::string& path, const Value& value) {
  const std::string_view text = value.as_string();
  if (text.empty()) return report.required(path);
  if (text == "." || text == "..") return report.invalid(path, value, "may not be '" + std::string(text) + "'");
  for (char c : {'/', '%'}) {
    if (text.find(c) != text.npos) report.invalid(path, value, std::string("may not contain '") + c + "'");
  }
}

void check_reference(Report& report, const std::string& path, const Value& reference, bool needs_group) {
  check_segment(report, path + ".kind", reference["kind"]);
  check_segment(report, path + ".name", reference["name"]);
  const std::string version = reference["apiVersion"].str();
  const auto slashes = std::count(version.begin(), version.end(), '/');
  if (slashes > 1) {
    report.invalid(path + ".apiVersion", version, "unexpected GroupVersion string: " + version);
  } else if (needs_group && (slashes == 0 || version.starts_with("/"))) {
    report.invalid(path + ".apiVersion", version, "apiVersion must specify API group");
  }
}

void check_positive(Report& report, const std::string& path, const Value& amount) {
  if (amount.is_null()) return;
  Result<api::Quantity> quantity = api::Quantity::parse(amount.as_string());
  if (!quantity.ok() || quantity->sign() <= 0) report.invalid(path, amount, "must be positive");
}

void check_target(Report& report, const std::string& path, const Value& target) {
  const std::string_view type = target["type"].as_string();
  if (type.empty()) report.required(path + ".type", "must specify a metric target type");
  if (type != "Utilization" && type != "Value" && type != "AverageValue") {
    report.invalid(path + ".type", type, "must be either Utilization, Value, or AverageValue");
  }
  check_positive(report, path + ".value", target["value"]);
  check_positive(report, path + ".averageValue", target["averageValue"]);
  const Value& utilization = target["averageUtilization"];
  if (utilization.is_int() && utilization.as_int() < 1)
    report.invalid(path + ".averageUtilization", utilization, "must be greater than 0");
}

void check_metric(Report& report, const std::string& path, const Value& metric) {
  if (metric["name"].as_string().empty()) return report.required(path + ".name", "must specify a metric name");
  check_segment(report, path + ".name", metric["name"]);
}

void check_resource(Report& report, const std::string& path, const Value& source, bool container) {
  const Value& target = source["target"];
  if (source["name"].as_string().empty()) {
    report.required(path + ".name", "must specify a resource name");
  } else if (container) {
    validate_container_resource_name(report, path + ".name", source["name"].as_string());
  }
  if (container && source["container"].as_string().empty()) {
    report.required(path + ".container", "must specify a container");
  } else if (container) {
    report.complaints(path + ".container", source["container"], is_dns1123_label(source["container"].as_string()));
  }
  check_target(report, path + ".target", target);
  const bool utilization = !target["averageUtilization"].is_null(), value = !target["averageValue"].is_null();
  if (!utilization && !value) {
    report.required(path + ".target.averageUtilization", "must set either a target raw value or a target utilization");
  } else if (utilization && value) {
    report.forbidden(path + ".target.averageValue", "may not set both a target raw value and a target utilization");
  }
}

void check_source(Report& report, const std::string& path, std::string_view field, const Value& source) {
  if (field == "resource" || field == "containerResource")
    return check_resource(report, path, source, field == "containerResource");
  const Value& target = source["target"];
  if (field == "object") check_reference(report, path + ".describedObject", source["describedObject"], false);
  check_metric(report, path + ".metric", source["metric"]);
  check_target(report, path + ".target", target);
  const bool value = !target["value"].is_null(), average = !target["averageValue"].is_null();
  const std::string average_path = path + ".target.averageValue";
  if (field == "pods") {
    if (!average) report.required(average_path, "must specify a positive target averageValue");
  } else if (!value && !average) {
    report.required(average_path, field == "object" ? "must set either a target value or averageValue"
                                                    : "must set either a target value for metric or a per-pod target");
  } else if (field == "external" && value && average) {
    report.forbidden(path + ".target.value", "may not set both a target value for metric and a per-pod target");
  }
}

void check_metric_spec(Report& report, const std::string& path, const Value& spec) {
  const std::string type = spec["type"].str();
  const bool known = std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end();
  if (type.empty()) report.required(path + ".type", "must specify a metric source type");
  if (!known) report.add(api::not_supported(path + ".type", type, kTypes));
  std::vector<std::string> present;
  for (const char* field : kSources) {
    if (!spec[field].is_object()) continue;
    present.emplace_back(field);
    if (present.size() == 1) check_source(report, path + "." + field, field, spec[field]);
  }
  std::string expected = type;
  if (!expected.empty()) expected[0] = static_cast<char>(std::tolower(expected[0]));
  if (!known) {
    report.add(api::not_supported(path + ".type", type, kTypes));
  } else if (std::find(present.begin(), present.end(), expected) == present.end()) {
    report.required(path + "." + expected, "must populate information for the given metric source");
  }
  if (present.size() == 1) return;
  for (const std::string& field : present) {
    if (field != expected) report.forbidden(path + "." + field, "must populate the given metric source only");
  }
}

void check_policy(Report& report, const std::string& path, const Value& policy) {
  const std::string_view type = policy["type"].as_string();
  if (type != "Percent" && type != "Pods") report.add(api::not_supported(path + ".type", type, {"Percent", "Pods"}));
  if (policy["value"].as_int() <= 0)
    report.invalid(path + ".value", policy["value"].as_int(), "must be greater than zero");
  const std::int64_t period = policy["periodSeconds"].as_int();
  if (period <= 0) report.invalid(path + ".periodSeconds", period, "must be greater than zero");
  if (period > 1800) report.invalid(path + ".periodSeconds", period, "must be less than or equal to 1800");
}

void check_rules(Report& report, const std::string& path, const Value& rules) {
  if (!rules.is_object()) return;
  if (const Value& window = rules["stabilizationWindowSeconds"]; window.is_int()) {
    const std::string here = path + ".stabilizationWindowSeconds";
    if (window.as_int() < 0) report.invalid(here, window, "must be greater than or equal to zero");
    if (window.as_int() > 3600) report.invalid(here, window, "must be less than or equal to 3600");
  }
  if (const Value& select = rules["selectPolicy"]; !select.is_null()) {
    const std::string_view text = select.as_string();
    if (text != "Disabled" && text != "Max" && text != "Min")
      report.not_supported(path + ".selectPolicy", select, {"Disabled", "Max", "Min"});
  }
  if (rules["policies"].empty()) report.required(path + ".policies", "must specify at least one Policy");
  std::size_t index = 0;
  for (const Value& policy : rules["policies"]) check_policy(report, at(path + ".policies", index++), policy);
  if (!rules["tolerance"].is_null()) report.quantity_not_negative(path + ".tolerance", rules["tolerance"]);
}

}  // namespace

void validate_autoscaler(Report& report, const Value& object) {
  const Value newer = api::api_version_of(object) == "autoscaling/v1" ? api::autoscaler_to_v2(object) : object;
  const Value& spec = newer["spec"];
  const Value& least = spec["minReplicas"];
  const std::int64_t most = spec["maxReplicas"].as_int();
  if (least.is_int() && least.as_int() < 1)
    report.invalid("spec.minReplicas", least, "must be greater than or equal to 1");
  if (most == 0) report.required("spec.maxReplicas", "must be set and greater than 0");
  if (most < 0) report.invalid("spec.maxReplicas", most, "must be greater than or equal to 1");
  if (least.is_int() && most < least.as_int())
    report.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`");
  const Value& target = spec["scaleTargetRef"];
  check_reference(report, "spec.scaleTargetRef", target, target["kind"].as_string() != "ReplicationController");
  std::size_t index = 0;
  for (const Value& metric : spec["metrics"]) check_metric_spec(report, at("spec.metrics", index++), metric);
  auto counts_work = [](const Value& metric) {
    return metric["type"].as_string() == "Object" || metric["type"].as_string() == "External";
  };
  const bool from_work = std::any_of(spec["metrics"].begin(), spec["metrics"].end(), counts_work);
  if (least.is_int() && least.as_int() == 0 && !from_work) {
    report.forbidden("spec.metrics",
                     "must specify at least one Object or External metric to support scaling to zero replicas");
  }
  check_rules(report, "spec.behavior.scaleUp", spec["behavior"]["scaleUp"]);
  check_rules(report, "spec.behavior.scaleDown", spec["behavior"]["scaleDown"]);
}

// A reference that was accepted once stays good.
void validate_autoscaler_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
}

}  // namespace berth::apiserver::validation

#include "api/autoscaler_versions.h"

#include <algorithm>
#include <string>

#include "api/object.h"

namespace berth::api {
namespace {

constexpr const char* kMetrics = "autoscaling.alpha.kubernetes.io/metrics";
constexpr const char* kCurrentMetrics = "autoscaling.alpha.kubernetes.io/current-metrics";
constexpr const char* kConditions = "autoscaling.alpha.kubernetes.io/conditions";
constexpr const char* kBehavior = "autoscaling.alpha.kubernetes.io/behavior";

// {path in v1, path in v2} of the source types. Paths have at most two steps.
struct Renamed {
  const char *v1, *v2;
};
constexpr Renamed kResourceSource[] = {{"name", "name"},
                                       {"container", "container"},
                                       {"targetAverageUtilization", "target.averageUtilization"},
                                       {"targetAverageValue", "target.averageValue"}};
constexpr Renamed kPodsSource[] = {
    {"metricName", "metric.name"}, {"selector", "metric.selector"}, {"targetAverageValue", "target.averageValue"}};
constexpr Renamed kObjectSource[] = {{"target", "describedObject"},
                                     {"metricName", "metric.name"},
                                     {"selector", "metric.selector"},
                                     {"targetValue", "target.value"},
                                     {"averageValue", "target.averageValue"}};
constexpr Renamed kExternalSource[] = {{"metricName", "metric.name"},
                                       {"metricSelector", "metric.selector"},
                                       {"targetValue", "target.value"},
                                       {"targetAverageValue", "target.averageValue"}};
constexpr Renamed kResourceStatus[] = {{"name", "name"},
                                       {"container", "container"},
                                       {"currentAverageUtilization", "current.averageUtilization"},
                                       {"currentAverageValue", "current.averageValue"}};
constexpr Renamed kPodsStatus[] = {
    {"metricName", "metric.name"}, {"selector", "metric.selector"}, {"currentAverageValue", "current.averageValue"}};
constexpr Renamed kObjectStatus[] = {{"target", "describedObject"},
                                     {"metricName", "metric.name"},
                                     {"selector", "metric.selector"},
                                     {"currentValue", "current.value"},
                                     {"averageValue", "current.averageValue"}};
constexpr Renamed kExternalStatus[] = {{"metricName", "metric.name"},
                                       {"metricSelector", "metric.selector"},
                                       {"currentValue", "current.value"},
                                       {"currentAverageValue", "current.averageValue"}};

const Value& at(const Value& object, std::string_view path) {
  const std::size_t dot = path.find('.');
  return dot == path.npos ? object[path] : object[path.substr(0, dot)][path.substr(dot + 1)];
}
void put(Value& object, std::string_view path, const Value& value) {
  const std::size_t dot = path.find('.');
  if (dot == path.npos) {
    object.set(path, value);
  } else {
    object.mut(path.substr(0, dot)).set(path.substr(dot + 1), value);
  }
}

template <std::size_t N>
Value renamed(const Value& from, const Renamed (&table)[N], bool to_v2) {
  Value out = Value::object();
  for (const Renamed& row : table) {
    const Value& value = at(from, to_v2 ? row.v1 : row.v2);
    if (!value.is_null()) put(out, to_v2 ? row.v2 : row.v1, value);
  }
  return out;
}

// A quantity that v1's struct has no pointer for is 0 where v2 has none, and the other way round.
void fill_amount(Value& status, bool to_v2) {
  constexpr const char* kAmount = "currentAverageValue";
  if (!to_v2) {
    if (status[kAmount].is_null()) status.set(kAmount, "0");
  } else if (status["current"].is_object() && status["current"]["averageValue"].as_string() == "0" &&
             status["current"].contains("averageUtilization")) {
    status.mut("current").erase("averageValue");
  }
}

// v2 says what a target is; v1 leaves that to which field is there.
void name_target(Value& source) {
  Value& target = source.mut("target");
  if (target.is_null()) target = Value::object();
  target.set("type", target.contains("averageUtilization") ? "Utilization"
                     : target.contains("averageValue")     ? "AverageValue"
                                                           : "Value");
}

Value convert_metric(const Value& metric, bool status, bool to_v2) {
  Value out = Value::object({{"type", metric["type"]}});
  auto convert = [&](const char* field, const auto& source_table, const auto& status_table) {
    if (!metric[field].is_object()) return;
    Value part = status ? renamed(metric[field], status_table, to_v2) : renamed(metric[field], source_table, to_v2);
    if (to_v2 && !status) name_target(part);
    if (status && std::string_view(field).ends_with("esource")) fill_amount(part, to_v2);
    out.set(field, std::move(part));
  };
  convert("resource", kResourceSource, kResourceStatus);
  convert("containerResource", kResourceSource, kResourceStatus);
  convert("pods", kPodsSource, kPodsStatus);
  convert("object", kObjectSource, kObjectStatus);
  convert("external", kExternalSource, kExternalStatus);
  return out;
}

Value convert_metrics(const Value& list, bool status, bool to_v2) {
  Value out = Value::array();
  for (const Value& metric : list) out.push(convert_metric(metric, status, to_v2));
  return out;
}

// The metric that v1 has a field for.
bool is_plain_cpu(const Value& metric) {
  return metric["type"].as_string() == "Resource" && metric["resource"]["name"].as_string() == "cpu" &&
         !metric["resource"]["target"]["averageUtilization"].is_null();
}

// Behavior is annotated in the form of Go's structs: "ScaleUp", "PeriodSeconds".
Value recased(const Value& value, bool upper) {
  if (value.is_array()) {
    Value out = Value::array();
    for (const Value& element : value) out.push(recased(element, upper));
    return out;
  }
  if (!value.is_object()) return value;
  Value out = Value::object();
  for (auto [key, member] : value.entries()) {
    std::string name(key);
    if (!name.empty()) name[0] = static_cast<char>(upper ? std::toupper(name[0]) : std::tolower(name[0]));
    if (!member.is_null()) out.set(name, recased(member, upper));
  }
  return out;
}

// Removes an annotation and returns its content; null where it is absent or cannot be read.
Value pop_annotation(Value& object, const char* annotation) {
  const Value text = object["metadata"]["annotations"][annotation];
  if (text.is_null()) return Value();
  Value& annotations = object.mut("metadata").mut("annotations");
  annotations.erase(annotation);
  if (annotations.empty()) object.mut("metadata").erase("annotations");
  Result<Value> parsed = json::parse(text.as_string());
  return parsed.ok() ? *parsed : Value();
}

// The members of v1's Go structs, in their order.
constexpr std::string_view kOrder[] = {"type",
                                       "object",
                                       "pods",
                                       "resource",
                                       "containerResource",
                                       "external",
                                       "target",
                                       "kind",
                                       "name",
                                       "metricName",
                                       "targetAverageUtilization",
                                       "currentAverageUtilization",
                                       "metricSelector",
                                       "targetValue",
                                       "currentValue",
                                       "targetAverageValue",
                                       "currentAverageValue",
                                       "selector",
                                       "averageValue",
                                       "container",
                                       "apiVersion",
                                       "status",
                                       "lastTransitionTime",
                                       "reason",
                                       "message",
                                       "ScaleUp",
                                       "ScaleDown",
                                       "StabilizationWindowSeconds",
                                       "SelectPolicy",
                                       "Policies",
                                       "Tolerance",
                                       "Type",
                                       "Value",
                                       "PeriodSeconds",
                                       "matchLabels",
                                       "matchExpressions",
                                       "key",
                                       "operator",
                                       "values"};

std::string as_go(const Value& value) {
  std::string out;
  if (value.is_array()) {
    for (const Value& element : value) out += (out.empty() ? "" : ",") + as_go(element);
    return "[" + out + "]";
  }
  if (!value.is_object()) return json::encode(value);
  auto add = [&](std::string_view key, const Value& member) {
    if (!out.empty()) out += ",";
    json::append_string(key, out);
    out += ":" + as_go(member);
  };
  for (std::string_view key : kOrder) {
    if (const Value* member = value.find(key)) add(key, *member);
  }
  for (auto [key, member] : value.entries()) {
    if (std::find(std::begin(kOrder), std::end(kOrder), key) == std::end(kOrder)) add(key, member);
  }
  return "{" + out + "}";
}

void annotate(Value& object, const char* annotation, const Value& content) {
  if (!content.empty()) object.mut("metadata").mut("annotations").set(annotation, as_go(content));
}

}  // namespace

Value autoscaler_to_v2(Value object) {
  object.set("apiVersion", "autoscaling/v2");
  const Value metrics = pop_annotation(object, kMetrics), current = pop_annotation(object, kCurrentMetrics),
              conditions = pop_annotation(object, kConditions), behavior = pop_annotation(object, kBehavior);
  const Value target = object["spec"]["targetCPUUtilizationPercentage"];
  Value wanted = Value::array();
  if (!target.is_null()) {
    Value resource = Value::object(
        {{"name", "cpu"}, {"target", Value::object({{"type", "Utilization"}, {"averageUtilization", target}})}});
    wanted.push(Value::object({{"type", "Resource"}, {"resource", resource}}));
  }
  const Value others = convert_metrics(metrics, false, true);
  for (const Value& metric : others) wanted.push(metric);
  Value& spec = object.mut("spec");
  spec.erase("targetCPUUtilizationPercentage");
  if (!wanted.empty()) spec.set("metrics", std::move(wanted));
  if (behavior.is_object()) spec.set("behavior", recased(behavior, false));
  if (object["status"].is_object()) {
    Value& status = object.mut("status");
    const Value utilization = status["currentCPUUtilizationPercentage"];
    status.erase("currentCPUUtilizationPercentage");
    if (!current.empty()) {
      status.set("currentMetrics", convert_metrics(current, true, true));
    } else if (!utilization.is_null()) {
      Value resource =
          Value::object({{"name", "cpu"}, {"current", Value::object({{"averageUtilization", utilization}})}});
      status.set("currentMetrics", Value::array({Value::object({{"type", "Resource"}, {"resource", resource}})}));
    }
    if (conditions.is_array()) status.set("conditions", conditions);
  }
  return object;
}

Value autoscaler_to_v1(Value object) {
  object.set("apiVersion", "autoscaling/v1");
  const Value spec = object["spec"], status = object["status"];
  Value others = Value::array(), target;
  for (const Value& metric : spec["metrics"]) {
    if (is_plain_cpu(metric)) {
      if (target.is_null()) target = metric["resource"]["target"]["averageUtilization"];
    } else {
      others.push(metric);
    }
  }
  Value& old_spec = object.mut("spec");
  old_spec.erase("metrics");
  old_spec.erase("behavior");
  if (!target.is_null()) old_spec.set("targetCPUUtilizationPercentage", target);
  annotate(object, kMetrics, convert_metrics(others, false, false));
  annotate(object, kBehavior, recased(spec["behavior"], true));
  annotate(object, kCurrentMetrics, convert_metrics(status["currentMetrics"], true, false));
  annotate(object, kConditions, status["conditions"]);
  if (!status.is_object()) return object;
  Value& old_status = object.mut("status");
  old_status.erase("currentMetrics");
  old_status.erase("conditions");
  if (!old_status.contains("currentReplicas")) old_status.set("currentReplicas", 0);
  for (const Value& metric : status["currentMetrics"]) {
    const Value& utilization = metric["resource"]["current"]["averageUtilization"];
    if (metric["resource"]["name"].as_string() == "cpu" && !utilization.is_null())
      old_status.set("currentCPUUtilizationPercentage", utilization);
  }
  return object;
}

}  // namespace berth::api

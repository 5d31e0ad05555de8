// What Kubernetes 1.36 fills in for autoscalers, in both versions.
#include "api/schema/default_rules.h"

namespace berth::api::schema {
namespace {

constexpr int kUtilization = 80;

Value policy(const char* type, int value) {
  return Value::object({{"type", type}, {"value", value}, {"periodSeconds", 15}});
}

void rules(Value& behavior, const char* direction, const Value& defaults) {
  Value out = defaults;
  const Value& given = behavior[direction];
  for (const char* field : {"selectPolicy", "stabilizationWindowSeconds", "policies", "tolerance"}) {
    if (!given[field].is_null()) out.set(field, given[field]);
  }
  if (out != given) behavior.set(direction, std::move(out));
}

}  // namespace

void default_autoscaler_v1(Value& autoscaler) {
  if (autoscaler["spec"]["minReplicas"].is_null()) autoscaler.mut("spec").set("minReplicas", 1);
  const bool other_metrics = autoscaler["metadata"]["annotations"].contains("autoscaling.alpha.kubernetes.io/metrics");
  const Value& target = autoscaler["spec"]["targetCPUUtilizationPercentage"];
  if (target.is_null() && !other_metrics) autoscaler.mut("spec").set("targetCPUUtilizationPercentage", kUtilization);
}

void default_autoscaler_v2(Value& autoscaler) {
  if (autoscaler["spec"]["minReplicas"].is_null()) autoscaler.mut("spec").set("minReplicas", 1);
  if (autoscaler["spec"]["metrics"].empty()) {
    Value resource = Value::object(
        {{"name", "cpu"}, {"target", Value::object({{"type", "Utilization"}, {"averageUtilization", kUtilization}})}});
    autoscaler.mut("spec").set("metrics",
                               Value::array({Value::object({{"type", "Resource"}, {"resource", resource}})}));
  }
  if (!autoscaler["spec"]["behavior"].is_object()) return;
  Value behavior = autoscaler["spec"]["behavior"];
  rules(behavior, "scaleUp",
        Value::object({{"stabilizationWindowSeconds", 0},
                       {"selectPolicy", "Max"},
                       {"policies", Value::array({policy("Pods", 4), policy("Percent", 100)})}}));
  rules(behavior, "scaleDown",
        Value::object({{"selectPolicy", "Max"}, {"policies", Value::array({policy("Percent", 100)})}}));
  if (behavior != autoscaler["spec"]["behavior"]) autoscaler.mut("spec").set("behavior", std::move(behavior));
}

}  // namespace berth::api::schema

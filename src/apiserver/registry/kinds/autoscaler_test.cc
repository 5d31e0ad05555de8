// HorizontalPodAutoscalers: two API versions of one stored object.
#include "apiserver/registry/test_registry.h"

namespace berth::apiserver::registry {
namespace {

class AutoscalerTest : public RegistryFixture {
 protected:
  static Call call(std::string version, std::string name = "", std::string subresource = "") {
    return RegistryFixture::call({"autoscaling", std::move(version), "horizontalpodautoscalers"}, std::move(name),
                                 std::move(subresource));
  }
  Result<Answer> create(const std::string& version, std::string_view text) {
    return wait([&](Done done) { registry_->create(call(version), parsed(text), std::move(done)); });
  }
  Result<Answer> patch(const Call& c, std::string_view text) {
    return wait([&](Done done) { registry_->patch(c, api::PatchType::kMerge, parsed(text), false, std::move(done)); });
  }
  Value get(const std::string& version, const std::string& name) {
    return wait([&](Done done) { registry_->get(call(version, name), std::move(done)); })->value();
  }
  static std::string outcome(const Result<Answer>& answer) { return answer.ok() ? "ok" : answer.error().message; }
};

TEST_F(AutoscalerTest, WhatOneVersionMakesTheOtherShows) {
  Result<Answer> made = create(
      "v1",
      R"({"metadata":{"name":"h"},"spec":{"maxReplicas":3,"scaleTargetRef":{"apiVersion":"apps/v1","kind":"Deployment","name":"d"}}})");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->value()["apiVersion"].as_string(), "autoscaling/v1");
  EXPECT_EQ(made->value()["spec"]["targetCPUUtilizationPercentage"].as_int(), 80);
  Value now = get("v2", "h");
  EXPECT_EQ(now["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"].as_int(), 80);
  EXPECT_EQ(now["spec"]["minReplicas"].as_int(), 1);
  ASSERT_EQ(
      outcome(patch(
          call("v2", "h", "status"),
          R"({"status":{"currentReplicas":1,"desiredReplicas":2,"conditions":[{"type":"AbleToScale","status":"True"}]}})")),
      "ok");
  ASSERT_EQ(outcome(patch(call("v2", "h"), R"({"spec":{"behavior":{"scaleUp":{"stabilizationWindowSeconds":7}}}})")),
            "ok");
  // A writer that knows only the old form takes nothing away.
  ASSERT_EQ(
      outcome(patch(
          call("v1", "h"),
          R"({"spec":{"targetCPUUtilizationPercentage":50},"metadata":{"annotations":{"autoscaling.alpha.kubernetes.io/conditions":null}}})")),
      "ok");
  now = get("v2", "h");
  EXPECT_EQ(now["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"].as_int(), 50);
  EXPECT_EQ(now["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"].as_int(), 7);
  EXPECT_EQ(now["spec"]["behavior"]["scaleUp"]["policies"].size(), 2u);
  EXPECT_EQ(now["spec"]["behavior"]["scaleDown"]["policies"][0]["value"].as_int(), 100);
  EXPECT_EQ(now["status"]["conditions"][0]["type"].as_string(), "AbleToScale");
  EXPECT_TRUE(now["metadata"]["annotations"].is_null());
  EXPECT_EQ(get("v1", "h")["status"]["desiredReplicas"].as_int(), 2);
  Result<ListAnswer> list = registry_->list(call("v1"), {});
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->records[0]->value["apiVersion"].as_string(), "autoscaling/v1");
}

TEST_F(AutoscalerTest, IsCheckedInItsNewerForm) {
  EXPECT_EQ(
      outcome(create(
          "v1",
          R"({"metadata":{"name":"h"},"spec":{"maxReplicas":0,"minReplicas":0,"targetCPUUtilizationPercentage":0,"scaleTargetRef":{"kind":"a/b"}}})")),
      "HorizontalPodAutoscaler.autoscaling \"h\" is invalid: [spec.minReplicas: Invalid value: 0: must be greater than or equal to 1, "
      "spec.maxReplicas: Required value: must be set and greater than 0, spec.scaleTargetRef.kind: Invalid value: \"a/b\": may not contain '/', "
      "spec.scaleTargetRef.name: Required value, spec.scaleTargetRef.apiVersion: Invalid value: \"\": apiVersion must specify API group, "
      "spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0, "
      "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas]");
  EXPECT_EQ(
      outcome(create(
          "v2",
          R"({"metadata":{"name":"h"},"spec":{"maxReplicas":1,"minReplicas":2,"scaleTargetRef":{"kind":"ReplicationController","name":"r","apiVersion":"v1"},
      "metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization"}}},{"type":"Odd"},
        {"type":"Pods","pods":{"metric":{"name":""},"target":{"type":"Value","value":"-1"}},"resource":{"name":"cpu","target":{"type":"Value"}}},{"type":"External"},
        {"type":"ContainerResource","containerResource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":1,"averageValue":"1"}}}],
      "behavior":{"scaleUp":{"stabilizationWindowSeconds":3601,"selectPolicy":"Odd","policies":[{"type":"Odd","value":0,"periodSeconds":1801}],"tolerance":"-1"},
                  "scaleDown":{"policies":[]}}}})")),
      "HorizontalPodAutoscaler.autoscaling \"h\" is invalid: [spec.maxReplicas: Invalid value: 1: must be greater than or equal to `minReplicas`, "
      "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization, "
      "spec.metrics[1].type: Unsupported value: \"Odd\": supported values: \"ContainerResource\", \"External\", \"Object\", \"Pods\", \"Resource\", "
      "spec.metrics[2].pods.metric.name: Required value: must specify a metric name, spec.metrics[2].pods.target.value: Invalid value: \"-1\": must be positive, "
      "spec.metrics[2].pods.target.averageValue: Required value: must specify a positive target averageValue, "
      "spec.metrics[2].resource: Forbidden: must populate the given metric source only, "
      "spec.metrics[3].external: Required value: must populate information for the given metric source, "
      "spec.metrics[4].containerResource.container: Required value: must specify a container, "
      "spec.metrics[4].containerResource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization, "
      "spec.behavior.scaleUp.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600, "
      "spec.behavior.scaleUp.selectPolicy: Unsupported value: \"Odd\": supported values: \"Disabled\", \"Max\", \"Min\", "
      "spec.behavior.scaleUp.policies[0].type: Unsupported value: \"Odd\": supported values: \"Percent\", \"Pods\", "
      "spec.behavior.scaleUp.policies[0].value: Invalid value: 0: must be greater than zero, "
      "spec.behavior.scaleUp.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800, "
      "spec.behavior.scaleUp.tolerance: Invalid value: \"-1\": must be greater than or equal to 0, "
      "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy]");
}

}  // namespace
}  // namespace berth::apiserver::registry

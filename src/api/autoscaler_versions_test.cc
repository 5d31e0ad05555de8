#include "api/autoscaler_versions.h"

#include <gtest/gtest.h>

namespace berth::api {
namespace {

Value from(std::string_view text) { return json::parse(text).value(); }

TEST(AutoscalerVersions, ThePlainOneHasFieldsInBoth) {
  const Value old = from(R"({"apiVersion":"autoscaling/v1","kind":"HorizontalPodAutoscaler","metadata":{"name":"h"},
      "spec":{"maxReplicas":3,"minReplicas":1,"scaleTargetRef":{"kind":"Deployment","name":"d"},"targetCPUUtilizationPercentage":80},
      "status":{"currentReplicas":0,"desiredReplicas":0}})");
  const Value now = autoscaler_to_v2(old);
  EXPECT_EQ(now["apiVersion"].as_string(), "autoscaling/v2");
  EXPECT_EQ(
      json::encode(now["spec"]["metrics"]),
      R"([{"resource":{"name":"cpu","target":{"averageUtilization":80,"type":"Utilization"}},"type":"Resource"}])");
  EXPECT_EQ(autoscaler_to_v1(now), old);
}

TEST(AutoscalerVersions, TheRestGoesIntoAnnotationsAndComesBack) {
  const Value now = from(
      R"({"apiVersion":"autoscaling/v2","kind":"HorizontalPodAutoscaler","metadata":{"name":"h","annotations":{"mine":"x"}},
      "spec":{"maxReplicas":3,"behavior":{"scaleUp":{"policies":[{"type":"Pods","value":1,"periodSeconds":15}],"selectPolicy":"Max","tolerance":"50m"}},
        "metrics":[
          {"type":"Resource","resource":{"name":"cpu","target":{"type":"Utilization","averageUtilization":50}}},
          {"type":"Resource","resource":{"name":"memory","target":{"type":"AverageValue","averageValue":"1Gi"}}},
          {"type":"ContainerResource","containerResource":{"name":"cpu","container":"c","target":{"type":"Utilization","averageUtilization":9}}},
          {"type":"Pods","pods":{"metric":{"name":"m","selector":{"matchLabels":{"a":"b"}}},"target":{"type":"AverageValue","averageValue":"2"}}},
          {"type":"Object","object":{"describedObject":{"kind":"Service","name":"s"},"metric":{"name":"o"},"target":{"type":"Value","value":"3"}}},
          {"type":"External","external":{"metric":{"name":"e"},"target":{"type":"AverageValue","averageValue":"4"}}}]},
      "status":{"currentReplicas":1,"desiredReplicas":2,"conditions":[{"type":"AbleToScale","status":"True"}],
        "currentMetrics":[{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":7,"averageValue":"70m"}}}]}})");
  const Value old = autoscaler_to_v1(now);
  EXPECT_EQ(old["spec"]["targetCPUUtilizationPercentage"].as_int(), 50);
  EXPECT_TRUE(old["spec"]["metrics"].is_null());
  EXPECT_EQ(old["status"]["currentCPUUtilizationPercentage"].as_int(), 7);
  const Value& annotations = old["metadata"]["annotations"];
  EXPECT_EQ(from(annotations["autoscaling.alpha.kubernetes.io/metrics"].as_string())[0],
            from(R"({"type":"Resource","resource":{"name":"memory","targetAverageValue":"1Gi"}})"));
  EXPECT_EQ(
      from(annotations["autoscaling.alpha.kubernetes.io/behavior"].as_string()),
      from(
          R"({"ScaleUp":{"Policies":[{"Type":"Pods","Value":1,"PeriodSeconds":15}],"SelectPolicy":"Max","Tolerance":"50m"}})"));
  EXPECT_EQ(
      annotations["autoscaling.alpha.kubernetes.io/current-metrics"].as_string(),
      R"([{"type":"Resource","resource":{"name":"cpu","currentAverageUtilization":7,"currentAverageValue":"70m"}}])");
  EXPECT_EQ(json::encode(autoscaler_to_v2(old)), json::encode(now));
  Value broken = old;
  broken.mut("metadata").mut("annotations").set("autoscaling.alpha.kubernetes.io/metrics", "{");
  EXPECT_EQ(autoscaler_to_v2(broken)["spec"]["metrics"].size(), 1u);
}

}  // namespace
}  // namespace berth::api

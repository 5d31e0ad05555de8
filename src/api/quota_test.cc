#include "api/quota.h"

#include <gtest/gtest.h>

#include "client/client.h"

namespace berth::api::quota {
namespace {

using namespace resources;

Value from(std::string_view text) { return json::parse(text).value(); }
const Time kNow = parse_time("2026-01-01T01:00:00Z").value();
std::string used(const Resource& resource, std::string_view object) {
  return text_of(usage(resource, from(object), kNow));
}

constexpr const char* kTwo = R"({"metadata":{},"spec":{"containers":[
  {"name":"a","resources":{"requests":{"cpu":"100m","memory":"1Gi"},"limits":{"cpu":"1","nvidia.com/gpu":"1"}}},
  {"name":"b","resources":{"requests":{"cpu":"200m","nvidia.com/gpu":"1"}}}],
  "initContainers":[{"name":"i","resources":{"requests":{"cpu":"50m","memory":"3Gi"}}}]}})";

TEST(QuotaUsage, OfPods) {
  EXPECT_EQ(
      used(kPods, kTwo),
      "count/pods=1,cpu=300m,limits.cpu=1,memory=3Gi,pods=1,requests.cpu=300m,requests.memory=3Gi,requests.nvidia.com/gpu=1");
  Value pod = from(kTwo);
  pod.set("status", from(R"({"phase":"Succeeded"})"));
  EXPECT_EQ(text_of(usage(kPods, pod, kNow)), "count/pods=1");
}

TEST(QuotaUsage, SidecarsCountBesideTheOthersAndThePodsOwnWordWins) {
  EXPECT_EQ(used(kPods, R"({"spec":{"containers":[{"resources":{"requests":{"cpu":"1"}}}],
      "initContainers":[{"restartPolicy":"Always","resources":{"requests":{"cpu":"2"}}},{"resources":{"requests":{"cpu":"4"}}}]}})"),
            "count/pods=1,cpu=6,pods=1,requests.cpu=6");
  EXPECT_EQ(
      used(
          kPods,
          R"({"spec":{"resources":{"requests":{"cpu":"5"}},"overhead":{"cpu":"1"},"containers":[{"resources":{"requests":{"cpu":"1"}}}]}})"),
      "count/pods=1,cpu=6,pods=1,requests.cpu=6");
}

TEST(QuotaUsage, PodsThatShouldBeGoneDoNotCount) {
  Value pod = from(
      R"({"metadata":{"deletionTimestamp":"2026-01-01T00:59:50Z","deletionGracePeriodSeconds":30},"spec":{"containers":[]}})");
  EXPECT_EQ(text_of(usage(kPods, pod, kNow)), "count/pods=1,pods=1");
  EXPECT_EQ(end_of_charge(kPods, pod, kNow), kNow + 20s);
  EXPECT_EQ(text_of(usage(kPods, pod, kNow + 21s)), "count/pods=1");
  EXPECT_FALSE(end_of_charge(kPods, pod, kNow + 21s).has_value());
}

TEST(QuotaUsage, OfTheOtherKinds) {
  EXPECT_EQ(used(kServices, R"({"spec":{"type":"LoadBalancer","ports":[{},{}]}})"),
            "count/services=1,services=1,services.loadbalancers=1,services.nodeports=2");
  EXPECT_EQ(
      used(kServices,
           R"({"spec":{"type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"ports":[{},{"nodePort":30000}]}})"),
      "count/services=1,services=1,services.loadbalancers=1,services.nodeports=1");
  EXPECT_EQ(used(kServices, R"({"spec":{"type":"ClusterIP","ports":[{}]}})"),
            "count/services=1,services=1,services.loadbalancers=0,services.nodeports=0");
  EXPECT_EQ(
      used(kPersistentVolumeClaims,
           R"({"spec":{"storageClassName":"gold","resources":{"requests":{"storage":"2Gi"}}}})"),
      "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=2Gi,"
      "persistentvolumeclaims=1,requests.storage=2Gi");
  EXPECT_EQ(used(kConfigMaps, "{}"), "configmaps=1,count/configmaps=1");
  EXPECT_EQ(used(kDeployments, "{}"), "count/deployments.apps=1");
}

TEST(QuotaMatches, Resources) {
  std::vector<std::string> all = {"pods",
                                  "services",
                                  "limits.cpu",
                                  "count/deployments.apps",
                                  "secrets",
                                  "requests.nvidia.com/gpu",
                                  "requests.storage"};
  EXPECT_EQ(matching_resources(kPods, all),
            (std::vector<std::string>{"pods", "limits.cpu", "requests.nvidia.com/gpu"}));
  EXPECT_EQ(matching_resources(kDeployments, all), (std::vector<std::string>{"count/deployments.apps"}));
  EXPECT_EQ(matching_resources(kSecrets, all), (std::vector<std::string>{"secrets"}));
  EXPECT_EQ(matching_resources(kPersistentVolumeClaims, all), (std::vector<std::string>{"requests.storage"}));
}

TEST(QuotaMatches, Scopes) {
  auto is_in = [](const char* spec, const char* pod_spec) {
    Value quota = Value::object({{"spec", from(spec)}}), pod = Value::object({{"spec", from(pod_spec)}});
    return matches_scopes(quota, kPods, pod);
  };
  EXPECT_TRUE(is_in("{}", "{}"));
  EXPECT_TRUE(is_in(R"({"scopes":["BestEffort","NotTerminating"]})", "{}"));
  EXPECT_FALSE(is_in(R"({"scopes":["BestEffort"]})", R"({"containers":[{"resources":{"limits":{"cpu":"1"}}}]})"));
  EXPECT_TRUE(is_in(R"({"scopes":["Terminating"]})", R"({"activeDeadlineSeconds":5})"));
  EXPECT_TRUE(is_in(
      R"({"scopes":["CrossNamespacePodAffinity"]})",
      R"({"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"namespaces":["x"]}]}}})"));
  const char* kHigh =
      R"({"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"In","values":["high"]}]}})";
  EXPECT_TRUE(is_in(kHigh, R"({"priorityClassName":"high"})"));
  EXPECT_FALSE(is_in(kHigh, R"({"priorityClassName":"low"})"));
  EXPECT_FALSE(is_in(kHigh, "{}"));
  EXPECT_TRUE(is_in(
      R"({"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"NotIn","values":["high"]}]}})",
      "{}"));
  EXPECT_TRUE(is_in(
      R"({"scopeSelector":{"matchExpressions":[{"scopeName":"PriorityClass","operator":"DoesNotExist"}]}})", "{}"));
  EXPECT_FALSE(matches_scopes(from(R"({"spec":{"scopes":["NotTerminating"]}})"), kConfigMaps, Value::object()));
  Value claims = from(
      R"({"spec":{"scopeSelector":{"matchExpressions":[{"scopeName":"VolumeAttributesClass","operator":"Exists"}]}}})");
  EXPECT_TRUE(matches_scopes(claims, kPersistentVolumeClaims,
                             from(R"({"status":{"currentVolumeAttributesClassName":"fast"}})")));
  EXPECT_FALSE(matches_scopes(claims, kPersistentVolumeClaims, Value::object()));
}

TEST(QuotaMatches, WhatAPodMustState) {
  EXPECT_EQ(missing_constraints({"limits.memory", "pods", "requests.memory"}, kPods, from(kTwo)),
            "must specify limits.memory for: a,b,i; requests.memory for: b");
  EXPECT_EQ(missing_constraints({"pods", "limits.ephemeral-storage"}, kPods, from(kTwo)), "");
  EXPECT_EQ(
      missing_constraints({"limits.memory"}, kPods,
                          from(R"({"spec":{"resources":{"limits":{"memory":"1Gi"}},"containers":[{"name":"a"}]}})")),
      "");
}

}  // namespace
}  // namespace berth::api::quota

// Rows as Kubernetes 1.36 answers them.
#include "apiserver/validation/validation.h"

#include <gtest/gtest.h>

#include "api/schema/schema.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

Value object_of(const api::schema::Kind& kind, std::string_view text) {
  Value object = json::parse(text).value();
  api::schema::apply_defaults(kind, object);
  return object;
}

std::string pod_warnings(std::string_view metadata, std::string_view spec, std::string_view container = "") {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("v1", "Pod");
  const std::string text = R"({"metadata":{"name":"p")" + std::string(metadata) +
                           R"(},"spec":{"containers":[{"name":"c","image":"i")" + std::string(container) + "}]" +
                           std::string(spec) + "}}";
  return join(warnings_on_create(kind, object_of(kind, text)), "\n");
}

TEST(WorkloadWarnings, Nodes) {
  EXPECT_EQ(pod_warnings("", ""), "");
  EXPECT_EQ(pod_warnings("", R"(,"nodeSelector":{"beta.kubernetes.io/os":"linux"})"),
            "spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use \"kubernetes.io/os\" instead");
  EXPECT_EQ(
      pod_warnings(
          "", R"(,"topologySpreadConstraints":[{"topologyKey":"failure-domain.beta.kubernetes.io/zone","maxSkew":1}])"),
      "spec.topologySpreadConstraints[0].topologyKey: failure-domain.beta.kubernetes.io/zone is deprecated since v1.17; use "
      "\"topology.kubernetes.io/zone\" instead\n"
      "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod");
}

TEST(WorkloadWarnings, Volumes) {
  EXPECT_EQ(
      pod_warnings("",
                   R"(,"volumes":[{"name":"v","glusterfs":{"endpoints":"e","path":"p"}},{"name":"w","storageos":{}}])"),
      "spec.volumes[0].glusterfs: deprecated in v1.25, non-functional in v1.26+\n"
      "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+");
  EXPECT_EQ(
      pod_warnings(
          "",
          R"(,"volumes":[{"name":"v","configMap":{"name":"m","items":[{"key":"a","path":"x"},{"key":"b","path":"x/y"}]}}])"),
      "volume \"v\" (ConfigMap \"m\"): overlapping paths: \"x/y\" with \"x\"");
  EXPECT_EQ(pod_warnings("", R"(,"volumes":[{"name":"v","projected":{"sources":[{}]}}])"),
            "volume \"v\" (Projected) has no sources provided");
}

TEST(WorkloadWarnings, Containers) {
  EXPECT_EQ(pod_warnings("", "", R"(,"env":[{"name":"A","value":"1"},{"name":"A","value":"2"}])"),
            "spec.containers[0].env[1]: hides previous definition of \"A\", which may be dropped when using apply");
  EXPECT_EQ(pod_warnings("", "", R"(,"env":[{"name":"A","value":"1"},{"name":"A","value":"$(A):2"}])"), "");
  EXPECT_EQ(
      pod_warnings(
          "", "",
          R"(,"ports":[{"containerPort":80},{"containerPort":80,"name":"again"},{"containerPort":80,"protocol":"UDP"}])"),
      "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]");
  EXPECT_EQ(pod_warnings("", "", R"(,"ports":[{"containerPort":80,"hostPort":1},{"containerPort":80}])"),
            "spec.containers[0].ports[1]: overlapping port definition with spec.containers[0].ports[0]");
  EXPECT_EQ(
      pod_warnings("", "", R"(,"resources":{"limits":{"memory":"1.5"}})"),
      "spec.containers[0].resources.limits[memory]: fractional byte value \"1500m\" is invalid, must be an integer\n"
      "spec.containers[0].resources.requests[memory]: fractional byte value \"1500m\" is invalid, must be an integer");
}

TEST(WorkloadWarnings, Lists) {
  EXPECT_EQ(pod_warnings("", R"(,"imagePullSecrets":[{"name":"a"},{"name":"a"}])"),
            "spec.imagePullSecrets[1].name: duplicate name \"a\"");
  EXPECT_EQ(pod_warnings("", R"(,"terminationGracePeriodSeconds":-1)"),
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1");
  EXPECT_EQ(
      pod_warnings(R"(,"annotations":{"scheduler.alpha.kubernetes.io/critical-pod":""})", ""),
      "metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the \"priorityClassName\" field instead");
}

TEST(WorkloadWarnings, TemplatesAndNames) {
  const api::schema::Kind& kind = *api::schema::builtin().find_kind("apps/v1", "StatefulSet");
  const Value before = object_of(kind, R"({"metadata":{"name":"a.b"},"spec":{"revisionHistoryLimit":-1,
    "template":{"spec":{"containers":[{"name":"c","image":"i"}],"nodeSelector":{"beta.kubernetes.io/arch":"amd64"}}}}})");
  EXPECT_EQ(
      join(warnings_on_create(kind, before), "\n"),
      "spec.template.spec.nodeSelector[beta.kubernetes.io/arch]: deprecated since v1.14; use \"kubernetes.io/arch\" instead\n"
      "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended");
  EXPECT_TRUE(warnings_on_update(kind, before, before).empty());
  Value after = before;
  after.mut("spec").set("replicas", 2);
  EXPECT_EQ(
      join(warnings_on_update(kind, before, after), "\n"),
      "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended");
  const api::schema::Kind& deployments = *api::schema::builtin().find_kind("apps/v1", "Deployment");
  const Value deployment = object_of(
      deployments,
      R"({"metadata":{"name":"a.b"},"spec":{"template":{"spec":{"containers":[{"name":"c","image":"i"}]}}}})");
  EXPECT_EQ(
      join(warnings_on_create(deployments, deployment), "\n"),
      "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: "
      "[must not contain dots]");
}

}  // namespace
}  // namespace berth::apiserver::validation

#include "agent/hooks/node_support.h"

#include <gtest/gtest.h>

namespace berth::agent {
namespace {

Value pod_of(const char* spec) {
  auto value = json::parse(spec);
  EXPECT_TRUE(value.ok()) << value.error().message;
  return Value::object({{"metadata", Value::object({{"name", "web-0"}})}, {"spec", *value}});
}

std::string unsupported(const char* spec) {
  auto failure = unsupported_part(pod_of(spec));
  return failure ? failure->reason + ": " + failure->message : "";
}

TEST(NodeSupport, NamesTheKindOfVolumeThatIsNotHere) {
  EXPECT_EQ(
      unsupported(R"({"volumes":[{"name":"data","nfs":{"server":"x","path":"/"}}]})"),
      "FailedMount: Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process "
      "volumes=[data]: no volume plugin matched: this node does not support volumes of the kind nfs");
  EXPECT_EQ(
      unsupported(R"({"volumes":[{"name":"d","csi":{"driver":"disk.example"}}]})"),
      "FailedMount: MountVolume.SetUp failed for volume \"d\" : kubernetes.io/csi: mounter.SetUpAt failed to get CSI "
      "client: driver name disk.example not found in the list of registered CSI drivers");
  EXPECT_NE(unsupported(R"({"volumes":[{"name":"d","emptyDir":{"medium":"HugePages-2Mi"}}]})"), "");
  EXPECT_NE(unsupported(R"({"volumes":[{"name":"d","projected":{"sources":[{"podCertificate":{}}]}}]})"), "");
  EXPECT_NE(unsupported(R"({"volumes":[{"name":"d","projected":{"sources":[{"clusterTrustBundle":{"name":"x"}}]}}]})"),
            "");
  EXPECT_NE(unsupported(R"({"containers":[{"volumeDevices":[{"name":"d","devicePath":"/dev/x"}]}]})"), "");
  EXPECT_NE(unsupported(R"({"resourceClaims":[{"name":"gpu"}]})"), "");
  EXPECT_EQ(
      unsupported(
          R"({"volumes":[{"name":"a","emptyDir":{}},{"name":"b","hostPath":{"path":"/x"}},{"name":"c","secret":{}},
      {"name":"d","configMap":{}},{"name":"e","downwardAPI":{}},{"name":"f","persistentVolumeClaim":{}},{"name":"g","ephemeral":{}},
      {"name":"h","projected":{"sources":[{"secret":{}},{"configMap":{}},{"downwardAPI":{}},{"serviceAccountToken":{}},
      {"clusterTrustBundle":{"optional":true}}]}}]})"),
      "");
}

TEST(NodeSupport, HandlersOfRuntimeClassesAreKnownOrRefused) {
  EXPECT_FALSE(unsupported_runtime("fast", Value::object({{"handler", "crun"}})));
  auto none = unsupported_runtime("gvisor", Value());
  ASSERT_TRUE(none);
  EXPECT_EQ(none->message, "Failed to create pod sandbox: runtimeclass.node.k8s.io \"gvisor\" not found");
  auto other = unsupported_runtime("kata", Value::object({{"handler", "kata"}}));
  ASSERT_TRUE(other);
  EXPECT_EQ(other->message,
            "Failed to create pod sandbox: failed to get sandbox runtime: no runtime for \"kata\" is configured");
}

}  // namespace
}  // namespace berth::agent

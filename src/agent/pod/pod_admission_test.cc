#include "agent/pod/pod_admission.h"

#include <gtest/gtest.h>

#include "agent/testing/test_values.h"

namespace berth::agent {
namespace {

using testing::parsed;

std::string refusal(const std::string& spec, const SecurityModules& modules = {}, const std::string& metadata = "{}") {
  Value pod = Value::object({{"metadata", parsed(metadata)}, {"spec", parsed(spec)}});
  auto no = reject_pod(pod, {}, modules);
  return no ? no->reason + ": " + no->message : "";
}

TEST(PodAdmission, TakesAnOrdinaryPod) {
  EXPECT_EQ(
      refusal(R"({"os":{"name":"linux"},"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_syncookies","value":"1"}],
      "supplementalGroupsPolicy":"Strict","seccompProfile":{"type":"RuntimeDefault"},"appArmorProfile":{"type":"Unconfined"},"seLinuxOptions":{}},
      "containers":[{"name":"c","securityContext":{"seLinuxOptions":{"type":"spc_t"}}}]})"),
      "");
}

TEST(PodAdmission, RefusesSysctlsOfTheMachine) {
  EXPECT_EQ(refusal(R"({"securityContext":{"sysctls":[{"name":"vm.max_map_count","value":"1"}]}})"),
            "SysctlForbidden: forbidden sysctl: \"vm.max_map_count\" not allowlisted");
}

TEST(PodAdmission, RefusesPodsForOtherSystems) {
  EXPECT_EQ(refusal(R"({"os":{"name":"windows"}})"),
            "PodOSNotSupported: Failed to admit pod as the OS field doesn't match node OS");
  EXPECT_EQ(
      refusal("{}", {}, R"({"labels":{"kubernetes.io/os":"windows"}})"),
      "PodOSSelectorNodeLabelDoesNotMatch: Failed to admit pod as the `kubernetes.io/os` label doesn't match node label");
  EXPECT_NE(refusal(R"({"containers":[{"name":"c","securityContext":{"windowsOptions":{"hostProcess":true}}}]})"), "");
  EXPECT_NE(refusal(R"({"securityContext":{"windowsOptions":{"runAsUserName":"x"}}})"), "");
}

TEST(PodAdmission, RefusesProfilesThatTheKernelDoesNotEnforce) {
  std::string local =
      R"({"containers":[{"name":"c","securityContext":{"appArmorProfile":{"type":"Localhost","localhostProfile":"mine"}}}]})";
  std::string no_apparmor = "AppArmor: Cannot enforce AppArmor: AppArmor is not enabled on the host";
  EXPECT_EQ(refusal(local), no_apparmor);
  EXPECT_EQ(refusal(local, {true, {"mine"}, false}), "");
  EXPECT_EQ(refusal(local, {true, {"other"}, false}),
            "AppArmor: Cannot enforce AppArmor: profile \"mine\" is not loaded");
  EXPECT_EQ(
      refusal(
          R"({"containers":[{"name":"c","securityContext":{"appArmorProfile":{"type":"Localhost","localhostProfile":"main"}}}],
      "initContainers":[{"name":"i","securityContext":{"appArmorProfile":{"type":"Localhost","localhostProfile":"first"}}}]})",
          {true, {}, false}),
      "AppArmor: Cannot enforce AppArmor: profile \"first\" is not loaded")
      << "init containers are looked at first";
  std::string usual =
      R"({"securityContext":{"appArmorProfile":{"type":"RuntimeDefault"}},"initContainers":[{"name":"i"}]})";
  EXPECT_EQ(refusal(usual), no_apparmor);
  EXPECT_EQ(refusal(usual, {true, {kDefaultAppArmorProfile}, false}), "");
  std::string plain = R"({"containers":[{"name":"c"}]})";
  EXPECT_EQ(
      refusal(plain, {}, R"({"annotations":{"container.apparmor.security.beta.kubernetes.io/c":"localhost/mine"}})"),
      no_apparmor);
  EXPECT_EQ(refusal(plain, {}, R"({"annotations":{"container.apparmor.security.beta.kubernetes.io/c":"unconfined"}})"),
            "");
}

TEST(PodAdmission, RefusesLabelsThatTheKernelDoesNotEnforce) {
  std::string labelled = R"({"securityContext":{"seLinuxOptions":{"level":"s0:c1,c2"}},"containers":[{"name":"c"}]})";
  EXPECT_EQ(refusal(labelled), "SELinux: Cannot enforce SELinux: SELinux is not enabled on the host");
  EXPECT_EQ(refusal(labelled, {false, {}, true}), "");
  EXPECT_EQ(
      refusal(
          R"({"securityContext":{"seLinuxOptions":{"type":"x_t"}},"containers":[{"name":"c","securityContext":{"privileged":true}}]})"),
      "");
  EXPECT_EQ(selinux_label(Value::object({{"spec", parsed(labelled)}}), parsed(R"({"name":"c"})")),
            "system_u:system_r:container_t:s0:c1,c2");
}

}  // namespace
}  // namespace berth::agent

#include "apiserver/validation/pod/pod_security.h"

#include <gtest/gtest.h>

namespace berth::apiserver::validation {
namespace {

Value parsed(std::string_view text) { return json::parse(text).value(); }

// What a pod of this spec violates at the level and version, as one text.
std::string violations(std::string_view spec, SecurityLevel level, int minor = SecurityPolicy::kLatest,
                       std::string_view metadata = "{}") {
  return security_violations({level, minor}, parsed(metadata), parsed(spec)).details();
}
std::string baseline(std::string_view spec, int minor = SecurityPolicy::kLatest) {
  return violations(spec, SecurityLevel::kBaseline, minor);
}
std::string restricted(std::string_view spec, int minor = SecurityPolicy::kLatest) {
  return violations(spec, SecurityLevel::kRestricted, minor);
}

constexpr const char* kPlain = R"({"containers":[{"name":"c"}]})";
// Keeps to everything, and says one more thing about its container, or the pod.
std::string careful(std::string_view container = "", std::string_view pod = "") {
  return R"({"securityContext":{"runAsNonRoot":true,"seccompProfile":{"type":"RuntimeDefault"}})" + std::string(pod) +
         R"(,"containers":[{"name":"c","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]})" +
         std::string(container) + "}}]}";
}

TEST(PodSecurity, LevelsOfAPlainAndACarefulPod) {
  EXPECT_EQ(violations(kPlain, SecurityLevel::kPrivileged), "");
  EXPECT_EQ(baseline(kPlain), "");
  EXPECT_EQ(
      restricted(kPlain),
      "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), "
      "unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), "
      "runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true), "
      "seccompProfile (pod or container \"c\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")");
  EXPECT_EQ(restricted(careful()), "");
}

TEST(PodSecurity, EachBaselineCheckSaysWhatItFound) {
  auto with = [](std::string_view context) {
    return R"({"containers":[{"name":"c","securityContext":)" + std::string(context) + "}]}";
  };
  EXPECT_EQ(baseline(R"({"hostNetwork":true,"hostPID":true,"containers":[{"name":"c"}]})"),
            "host namespaces (hostNetwork=true, hostPID=true)");
  EXPECT_EQ(baseline(R"({"volumes":[{"name":"v","hostPath":{"path":"/"}},{"name":"w","emptyDir":{}}]})"),
            "hostPath volumes (volume \"v\")");
  EXPECT_EQ(
      baseline(
          R"({"containers":[{"name":"a","ports":[{"hostPort":80},{"hostPort":443}]},{"name":"b","ports":[{"hostPort":80}]}]})"),
      "hostPort (containers \"a\", \"b\" use hostPorts 443, 80)");
  EXPECT_EQ(baseline(R"({"containers":[{"name":"c","livenessProbe":{"httpGet":{"host":"h","port":1}}}]})"),
            "probe or lifecycle host (container \"c\" uses probe or lifecycle host \"h\")");
  EXPECT_EQ(baseline(with(R"({"privileged":true})")),
            "privileged (container \"c\" must not set securityContext.privileged=true)");
  EXPECT_EQ(baseline(with(R"({"procMount":"Unmasked"})")),
            "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")");
  EXPECT_EQ(
      baseline(with(R"({"capabilities":{"add":["NET_RAW","CHOWN"]}})")),
      "non-default capabilities (container \"c\" must not include \"NET_RAW\" in securityContext.capabilities.add)");
  EXPECT_EQ(baseline(with(R"({"appArmorProfile":{"type":"Unconfined"}})")),
            "forbidden AppArmor profile (container \"c\" must not set AppArmor profile type to \"Unconfined\")");
  EXPECT_EQ(
      baseline(with(R"({"seLinuxOptions":{"type":"t","user":"u"}})")),
      "seLinuxOptions (container \"c\" set forbidden securityContext.seLinuxOptions: type \"t\"; user may not be set)");
  EXPECT_EQ(baseline(with(R"({"seccompProfile":{"type":"Unconfined"}})")),
            "seccompProfile (container \"c\" must not set securityContext.seccompProfile.type to \"Unconfined\")");
  EXPECT_EQ(baseline(with(R"({"windowsOptions":{"hostProcess":true}})")),
            "hostProcess (container \"c\" must not set securityContext.windowsOptions.hostProcess=true)");
  EXPECT_EQ(baseline(R"({"securityContext":{"sysctls":[{"name":"kernel.sem"},{"name":"net.ipv4.tcp_rmem"}]}})"),
            "forbidden sysctls (kernel.sem)");
}

TEST(PodSecurity, EachRestrictedCheckSaysWhatItFound) {
  EXPECT_EQ(restricted(careful(R"(,"runAsUser":0)")), "runAsUser=0 (container \"c\" must not set runAsUser=0)");
  EXPECT_EQ(restricted(careful(R"(,"runAsNonRoot":false)")),
            "runAsNonRoot != true (container \"c\" must not set securityContext.runAsNonRoot=false)");
  EXPECT_EQ(
      restricted(careful(
          "", R"(,"volumes":[{"name":"n","nfs":{}},{"name":"s","secret":{}},{"name":"i","image":{}},{"name":"o"}])")),
      "restricted volume types (volumes \"n\", \"o\" use restricted volume types \"nfs\", \"unknown\")");
  // Root of its own user namespace is no root.
  EXPECT_EQ(restricted(careful(R"(,"runAsUser":0)", R"(,"hostUsers":false)")), "");
  const std::string unmasked = careful(R"(,"procMount":"Unmasked")", R"(,"hostUsers":false)");
  EXPECT_EQ(baseline(unmasked), "");
  EXPECT_EQ(restricted(unmasked), "procMount (container \"c\" must not set securityContext.procMount to \"Unmasked\")");
  EXPECT_EQ(baseline(unmasked, 34), restricted(unmasked)) << "before 1.35 the namespace of users changed nothing";
}

TEST(PodSecurity, OlderVersionsOfTheStandardsAskLess) {
  EXPECT_EQ(restricted(kPlain, 7),
            "runAsNonRoot != true (pod or container \"c\" must set securityContext.runAsNonRoot=true)");
  EXPECT_EQ(baseline(R"({"securityContext":{"sysctls":[{"name":"net.ipv4.tcp_rmem"}]}})", 31),
            "forbidden sysctls (net.ipv4.tcp_rmem)");
  EXPECT_EQ(violations(kPlain, SecurityLevel::kBaseline, 18,
                       R"({"annotations":{"seccomp.security.alpha.kubernetes.io/pod":"unconfined"}})"),
            "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")");
  EXPECT_EQ(baseline(R"({"containers":[{"name":"c","livenessProbe":{"httpGet":{"host":"h","port":1}}}]})", 33), "");
  // A windows pod has no Linux capabilities, as of 1.25.
  EXPECT_EQ(
      restricted(R"({"os":{"name":"windows"},"securityContext":{"runAsNonRoot":true},"containers":[{"name":"c"}]})"),
      "");
}

TEST(PodSecurity, LabelsAreReadAndComplainedAbout) {
  std::vector<Cause> problems;
  SecurityPolicies read = security_policies(
      parsed(
          R"({"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/enforce-version":"v1.24","pod-security.kubernetes.io/warn":"restricted"})"),
      &problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(read.enforce.text() + " " + read.audit.text() + " " + read.warn.text(),
            "baseline:v1.24 privileged:latest restricted:latest");
  read = security_policies(
      parsed(
          R"({"pod-security.kubernetes.io/enforce":"x","pod-security.kubernetes.io/warn":"y","pod-security.kubernetes.io/warn-version":"1.2"})"),
      &problems);
  ASSERT_EQ(problems.size(), 3u);
  EXPECT_EQ(
      problems[0].field + ": " + problems[0].message,
      "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"x\": must be one of privileged, baseline, restricted");
  EXPECT_EQ(problems[2].message, "Invalid value: \"1.2\": must be \"latest\" or \"v1.x\"");
  // What cannot be read is enforced strictly, and warned of not at all.
  EXPECT_EQ(read.enforce.text() + " " + read.warn.text(), "restricted:latest privileged:latest");
}

}  // namespace
}  // namespace berth::apiserver::validation

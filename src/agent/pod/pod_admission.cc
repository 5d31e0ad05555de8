#include "agent/pod/pod_admission.h"

#include "agent/pod/container_lists.h"
#include "agent/runtime/sysctls.h"
#include "base/files.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::string_view kAppArmorAnnotation = "container.apparmor.security.beta.kubernetes.io/";

std::optional<PodRejection> reject_sysctls(const Value& pod, const std::vector<std::string>& allowed) {
  const Value& spec = pod["spec"];
  for (const Value& sysctl : spec["securityContext"]["sysctls"]) {
    Status may =
        check_sysctl(sysctl["name"].as_string(), allowed, spec["hostNetwork"].as_bool(), spec["hostIPC"].as_bool());
    if (!may.ok()) return PodRejection{"SysctlForbidden", "forbidden sysctl: " + may.error().message};
  }
  return std::nullopt;
}

std::optional<PodRejection> reject_system(const Value& pod) {
  const Value& label = pod["metadata"]["labels"]["kubernetes.io/os"];
  if (label.is_string() && label.as_string() != "linux")
    return PodRejection{"PodOSSelectorNodeLabelDoesNotMatch",
                        "Failed to admit pod as the `kubernetes.io/os` label doesn't match node label"};
  const Value& os = pod["spec"]["os"];
  if (os.is_object() && os["name"].as_string() != "linux")
    return PodRejection{"PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"};
  bool windows = pod["spec"]["securityContext"]["windowsOptions"].is_object();
  for (const char* list : kContainerLists) {
    for (const Value& c : pod["spec"][list]) windows = windows || c["securityContext"]["windowsOptions"].is_object();
  }
  // On Linux, kubelet runs a pod with Windows settings as if they were not set.
  if (windows)
    return PodRejection{"PodOSNotSupported",
                        "Failed to admit pod as securityContext.windowsOptions needs a Windows node"};
  return std::nullopt;
}

std::optional<PodRejection> reject_apparmor(const Value& pod, const SecurityModules& modules) {
  auto refused = [](const std::string& why) { return PodRejection{"AppArmor", "Cannot enforce AppArmor: " + why}; };
  for (const char* list : kContainerLists) {
    for (const Value& container : pod["spec"][list]) {
      std::string profile = apparmor_profile(pod, container);
      if (profile.empty() || profile == "unconfined") continue;
      if (!modules.apparmor) return refused("AppArmor is not enabled on the host");
      if (!modules.apparmor_profiles.contains(profile)) return refused("profile " + quoted(profile) + " is not loaded");
    }
  }
  return std::nullopt;
}

std::optional<PodRejection> reject_selinux(const Value& pod, const SecurityModules& modules) {
  if (modules.selinux) return std::nullopt;
  for (const char* list : kContainerLists) {
    for (const Value& container : pod["spec"][list]) {
      // Privileged containers have no label, and the type spc_t asks for less confinement, not for more.
      if (container["securityContext"]["privileged"].as_bool()) continue;
      std::string label = selinux_label(pod, container);
      if (!label.empty() && !label.starts_with("system_u:system_r:spc_t:"))
        return PodRejection{"SELinux", "Cannot enforce SELinux: SELinux is not enabled on the host"};
    }
  }
  return std::nullopt;
}

}  // namespace

SecurityModules read_security_modules() {
  SecurityModules out;
  auto enabled = read_file("/sys/module/apparmor/parameters/enabled");
  out.apparmor = enabled.ok() && enabled->starts_with("Y");
  if (auto profiles = read_file("/sys/kernel/security/apparmor/profiles"); out.apparmor && profiles.ok()) {
    for (std::string_view line : split(*profiles, '\n')) {
      // name (mode)
      auto mode = line.rfind(" (");
      if (mode != std::string_view::npos) out.apparmor_profiles.insert(std::string(line.substr(0, mode)));
    }
  }
  out.selinux = path_exists("/sys/fs/selinux/enforce");
  return out;
}

std::string apparmor_profile(const Value& pod, const Value& container) {
  auto named = [](const Value& profile) -> std::string {
    std::string_view type = profile["type"].as_string();
    if (type == "Unconfined") return "unconfined";
    if (type == "RuntimeDefault") return kDefaultAppArmorProfile;
    return profile["localhostProfile"].str();
  };
  const Value& own = container["securityContext"]["appArmorProfile"];
  if (own.is_object()) return named(own);
  std::string key = std::string(kAppArmorAnnotation) + container["name"].str();
  if (std::string value = pod["metadata"]["annotations"][key].str(); !value.empty()) {
    if (value == "runtime/default") return kDefaultAppArmorProfile;
    return value.starts_with("localhost/") ? value.substr(10) : value;
  }
  const Value& of_pod = pod["spec"]["securityContext"]["appArmorProfile"];
  return of_pod.is_object() ? named(of_pod) : "";
}

std::string selinux_label(const Value& pod, const Value& container) {
  const Value& own = container["securityContext"]["seLinuxOptions"];
  const Value& options = own.is_object() ? own : pod["spec"]["securityContext"]["seLinuxOptions"];
  bool any = false;
  for (const char* part : {"user", "role", "type", "level"}) any = any || !options[part].as_string().empty();
  if (!any) return "";
  auto part = [&](const char* name, const char* otherwise) {
    std::string_view text = options[name].as_string();
    return std::string(text.empty() ? otherwise : text);
  };
  return part("user", "system_u") + ":" + part("role", "system_r") + ":" + part("type", "container_t") + ":" +
         part("level", "s0");
}

std::optional<PodRejection> reject_pod(const Value& pod, const std::vector<std::string>& allowed_unsafe_sysctls,
                                       const SecurityModules& modules,
                                       const std::function<std::optional<PodRejection>(const Value& pod)>& check_fit) {
  if (auto no = reject_sysctls(pod, allowed_unsafe_sysctls)) return no;
  if (auto no = reject_system(pod)) return no;
  if (check_fit) {
    if (auto rejection = check_fit(pod)) return rejection;
  }
  if (auto no = reject_apparmor(pod, modules)) return no;
  return reject_selinux(pod, modules);
}

}  // namespace berth::agent

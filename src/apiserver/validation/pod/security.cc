// Security contexts: what schema/core.v1.checks cannot say of seccomp, AppArmor, sysctls, user namespaces and Windows.
#include <algorithm>

#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/pod/pod_scope.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::size_t kPathBytes = 4095;
constexpr std::size_t kCredentialSpecBytes = 64 * 1024;
constexpr std::size_t kSysctlBytes = 253;
constexpr std::size_t kDomainBytes = 256;
constexpr std::size_t kUserBytes = 104;
constexpr std::string_view kNotOnWindows = "cannot be set for a windows pod";

bool is_lower_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

// Segments of lower case letters, digits, - and _, joined by dots or slashes.
bool is_sysctl_name(std::string_view name) {
  if (name.size() > kSysctlBytes) return false;
  std::size_t start = 0;
  while (true) {
    const std::size_t end = std::min(name.find_first_of("./", start), name.size());
    const std::string_view part = name.substr(start, end - start);
    if (part.empty() || !is_lower_alnum(part.front()) || !is_lower_alnum(part.back())) return false;
    if (!std::all_of(part.begin(), part.end(), [](char c) { return is_lower_alnum(c) || c == '-' || c == '_'; }))
      return false;
    if (end == name.size()) return true;
    start = end + 1;
  }
}

// The namespace that a sysctl belongs to, "net", "ipc" or "".
std::string_view sysctl_namespace(std::string_view name) {
  std::string dotted(name);
  std::replace(dotted.begin(), dotted.end(), '/', '.');
  if (dotted.starts_with("net.")) return "net";
  if (dotted.starts_with("fs.mqueue.") || dotted == "kernel.sem" || dotted.starts_with("kernel.shm") ||
      dotted.starts_with("kernel.msg"))
    return "ipc";
  return {};
}

void check_sysctls(Report& report, const Path& path, const Value& sysctls, const Value& spec) {
  std::size_t index = 0;
  for (const Value& sysctl : sysctls) {
    const Path one = path.at(index), here = one / "name";
    const Value& name = sysctl["name"];
    if (name.as_string().empty()) {
      report.required(here);
    } else if (!is_sysctl_name(name.as_string())) {
      report.invalid(
          here, name,
          "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$");
    } else {
      for (std::size_t i = 0; i < index; ++i) {
        if (sysctls[i]["name"] == name) {
          report.duplicate(here, name);
          break;
        }
      }
    }
    const std::string_view ns = sysctl_namespace(name.as_string());
    if (ns == "net" && spec["hostNetwork"].as_bool())
      report.invalid(here, name, "may not be specified when 'hostNetwork' is true");
    if (ns == "ipc" && spec["hostIPC"].as_bool())
      report.invalid(here, name, "may not be specified when 'hostIPC' is true");
    ++index;
  }
}

// --- Windows

bool is_netbios_domain(std::string_view text) {
  return !text.empty() && text.size() <= 15 && text.front() != '.' &&
         text.find_first_of("\\/:*?\"<>|") == std::string_view::npos;
}

bool is_dns_domain(std::string_view text) {
  for (std::string_view part : split(text, '.')) {
    const std::string label = lower(part);
    if (label.empty() || label.size() > 63 || !is_lower_alnum(label.front()) || !is_lower_alnum(label.back()))
      return false;
    if (!std::all_of(label.begin(), label.end(), [](char c) { return is_lower_alnum(c) || c == '-'; })) return false;
  }
  return true;
}

void check_windows_user(Report& report, const Path& path, const Value& name, std::string_view user) {
  if (user.empty()) {
    report.invalid(path, name, "runAsUserName's User cannot be empty");
  } else if (user.size() > kUserBytes) {
    report.invalid(path, name, "runAsUserName's User length must not be longer than 104 characters");
  }
  if (!user.empty() && user.find_first_not_of(". ") == std::string_view::npos) {
    report.invalid(path, name, "runAsUserName's User cannot contain only periods or spaces");
  }
  if (user.find_first_of("\"/\\:;|=,+*?<>@[]") != std::string_view::npos) {
    report.invalid(path, name, "runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
  }
}

void forbid_each(Report& report, const Path& path, const Value& object, std::initializer_list<const char*> fields,
                 std::string_view detail) {
  for (const char* field : fields) {
    if (!object[field].is_null()) report.forbidden(path / field, detail);
  }
}

void check_linux(Report& report, const Path& path, const Value& spec) {
  auto forbid = [&](const Path& at, const Value& context) {
    forbid_each(report, at, context, {"windowsOptions"}, "windows options cannot be set for a linux pod");
  };
  forbid(path / "securityContext", spec["securityContext"]);
  each_container(spec, path, [&](const Value& container, const Path& here) {
    forbid(here / "securityContext", container["securityContext"]);
  });
}

void check_windows(Report& report, const Path& path, const Value& spec) {
  const Path of_pod = path / "securityContext";
  forbid_each(report, of_pod, spec["securityContext"],
              {"appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy", "runAsUser",
               "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy"},
              kNotOnWindows);
  if (!spec["securityContext"]["sysctls"].empty()) report.forbidden(of_pod / "sysctls", kNotOnWindows);
  forbid_each(report, path, spec, {"hostUsers", "shareProcessNamespace"}, kNotOnWindows);
  for (const char* field : {"hostPID", "hostIPC"}) {
    if (spec[field].as_bool()) report.forbidden(path / field, kNotOnWindows);
  }
  each_container(spec, path, [&](const Value& container, const Path& here) {
    forbid_each(report, here / "securityContext", container["securityContext"],
                {"appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities", "readOnlyRootFilesystem",
                 "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup"},
                kNotOnWindows);
  });
}

// All containers of a pod are processes of the host, or none; and the pod is then on the host's network.
void check_host_process(Report& report, const Path& path, const Value& spec) {
  const Value& of_pod = spec["securityContext"]["windowsOptions"]["hostProcess"];
  int all = 0, of_host = 0;
  each_container(spec, path, [&](const Value& container, const Path& here) {
    const Value& mine = container["securityContext"]["windowsOptions"]["hostProcess"];
    ++all;
    if (!of_pod.is_null() && !mine.is_null() && of_pod.as_bool() != mine.as_bool()) {
      report.invalid(here / "securityContext.windowsOptions.hostProcess", mine,
                     std::string("pod hostProcess value must be identical if both are specified, was ") +
                         (of_pod.as_bool() ? "true" : "false"));
    }
    if (mine.is_null() ? of_pod.as_bool() : mine.as_bool()) ++of_host;
  });
  if (of_host == 0) return;
  if (of_host != all)
    report.invalid(path, "",
                   "If pod contains any hostProcess containers then all containers must be HostProcess containers");
  if (!spec["hostNetwork"].as_bool())
    report.invalid(path / "hostNetwork", false, "hostNetwork must be true if pod contains any hostProcess containers");
}

}  // namespace

void check_seccomp_profile(Report& report, const Path& path, const Value& profile) {
  const Value& file = profile["localhostProfile"];
  const Path here = path / "localhostProfile";
  if (profile["type"].as_string() == "Localhost") {
    if (file.is_null()) {
      report.required(here, "must be set when seccomp type is Localhost");
    } else {
      report.complaints(here, file, is_relative_path(file.as_string()));
    }
  } else if (!file.is_null()) {
    report.invalid_shown(here, shown_as_go(profile, "io.k8s.api.core.v1.SeccompProfile"),
                         "can only be set when seccomp type is Localhost");
  }
}

void check_apparmor_profile(Report& report, const Path& path, const Value& profile) {
  const std::string_view type = profile["type"].as_string();
  const Value& file = profile["localhostProfile"];
  const Path here = path / "localhostProfile";
  if (type == "Localhost") {
    const std::string_view trimmed = trim(file.as_string());
    if (!file.is_null() && trimmed != file.as_string()) {
      report.invalid(here, file, "must not be padded with whitespace");
    } else if (trimmed.empty()) {
      report.required(here, "must be set when AppArmor type is Localhost");
    }
    if (file.as_string().size() > kPathBytes)
      report.add(api::too_long(here.text(), file, static_cast<int>(kPathBytes)));
  } else if ((type == "RuntimeDefault" || type == "Unconfined") && !file.is_null()) {
    report.invalid(here, file, "can only be set when AppArmor type is Localhost");
  }
}

void check_gmsa_credential_spec(Report& report, const Path& path, const Value& text) {
  if (text.is_null()) return;
  if (text.as_string().empty()) report.invalid(path, text, "gmsaCredentialSpec cannot be an empty string");
  if (text.as_string().size() > kCredentialSpecBytes)
    report.invalid(path, text, "gmsaCredentialSpec size must be under 64 KiB");
}

void check_windows_user_name(Report& report, const Path& path, const Value& name) {
  if (name.is_null()) return;
  const std::string_view text = name.as_string();
  if (text.empty()) return report.invalid(path, name, "runAsUserName cannot be an empty string");
  if (std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; })) {
    return report.invalid(path, name, "runAsUserName cannot contain control characters");
  }
  const std::vector<std::string_view> parts = split(text, '\\');
  if (parts.size() > 2) return report.invalid(path, name, "runAsUserName cannot contain more than one backslash");
  if (parts.size() == 2) {
    if (parts[0].size() >= kDomainBytes)
      report.invalid(path, name, "runAsUserName's Domain length must be under 256 characters");
    if (!is_netbios_domain(parts[0]) && !is_dns_domain(parts[0])) {
      report.invalid(path, name, "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
  }
  check_windows_user(report, path, name, parts.back());
}

void check_privilege_escalation(Report& report, const Path& path, const Value& context) {
  if (context["allowPrivilegeEscalation"].as_bool(true)) return;
  auto refuse = [&](std::string_view why) {
    report.invalid_shown(path, shown_as_go(context, "io.k8s.api.core.v1.SecurityContext"), why);
  };
  if (context["privileged"].as_bool())
    refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
  for (const Value& capability : context["capabilities"]["add"]) {
    if (capability.as_string() == "CAP_SYS_ADMIN")
      refuse("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
  }
}

void validate_security_context(Report& report, const Path& path, const Value& context, const PodScope& scope) {
  static const CheckBlock& kContext = checks_of("core.SecurityContext");
  if (!context.is_object()) return;
  run_checks(report, path, kContext, context);
  if (scope.host_users() && context["procMount"].as_string() == "Unmasked") {
    report.invalid(path / "procMount", context["procMount"], "`hostUsers` must be false to use `Unmasked`");
  }
}

void validate_pod_security(Report& report, const Path& path, const PodScope& scope) {
  static const CheckBlock& kContext = checks_of("core.PodSecurityContext");
  const Value &spec = scope.spec(), &context = spec["securityContext"];
  const Path here = path / "securityContext";
  if (context.is_object()) run_checks(report, here, kContext, context);
  if (spec["shareProcessNamespace"].as_bool() && spec["hostPID"].as_bool()) {
    report.invalid(here / "shareProcessNamespace", true, "ShareProcessNamespace and HostPID cannot both be enabled");
  }
  if (!context["sysctls"].empty()) {
    const Path sysctls = here / "sysctls";
    check_sysctls(report, sysctls, context["sysctls"], spec);
  }
  check_host_process(report, path, spec);
  if (!scope.host_users()) {
    constexpr std::string_view kWhy = "when `pod.Spec.HostUsers` is false";
    if (spec["hostNetwork"].as_bool()) report.forbidden(path / "hostNetwork", kWhy);
    if (spec["hostPID"].as_bool()) report.forbidden(path / "HostPID", kWhy);
    if (spec["hostIPC"].as_bool()) report.forbidden(path / "HostIPC", kWhy);
  }
}

void validate_pod_os(Report& report, const Path& path, const Value& spec) {
  const Value& os = spec["os"];
  if (!os.is_object()) return;
  const std::string_view name = os["name"].as_string();
  if (name.empty()) {
    report.required(path / "os.name");
  } else if (name == "linux") {
    check_linux(report, path, spec);
  } else if (name == "windows") {
    check_windows(report, path, spec);
  } else {
    report.not_supported(path / "os", os["name"], {"linux", "windows"});
  }
}

}  // namespace berth::apiserver::validation

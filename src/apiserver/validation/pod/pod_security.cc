// One function a check; the table at the end says from which version of the standards on it holds, and in which level.
// Checks come in upstream's order, because their words are put together into one message.
#include "apiserver/validation/pod/pod_security.h"

#include <algorithm>
#include <set>

#include "api/status.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

struct Pod {
  const Value &metadata, &spec;
  int minor;

  const Value& context() const { return spec["securityContext"]; }
  bool is_windows() const { return spec["os"]["name"].as_string() == "windows"; }
  // Root in a user namespace of its own is an unprivileged user of the host.
  bool has_own_users() const { return minor >= 35 && spec["hostUsers"].is_bool() && !spec["hostUsers"].as_bool(); }

  template <class F>
  void each_container(F visit) const {
    for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
      for (const Value& container : spec[list]) visit(container);
    }
  }
  // The names of those that `is_bad` is true of.
  template <class F>
  std::vector<std::string> containers(F is_bad) const {
    std::vector<std::string> names;
    each_container([&](const Value& container) {
      if (is_bad(container)) names.push_back(container["name"].str());
    });
    return names;
  }
};

using Names = std::vector<std::string>;
using Set = std::set<std::string>;
using Violation = std::pair<std::string, std::string>;  // reason, detail; no reason: fine

std::string counted(const char* one, const char* many, std::size_t count) { return count == 1 ? one : many; }
template <class List>
std::string quoted_list(const List& list) {
  Names out;
  for (const std::string& name : list) out.push_back(quoted(name));
  return join(out, ", ");
}
std::string containers_text(const Names& names) {
  return counted("container", "containers", names.size()) + " " + quoted_list(names);
}
// The part of the pod that violates the check: "pod", "containers "a", "b"", or both.
std::string setters(bool pod, const Names& containers) {
  Names out;
  if (pod) out.emplace_back("pod");
  if (!containers.empty()) out.push_back(containers_text(containers));
  return join(out, " and ");
}

Violation privilege_escalation(const Pod& pod) {
  if (pod.minor >= 25 && pod.is_windows()) return {};
  const Names bad =
      pod.containers([](const Value& c) { return c["securityContext"]["allowPrivilegeEscalation"].as_bool(true); });
  if (bad.empty()) return {};
  return {"allowPrivilegeEscalation != false",
          containers_text(bad) + " must set securityContext.allowPrivilegeEscalation=false"};
}

Violation app_armor(const Pod& pod) {
  constexpr std::string_view kPrefix = "container.apparmor.security.beta.kubernetes.io/";
  Set values;
  auto is_bad = [&](const Value& context) {
    const Value& profile = context["appArmorProfile"];
    const std::string type = profile["type"].str();
    const bool bad = profile.is_object() && type != "RuntimeDefault" && type != "Localhost";
    if (bad) values.insert(type);
    return bad;
  };
  Names who;
  if (is_bad(pod.context())) who.emplace_back("pod");
  if (const Names bad = pod.containers([&](const Value& c) { return is_bad(c["securityContext"]); }); !bad.empty())
    who.push_back(containers_text(bad));
  Names all(values.begin(), values.end()), annotated;
  for (auto [key, value] : pod.metadata["annotations"].entries()) {
    const std::string_view text = value.as_string();
    if (!key.starts_with(kPrefix) || text.empty() || text == "runtime/default" || text.starts_with("localhost/"))
      continue;
    annotated.push_back(std::string(key) + "=" + quoted(text));
  }
  if (!annotated.empty()) who.push_back(counted("annotation", "annotations", annotated.size()));
  std::sort(annotated.begin(), annotated.end());
  all.insert(all.end(), annotated.begin(), annotated.end());
  if (who.empty()) return {};
  return {counted("forbidden AppArmor profile", "forbidden AppArmor profiles", all.size()),
          join(who, " and ") + " must not set AppArmor profile type to " + quoted_list(all)};
}

// Containers that add capabilities outside of `allowed`.
std::string added_capabilities(const Pod& pod, const Set& allowed) {
  Set added;
  const Names bad = pod.containers([&](const Value& c) {
    bool any = false;
    for (const Value& capability : c["securityContext"]["capabilities"]["add"]) {
      if (allowed.contains(capability.str())) continue;
      added.insert(capability.str());
      any = true;
    }
    return any;
  });
  if (bad.empty()) return {};
  return containers_text(bad) + " must not include " + quoted_list(added) + " in securityContext.capabilities.add";
}

Violation default_capabilities(const Pod& pod) {
  static const Set kAllowed = {"AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER",  "FSETID", "KILL",      "MKNOD",
                               "NET_BIND_SERVICE", "SETFCAP", "SETGID",       "SETPCAP", "SETUID", "SYS_CHROOT"};
  std::string detail = added_capabilities(pod, kAllowed);
  if (detail.empty()) return {};
  return {"non-default capabilities", std::move(detail)};
}

Violation no_capabilities(const Pod& pod) {
  if (pod.minor >= 25 && pod.is_windows()) return {};
  const Names keeping = pod.containers([](const Value& c) {
    for (const Value& capability : c["securityContext"]["capabilities"]["drop"]) {
      if (capability.as_string() == "ALL") return false;
    }
    return true;
  });
  Names details;
  if (!keeping.empty())
    details.push_back(containers_text(keeping) + " must set securityContext.capabilities.drop=[\"ALL\"]");
  if (std::string added = added_capabilities(pod, {"NET_BIND_SERVICE"}); !added.empty())
    details.push_back(std::move(added));
  if (details.empty()) return {};
  return {"unrestricted capabilities", join(details, "; ")};
}

Violation host_namespaces(const Pod& pod) {
  Names shared;
  for (const std::string field : {"hostNetwork", "hostPID", "hostIPC"}) {
    if (pod.spec[field].as_bool()) shared.push_back(field + "=true");
  }
  if (shared.empty()) return {};
  return {"host namespaces", join(shared, ", ")};
}

Violation host_paths(const Pod& pod) {
  Names names;
  for (const Value& volume : pod.spec["volumes"]) {
    if (volume["hostPath"].is_object()) names.push_back(volume["name"].str());
  }
  if (names.empty()) return {};
  return {"hostPath volumes", counted("volume", "volumes", names.size()) + " " + quoted_list(names)};
}

Violation host_ports(const Pod& pod) {
  Set ports;
  const Names bad = pod.containers([&](const Value& c) {
    bool any = false;
    for (const Value& port : c["ports"]) {
      if (port["hostPort"].as_int() == 0) continue;
      ports.insert(std::to_string(port["hostPort"].as_int()));
      any = true;
    }
    return any;
  });
  if (bad.empty()) return {};
  return {"hostPort", containers_text(bad) + " " + counted("uses", "use", bad.size()) + " " +
                          counted("hostPort", "hostPorts", ports.size()) + " " +
                          join(Names(ports.begin(), ports.end()), ", ")};
}

Violation probe_hosts(const Pod& pod) {
  Set names, hosts;
  pod.each_container([&](const Value& c) {
    for (const Value* handler : {&c["livenessProbe"], &c["readinessProbe"], &c["startupProbe"],
                                 &c["lifecycle"]["postStart"], &c["lifecycle"]["preStop"]}) {
      for (const char* kind : {"httpGet", "tcpSocket"}) {
        const std::string host = (*handler)[kind]["host"].str();
        if (host.empty()) continue;
        names.insert(c["name"].str());
        hosts.insert(host);
      }
    }
  });
  if (names.empty()) return {};
  return {"probe or lifecycle host",
          containers_text(Names(names.begin(), names.end())) + " " + counted("uses", "use", names.size()) + " " +
              counted("probe or lifecycle host", "probe or lifecycle hosts", hosts.size()) + " " + quoted_list(hosts)};
}

Violation privileged(const Pod& pod) {
  const Names bad = pod.containers([](const Value& c) { return c["securityContext"]["privileged"].as_bool(); });
  if (bad.empty()) return {};
  return {"privileged", containers_text(bad) + " must not set securityContext.privileged=true"};
}

Violation proc_mount(const Pod& pod) {
  Set types;
  const Names bad = pod.containers([&](const Value& c) {
    const Value& type = c["securityContext"]["procMount"];
    if (type.is_null() || type.as_string() == "Default") return false;
    types.insert(type.str());
    return true;
  });
  if (bad.empty()) return {};
  return {"procMount", containers_text(bad) + " must not set securityContext.procMount to " + quoted_list(types)};
}
Violation proc_mount_of_host_users(const Pod& pod) { return pod.has_own_users() ? Violation() : proc_mount(pod); }

Violation restricted_volumes(const Pod& pod) {
  static constexpr const char* kAllowed[] = {"configMap", "csi",   "downwardAPI",           "emptyDir",
                                             "ephemeral", "image", "persistentVolumeClaim", "projected",
                                             "secret"};
  static constexpr const char* kNamed[] = {"hostPath",
                                           "gcePersistentDisk",
                                           "awsElasticBlockStore",
                                           "gitRepo",
                                           "nfs",
                                           "iscsi",
                                           "glusterfs",
                                           "rbd",
                                           "flexVolume",
                                           "cinder",
                                           "cephfs",
                                           "flocker",
                                           "fc",
                                           "azureFile",
                                           "vsphereVolume",
                                           "quobyte",
                                           "azureDisk",
                                           "photonPersistentDisk",
                                           "portworxVolume",
                                           "scaleIO",
                                           "storageos"};
  Names names;
  Set types;
  for (const Value& volume : pod.spec["volumes"]) {
    auto has = [&](const char* source) { return volume[source].is_object(); };
    if (std::any_of(std::begin(kAllowed), std::end(kAllowed), has)) continue;
    const auto* type = std::find_if(std::begin(kNamed), std::end(kNamed), has);
    names.push_back(volume["name"].str());
    types.insert(type == std::end(kNamed) ? "unknown" : *type);
  }
  if (names.empty()) return {};
  return {"restricted volume types", counted("volume", "volumes", names.size()) + " " + quoted_list(names) + " " +
                                         counted("uses", "use", names.size()) + " " +
                                         counted("restricted volume type", "restricted volume types", types.size()) +
                                         " " + quoted_list(types)};
}

Violation non_root(const Pod& pod) {
  if (pod.has_own_users()) return {};
  const Value& of_pod = pod.context()["runAsNonRoot"];
  auto own = [](const Value& c) -> const Value& { return c["securityContext"]["runAsNonRoot"]; };
  const Names refusing = pod.containers([&](const Value& c) { return own(c).is_bool() && !own(c).as_bool(); });
  const bool pod_refuses = of_pod.is_bool() && !of_pod.as_bool();
  if (pod_refuses || !refusing.empty())
    return {"runAsNonRoot != true",
            setters(pod_refuses, refusing) + " must not set securityContext.runAsNonRoot=false"};
  const Names silent = pod.containers([&](const Value& c) { return !own(c).is_bool() && !of_pod.as_bool(); });
  if (silent.empty()) return {};
  return {"runAsNonRoot != true", "pod or " + containers_text(silent) + " must set securityContext.runAsNonRoot=true"};
}

Violation no_root_user(const Pod& pod) {
  if (pod.has_own_users()) return {};
  auto is_root = [](const Value& context) {
    return context["runAsUser"].is_int() && context["runAsUser"].as_int() == 0;
  };
  const Names bad = pod.containers([&](const Value& c) { return is_root(c["securityContext"]); });
  if (!is_root(pod.context()) && bad.empty()) return {};
  return {"runAsUser=0", setters(is_root(pod.context()), bad) + " must not set runAsUser=0"};
}

Violation se_linux(const Pod& pod) {
  Set allowed = {"", "container_t", "container_init_t", "container_kvm_t"};
  if (pod.minor >= 31) allowed.insert("container_engine_t");
  Set types;
  bool user = false, role = false;
  auto is_bad = [&](const Value& context) {
    const Value& options = context["seLinuxOptions"];
    const std::string type = options["type"].str();
    const bool bad_type = !allowed.contains(type), has_user = !options["user"].as_string().empty(),
               has_role = !options["role"].as_string().empty();
    if (bad_type) types.insert(type);
    user = user || has_user;
    role = role || has_role;
    return bad_type || has_user || has_role;
  };
  const bool pod_bad = is_bad(pod.context());
  const Names bad = pod.containers([&](const Value& c) { return is_bad(c["securityContext"]); });
  if (!pod_bad && bad.empty()) return {};
  Names what;
  if (!types.empty()) what.push_back(counted("type", "types", types.size()) + " " + quoted_list(types));
  if (user) what.emplace_back("user may not be set");
  if (role) what.emplace_back("role may not be set");
  return {"seLinuxOptions",
          setters(pod_bad, bad) + " set forbidden securityContext.seLinuxOptions: " + join(what, "; ")};
}

Violation seccomp_annotations(const Pod& pod) {
  const Value& annotations = pod.metadata["annotations"];
  Set forbidden;
  auto check = [&](const std::string& key) {
    const Value* value = annotations.find(key);
    if (value == nullptr) return;
    const std::string_view text = value->as_string();
    if (text != "runtime/default" && text != "docker/default" && !text.starts_with("localhost/"))
      forbidden.insert(key + "=" + quoted(text));
  };
  check("seccomp.security.alpha.kubernetes.io/pod");
  pod.each_container(
      [&](const Value& c) { check("container.seccomp.security.alpha.kubernetes.io/" + c["name"].str()); });
  if (forbidden.empty()) return {};
  return {"seccompProfile", "forbidden " + counted("annotation", "annotations", forbidden.size()) + " " +
                                join(Names(forbidden.begin(), forbidden.end()), ", ")};
}

bool is_confined(const Value& profile) {
  return profile["type"].as_string() == "RuntimeDefault" || profile["type"].as_string() == "Localhost";
}

Violation bad_seccomp(const Pod& pod) {
  Set values;
  auto is_bad = [&](const Value& context) {
    const Value& profile = context["seccompProfile"];
    if (!profile.is_object() || is_confined(profile)) return false;
    values.insert(profile["type"].str());
    return true;
  };
  const bool pod_bad = is_bad(pod.context());
  const Names bad = pod.containers([&](const Value& c) { return is_bad(c["securityContext"]); });
  if (!pod_bad && bad.empty()) return {};
  return {"seccompProfile",
          setters(pod_bad, bad) + " must not set securityContext.seccompProfile.type to " + quoted_list(values)};
}

Violation required_seccomp(const Pod& pod) {
  if (pod.minor >= 25 && pod.is_windows()) return {};
  if (Violation bad = bad_seccomp(pod); !bad.first.empty()) return bad;
  const bool confined = is_confined(pod.context()["seccompProfile"]);
  const Names silent =
      pod.containers([&](const Value& c) { return !confined && !c["securityContext"]["seccompProfile"].is_object(); });
  if (silent.empty()) return {};
  return {"seccompProfile", "pod or " + containers_text(silent) +
                                " must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\""};
}

Violation sysctls(const Pod& pod) {
  static const std::pair<int, const char*> kAllowed[] = {{0, "kernel.shm_rmid_forced"},
                                                         {0, "net.ipv4.ip_local_port_range"},
                                                         {0, "net.ipv4.tcp_syncookies"},
                                                         {0, "net.ipv4.ping_group_range"},
                                                         {0, "net.ipv4.ip_unprivileged_port_start"},
                                                         {27, "net.ipv4.ip_local_reserved_ports"},
                                                         {29, "net.ipv4.tcp_keepalive_time"},
                                                         {29, "net.ipv4.tcp_fin_timeout"},
                                                         {29, "net.ipv4.tcp_keepalive_intvl"},
                                                         {29, "net.ipv4.tcp_keepalive_probes"},
                                                         {32, "net.ipv4.tcp_rmem"},
                                                         {32, "net.ipv4.tcp_wmem"}};
  Names forbidden;
  for (const Value& sysctl : pod.context()["sysctls"]) {
    const std::string_view name = sysctl["name"].as_string();
    const bool safe = std::any_of(std::begin(kAllowed), std::end(kAllowed),
                                  [&](const auto& one) { return pod.minor >= one.first && name == one.second; });
    if (!safe) forbidden.emplace_back(name);
  }
  if (forbidden.empty()) return {};
  return {"forbidden sysctls", join(forbidden, ", ")};
}

Violation host_process(const Pod& pod) {
  auto asks = [](const Value& context) { return context["windowsOptions"]["hostProcess"].as_bool(); };
  const Names bad = pod.containers([&](const Value& c) { return asks(c["securityContext"]); });
  if (!asks(pod.context()) && bad.empty()) return {};
  return {"hostProcess",
          setters(asks(pod.context()), bad) + " must not set securityContext.windowsOptions.hostProcess=true"};
}

// kOverlapping: of the baseline, and covered by a stricter check of the restricted level.
enum class In { kBaseline, kOverlapping, kRestricted };
struct Check {
  In in;
  int since, until;  // minor versions, the second excluded
  Violation (*run)(const Pod&);
};
constexpr int kAlways = SecurityPolicy::kLatest + 1;
constexpr Check kChecks[] = {
    {In::kRestricted, 8, kAlways, privilege_escalation},
    {In::kBaseline, 0, kAlways, app_armor},
    {In::kOverlapping, 0, kAlways, default_capabilities},
    {In::kRestricted, 22, kAlways, no_capabilities},
    {In::kBaseline, 0, kAlways, host_namespaces},
    {In::kOverlapping, 0, kAlways, host_paths},
    {In::kBaseline, 0, kAlways, host_ports},
    {In::kBaseline, 34, kAlways, probe_hosts},
    {In::kBaseline, 0, kAlways, privileged},
    {In::kOverlapping, 0, kAlways, proc_mount_of_host_users},
    {In::kRestricted, 35, kAlways, proc_mount},
    {In::kRestricted, 0, kAlways, restricted_volumes},
    {In::kRestricted, 0, kAlways, non_root},
    {In::kRestricted, 23, kAlways, no_root_user},
    {In::kBaseline, 0, kAlways, se_linux},
    {In::kOverlapping, 0, 19, seccomp_annotations},
    {In::kOverlapping, 19, kAlways, bad_seccomp},
    {In::kRestricted, 19, kAlways, required_seccomp},
    {In::kBaseline, 0, kAlways, sysctls},
    {In::kBaseline, 0, kAlways, host_process},
};

bool holds(const Check& check, const SecurityPolicy& policy) {
  if (policy.minor < check.since || policy.minor >= check.until) return false;
  if (check.in != In::kOverlapping || policy.level == SecurityLevel::kBaseline) return true;
  // In versions before the stricter check, the overlapping one is used.
  return (check.run == default_capabilities && policy.minor < 22) ||
         (check.run == proc_mount_of_host_users && policy.minor < 35) || check.run == seccomp_annotations;
}

constexpr std::string_view kPrefix = "pod-security.kubernetes.io/";

void read_policy(const Value& labels, const std::string& mode, bool fail_open, SecurityPolicy& policy,
                 std::vector<Cause>* problems) {
  auto complain = [&](const std::string& label, const Value& value, const char* text) {
    if (problems) problems->push_back(api::invalid_value("metadata.labels[" + label + "]", value, text));
  };
  const std::string level_label = std::string(kPrefix) + mode, version_label = level_label + "-version";
  if (const Value* level = labels.find(level_label)) {
    const std::string_view text = level->as_string();
    policy.level = text == "privileged" ? SecurityLevel::kPrivileged
                   : text == "baseline" ? SecurityLevel::kBaseline
                                        : SecurityLevel::kRestricted;
    if (text != "privileged" && text != "baseline" && text != "restricted") {
      if (fail_open) policy.level = SecurityLevel::kPrivileged;
      complain(level_label, *level, "must be one of privileged, baseline, restricted");
    }
  }
  if (const Value* version = labels.find(version_label); version != nullptr && version->as_string() != "latest") {
    const std::string_view text = version->as_string(),
                           digits = text.starts_with("v1.") ? text.substr(3) : std::string_view();
    const Result<long> minor = parse_int(digits);
    const bool good = !digits.empty() && digits.find_first_not_of("0123456789") == std::string_view::npos &&
                      (digits.size() == 1 || digits[0] != '0') && minor.ok();
    if (good) {
      policy.minor = static_cast<int>(std::min<long>(*minor, SecurityPolicy::kLatest - 1));
    } else {
      complain(version_label, *version, "must be \"latest\" or \"v1.x\"");
    }
  }
}

}  // namespace

std::string SecurityPolicy::text() const {
  const char* name = level == SecurityLevel::kPrivileged ? "privileged"
                     : level == SecurityLevel::kBaseline ? "baseline"
                                                         : "restricted";
  return std::string(name) + ":" + (minor == kLatest ? "latest" : "v1." + std::to_string(minor));
}

SecurityPolicies security_policies(const Value& labels, std::vector<Cause>* problems) {
  SecurityPolicies out;
  read_policy(labels, "enforce", false, out.enforce, problems);
  read_policy(labels, "audit", true, out.audit, problems);
  read_policy(labels, "warn", true, out.warn, problems);
  return out;
}

std::string SecurityViolations::reasons() const {
  Names out;
  for (const auto& [reason, detail] : found) out.push_back(reason);
  return join(out, ", ");
}
std::string SecurityViolations::details() const {
  Names out;
  for (const auto& [reason, detail] : found) out.push_back(detail.empty() ? reason : reason + " (" + detail + ")");
  return join(out, ", ");
}

SecurityViolations security_violations(const SecurityPolicy& policy, const Value& metadata, const Value& spec) {
  SecurityViolations out;
  if (policy.level == SecurityLevel::kPrivileged) return out;
  const Pod pod{metadata, spec, policy.minor};
  // Those of the baseline come first.
  for (const bool first : {true, false}) {
    for (const Check& check : kChecks) {
      if ((check.in != In::kRestricted) != first || !holds(check, policy)) continue;
      if (check.in == In::kRestricted && policy.level != SecurityLevel::kRestricted) continue;
      if (Violation violation = check.run(pod); !violation.first.empty()) out.found.push_back(std::move(violation));
    }
  }
  return out;
}

}  // namespace berth::apiserver::validation

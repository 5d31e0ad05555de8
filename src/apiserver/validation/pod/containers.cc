// Containers of a pod: init containers, ordinary and ephemeral ones. Formats and closed sets are in
// schema/core.v1.checks.
#include "api/containers.h"

#include <algorithm>
#include <set>
#include <string>

#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/pod/pod_scope.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::size_t kMostRestartRules = 20;
constexpr std::string_view kNotEphemeral = "cannot be set for an Ephemeral Container";
constexpr std::string_view kNotInit = "may not be set for init containers without restartPolicy=Always";

// --- Probes and hooks

void check_probe(Report& report, const Path& path, const Value& probe, bool decides_restart) {
  static const CheckBlock& kProbe = checks_of("core.Probe");
  if (!probe.is_object()) return;
  run_checks(report, path, kProbe, probe);
  if (decides_restart) {
    if (probe["successThreshold"].as_int() != 1) {
      report.invalid(path / "successThreshold", static_cast<long>(probe["successThreshold"].as_int()), "must be 1");
    }
  } else if (const Value& grace = probe["terminationGracePeriodSeconds"]; !grace.is_null()) {
    report.invalid(path / "terminationGracePeriodSeconds", grace, "must not be set for readinessProbes");
  }
}

void check_hook(Report& report, const Path& path, const Value& hook, const Value& grace) {
  static const CheckBlock& kHook = checks_of("core.LifecycleHandler");
  if (!hook.is_object()) return;
  run_checks(report, path, kHook, hook);
  const bool only_sleeps =
      hook["sleep"].is_object() && hook["exec"].is_null() && hook["httpGet"].is_null() && hook["tcpSocket"].is_null();
  if (!only_sleeps || grace.is_null()) return;
  const std::int64_t seconds = hook["sleep"]["seconds"].as_int();
  if (seconds >= 0 && seconds <= grace.as_int()) return;
  report.invalid(
      path / "sleep", static_cast<long>(seconds),
      "must be non-negative and less than terminationGracePeriodSeconds (" + std::to_string(grace.as_int()) + ")");
}

void check_lifecycle(Report& report, const Path& path, const Value& container, const PodScope& scope) {
  const Path lifecycle = path / "lifecycle";
  const Value& grace = scope.spec()["terminationGracePeriodSeconds"];
  check_hook(report, lifecycle / "postStart", container["lifecycle"]["postStart"], grace);
  check_hook(report, lifecycle / "preStop", container["lifecycle"]["preStop"], grace);
  check_probe(report, path / "livenessProbe", container["livenessProbe"], true);
  check_probe(report, path / "readinessProbe", container["readinessProbe"], false);
  check_probe(report, path / "startupProbe", container["startupProbe"], true);
}

// --- Ports

void check_ports(Report& report, const Path& path, const Value& ports) {
  static const CheckBlock& kPort = checks_of("core.ContainerPort");
  std::set<std::string_view> names;
  std::size_t index = 0;
  for (const Value& port : ports) {
    const Path here = path.at(index++);
    if (const std::string_view name = port["name"].as_string(); !name.empty()) {
      const std::vector<std::string> complaints = is_port_name(name);
      report.complaints(here / "name", port["name"], complaints);
      if (complaints.empty() && !names.insert(name).second) report.duplicate(here / "name", port["name"]);
    }
    if (port["containerPort"].as_int() == 0) {
      report.required(here / "containerPort");
    } else {
      report.port(here / "containerPort", port["containerPort"]);
    }
    if (port["hostPort"].as_int() != 0) report.port(here / "hostPort", port["hostPort"]);
    run_checks(report, here, kPort, port);
  }
}

// A port of the host can be used once.
class HostPorts {
 public:
  explicit HostPorts(Report& report) : report_(report) {}
  void add(const Path& ports, const Value& container) {
    std::size_t index = 0;
    for (const Value& port : container["ports"]) {
      const Path here = ports.at(index++);
      if (port["hostPort"].as_int() == 0) continue;
      std::string key =
          port["protocol"].str() + "/" + port["hostIP"].str() + "/" + std::to_string(port["hostPort"].as_int());
      if (taken_.insert(key).second) continue;
      report_.duplicate(here / "hostPort", key);
    }
  }

 private:
  Report& report_;
  std::set<std::string> taken_;
};

// --- Environment

void check_env_source(Report& report, const Path& path, const Value& entry, const PodScope& scope) {
  static const CheckBlock &kConfigMap = checks_of("core.ConfigMapKeySelector"),
                          &kSecret = checks_of("core.SecretKeySelector"), &kFile = checks_of("core.FileKeySelector");
  const Value& from = entry["valueFrom"];
  if (!from.is_object()) return;
  int sources = 0;
  if (const Value& ref = from["fieldRef"]; ref.is_object()) {
    ++sources;
    validate_field_ref(report, path / "fieldRef", ref, FieldRefPlace::kEnvironment);
  }
  if (const Value& ref = from["resourceFieldRef"]; ref.is_object()) {
    ++sources;
    validate_resource_field_ref(report, path / "resourceFieldRef", ref, FieldRefPlace::kEnvironment);
  }
  if (const Value& ref = from["configMapKeyRef"]; ref.is_object()) {
    ++sources;
    run_checks(report, path / "configMapKeyRef", kConfigMap, ref);
  }
  if (const Value& ref = from["secretKeyRef"]; ref.is_object()) {
    ++sources;
    run_checks(report, path / "secretKeyRef", kSecret, ref);
  }
  if (const Value& ref = from["fileKeyRef"]; ref.is_object()) {
    ++sources;
    const Path here = path / "fileKeyRef";
    run_checks(report, here, kFile, ref);
    if (scope.volume(ref["volumeName"].as_string()) == nullptr)
      report.not_found(here / "volumeName", ref["volumeName"].as_string());
  }
  if (sources == 0) {
    report.invalid(
        path, "",
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
  } else if (!entry["value"].as_string().empty()) {
    report.invalid(path, "", "may not be specified when `value` is not empty");
  } else if (sources > 1) {
    report.invalid(path, "", "may not have more than one field specified at a time");
  }
}

void check_env(Report& report, const Path& path, const Value& env, const PodScope& scope) {
  std::size_t index = 0;
  for (const Value& entry : env) {
    const Path here = path.at(index++);
    if (entry["name"].as_string().empty()) {
      report.required(here / "name");
    } else {
      report.complaints(here / "name", entry["name"], is_env_name(entry["name"].as_string()));
    }
    check_env_source(report, here / "valueFrom", entry, scope);
  }
}

void check_env_from(Report& report, const Path& path, const Value& sources) {
  static const CheckBlock& kSource = checks_of("core.EnvFromSource");
  std::size_t index = 0;
  for (const Value& source : sources) {
    run_checks(report, path.at(index++), kSource, source);
    const int count = (source["configMapRef"].is_object() ? 1 : 0) + (source["secretRef"].is_object() ? 1 : 0);
    if (count == 0) report.invalid(path, "", "must specify one of: `configMapRef` or `secretRef`");
    if (count > 1) report.invalid(path, "", "may not have more than one field specified at a time");
  }
}

// --- Mounts and devices

bool has_member(const Value& list, const char* field, std::string_view text) {
  return std::any_of(list.begin(), list.end(), [&](const Value& item) { return item[field].as_string() == text; });
}

void check_mount_modes(Report& report, const Path& path, const Value& mount, const Value& container) {
  const Value &propagation = mount["mountPropagation"], &recursive = mount["recursiveReadOnly"];
  const std::string_view mode = propagation.as_string();
  if (!propagation.is_null()) {
    const Path here = path / "mountPropagation";
    if (mode != "Bidirectional" && mode != "HostToContainer" && mode != "None") {
      report.not_supported(here, propagation, {"Bidirectional", "HostToContainer", "None"});
    }
    if (mode == "Bidirectional" && !container["securityContext"]["privileged"].as_bool()) {
      report.forbidden(here, "Bidirectional mount propagation is available only to privileged containers");
    }
  }
  if (recursive.is_null() || recursive.as_string() == "Disabled") return;
  const Path here = path / "recursiveReadOnly";
  if (recursive.as_string() != "Enabled" && recursive.as_string() != "IfPossible") {
    return report.not_supported(here, recursive, {"Disabled", "Enabled", "IfPossible"});
  }
  if (!mount["readOnly"].as_bool()) report.forbidden(here, "may only be specified when readOnly is true");
  if (!propagation.is_null() && mode != "None")
    report.forbidden(here, "may only be specified when mountPropagation is None or not specified");
}

// Upstream reports paths and modes at the list, without the mount's index.
void check_mounts(Report& report, const Path& path, const Value& container, const PodScope& scope) {
  const Value &mounts = container["volumeMounts"], &devices = container["volumeDevices"];
  std::set<std::string_view> paths;
  std::size_t index = 0;
  for (const Value& mount : mounts) {
    const Path here = path.at(index++);
    const std::string_view name = mount["name"].as_string(), target = mount["mountPath"].as_string();
    if (name.empty()) report.required(here / "name");
    if (scope.volume(name) == nullptr) report.not_found(here / "name", name);
    if (target.empty()) report.required(here / "mountPath");
    if (!paths.insert(target).second) report.invalid(here / "mountPath", target, "must be unique");
    if (has_member(devices, "name", name))
      report.invalid(here / "name", name, "must not already exist in volumeDevices");
    if (has_member(devices, "devicePath", target))
      report.invalid(here / "mountPath", target, "must not already exist as a path in volumeDevices");
    const Value &sub = mount["subPath"], &expression = mount["subPathExpr"];
    if (!sub.as_string().empty()) report.complaints(path / "subPath", sub, is_relative_path(sub.as_string()));
    if (!expression.as_string().empty()) {
      if (!sub.as_string().empty())
        report.invalid(here / "subPathExpr", expression, "subPathExpr and subPath are mutually exclusive");
      report.complaints(path / "subPathExpr", expression, is_relative_path(expression.as_string()));
    }
    check_mount_modes(report, path, mount, container);
  }
}

void check_devices(Report& report, const Path& path, const Value& container, const PodScope& scope) {
  const Value &devices = container["volumeDevices"], &mounts = container["volumeMounts"];
  std::set<std::string_view> names, paths;
  std::size_t index = 0;
  for (const Value& device : devices) {
    const Path here = path.at(index++);
    const std::string_view name = device["name"].as_string(), target = device["devicePath"].as_string();
    const Value* volume = scope.volume(name);
    if (name.empty()) report.required(here / "name");
    if (!name.empty() && !names.insert(name).second) report.invalid(here / "name", name, "must be unique");
    if (volume == nullptr) {
      report.not_found(here / "name", name);
    } else if ((*volume)["persistentVolumeClaim"].is_null() && (*volume)["ephemeral"].is_null()) {
      report.invalid(here / "name", name,
                     "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode");
    }
    if (target.empty()) report.required(here / "devicePath");
    if (paths.contains(target)) report.invalid(here / "devicePath", target, "must be unique");
    if (!has_no_backsteps(target).empty()) {
      report.invalid(here / "devicePath", target, "can not contain backsteps ('..')");
    } else {
      paths.insert(target);
    }
    if (has_member(mounts, "name", name)) report.invalid(here / "name", name, "must not already exist in volumeMounts");
    if (has_member(mounts, "mountPath", target))
      report.invalid(here / "devicePath", target, "must not already exist as a path in volumeMounts");
  }
}

// --- Resizing and restarting

void check_resize_policy(Report& report, const Path& path, const Value& policies, const PodScope& scope) {
  std::set<std::string_view> resources;
  std::size_t index = 0;
  for (const Value& policy : policies) {
    const std::string_view resource = policy["resourceName"].as_string(), restart = policy["restartPolicy"].as_string();
    if (!resources.insert(resource).second) report.duplicate(path.at(index), resource);
    ++index;
    report.one_of(path, policy["resourceName"], {"cpu", "memory"}, true);
    report.one_of(path, policy["restartPolicy"], {"NotRequired", "RestartContainer"}, true);
    if (scope.spec()["restartPolicy"].as_string() == "Never" && restart != "NotRequired") {
      report.invalid(path, restart, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
    }
  }
}

void check_restart_policy(Report& report, const Path& path, const Value& container, bool init) {
  static const CheckBlock& kRule = checks_of("core.ContainerRestartRule");
  const Value &policy = container["restartPolicy"], &rules = container["restartPolicyRules"];
  if (policy.is_null()) {
    if (!rules.empty())
      report.required(path / "restartPolicy", "must specify restartPolicy when restart rules are used");
    if (init) return;
  } else if (policy.as_string() != "Always" && policy.as_string() != "Never" && policy.as_string() != "OnFailure") {
    report.not_supported(path / "restartPolicy", policy, {"Always", "Never", "OnFailure"});
  }
  const Path here = path / "restartPolicyRules";
  if (rules.size() > kMostRestartRules)
    report.add(api::too_many(here.text(), static_cast<int>(rules.size()), static_cast<int>(kMostRestartRules)));
  std::size_t index = 0;
  for (const Value& rule : rules) run_checks(report, here.at(index++), kRule, rule);
}

// --- What all have, and what each role has of its own

void check_image(Report& report, const Path& path, const Value& container, const PodScope& scope) {
  const std::string_view image = container["image"].as_string();
  if (image.empty()) report.required(path / "image");
  // Templates have always been allowed to hold images that are filled in later.
  if (scope.is_pod() && trim(image) != image)
    report.invalid(path / "image", image, "must not have leading or trailing whitespace");
}

void check_common(Report& report, const Path& path, const Value& container, const PodScope& scope) {
  if (container["name"].as_string().empty()) {
    report.required(path / "name");
  } else {
    report.complaints(path / "name", container["name"], is_dns1123_label(container["name"].as_string()));
  }
  check_image(report, path, container, scope);
  report.one_of(path / "terminationMessagePolicy", container["terminationMessagePolicy"],
                {"File", "FallbackToLogsOnError"}, true);
  check_ports(report, path / "ports", container["ports"]);
  check_env(report, path / "env", container["env"], scope);
  check_env_from(report, path / "envFrom", container["envFrom"]);
  check_mounts(report, path / "volumeMounts", container, scope);
  check_devices(report, path / "volumeDevices", container, scope);
  report.one_of(path / "imagePullPolicy", container["imagePullPolicy"], {"Always", "IfNotPresent", "Never"}, true);
  validate_resources(report, path / "resources", container["resources"], ResourcesOf::kContainer, &scope);
  check_resize_policy(report, path / "resizePolicy", container["resizePolicy"], scope);
  validate_security_context(report, path / "securityContext", container["securityContext"], scope);
}

// Fields that an init container may not have unless it is a sidecar.
void check_plain_init(Report& report, const Path& path, const Value& container) {
  for (const char* field : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}) {
    if (container[field].is_object()) report.forbidden(path / field, kNotInit);
  }
  const Path policies = path / "resizePolicy";
  std::size_t index = 0;
  for (const Value& policy : container["resizePolicy"]) {
    const Path here = policies.at(index++);
    if (policy["restartPolicy"].as_string() != "RestartContainer") continue;
    report.invalid(here / "restartPolicy", policy["restartPolicy"],
                   "must not be set to 'RestartContainer' for non-sidecar initContainers");
  }
}

void check_ephemeral(Report& report, const Path& path, const Value& container,
                     const std::set<std::string_view>& targets) {
  if (const std::string_view target = container["targetContainerName"].as_string();
      !target.empty() && !targets.contains(target)) {
    report.not_found(path / "targetContainerName", target);
  }
  for (const char* field : {"ports", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "resizePolicy",
                            "restartPolicy", "restartPolicyRules"}) {
    if (!container[field].is_null()) report.forbidden(path / field, kNotEphemeral);
  }
  if (!container["resources"].empty()) report.forbidden(path / "resources", kNotEphemeral);
  const Path mounts = path / "volumeMounts";
  std::size_t index = 0;
  for (const Value& mount : container["volumeMounts"]) {
    const Path here = mounts.at(index++);
    for (const char* field : {"subPath", "subPathExpr"}) {
      if (!mount[field].as_string().empty()) report.forbidden(here / field, kNotEphemeral);
    }
  }
}

class Names {
 public:
  explicit Names(Report& report) : report_(report) {}
  void add(const Path& path, const Value& container) {
    const std::string_view name = container["name"].as_string();
    if (seen_.insert(name).second) return;
    report_.duplicate(path / "name", name);
  }
  void note(const Value& containers) {
    for (const Value& container : containers) seen_.insert(container["name"].as_string());
  }
  bool has(std::string_view name) const { return seen_.contains(name); }
  const std::set<std::string_view>& all() const { return seen_; }

 private:
  Report& report_;
  std::set<std::string_view> seen_;
};

void check_ordinary_list(Report& report, const Path& path, const Value& containers, const PodScope& scope) {
  if (containers.empty()) return report.required(path);
  Names names(report);
  HostPorts host_ports(report);
  std::size_t index = 0;
  for (const Value& container : containers) {
    const Path here = path.at(index++);
    check_common(report, here, container, scope);
    names.add(here, container);
    check_lifecycle(report, here, container, scope);
    check_restart_policy(report, here, container, false);
    host_ports.add(here / "ports", container);
  }
}

void check_init_list(Report& report, const Path& path, const Value& containers, const PodScope& scope) {
  Names names(report);
  names.note(scope.spec()["containers"]);
  std::size_t index = 0;
  for (const Value& container : containers) {
    const Path here = path.at(index++);
    check_common(report, here, container, scope);
    check_restart_policy(report, here, container, true);
    if (const std::string_view name = container["name"].as_string(); !name.empty() || names.has(name))
      names.add(here, container);
    // They run one after the other: only their own ports can clash. Upstream counts from the first container.
    HostPorts host_ports(report);
    const Path first = path.at(0);
    host_ports.add(first / "ports", container);
    if (api::is_sidecar(container)) {
      check_lifecycle(report, here, container, scope);
    } else {
      check_plain_init(report, here, container);
    }
  }
}

void check_ephemeral_list(Report& report, const Path& path, const Value& containers, const PodScope& scope) {
  if (containers.empty()) return;
  Names names(report), targets(report);
  for (Names* list : {&names, &targets}) {
    list->note(scope.spec()["containers"]);
    list->note(scope.spec()["initContainers"]);
  }
  std::size_t index = 0;
  for (const Value& container : containers) {
    const Path here = path.at(index++);
    check_common(report, here, container, scope);
    if (!scope.is_pod() && trim(container["image"].as_string()) != container["image"].as_string()) {
      report.invalid(here / "image", container["image"], "must not have leading or trailing whitespace");
    }
    names.add(here, container);
    check_ephemeral(report, here, container, targets.all());
  }
}

}  // namespace

void check_http_headers(Report& report, const Path& path, const Value& headers) {
  for (const Value& header : headers)
    report.complaints(path, header["name"].as_string(), is_http_header_name(header["name"].as_string()));
}

void validate_containers(Report& report, const Path& path, const PodScope& scope) {
  check_ordinary_list(report, path / "containers", scope.spec()["containers"], scope);
  check_init_list(report, path / "initContainers", scope.spec()["initContainers"], scope);
  check_ephemeral_list(report, path / "ephemeralContainers", scope.spec()["ephemeralContainers"], scope);
}

}  // namespace berth::apiserver::validation

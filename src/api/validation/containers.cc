// Containers of a pod: ordinary ones, init containers and sidecars.
#include <set>

#include "api/validation/pod_scope.h"
#include "api/validation/report.h"
#include "api/validation/validation.h"
#include "base/quantity.h"
#include "base/text.h"

namespace berth::validation {
namespace {

constexpr std::int64_t kMaxId = 2147483647;

// What the containers of one pod share: names that must differ, volumes that can be mounted.
struct Shared {
  std::set<std::string> volumes, devices, names;
  bool host_network = false;
};

void validate_http_get(Report& report, const std::string& path, const Value& get) {
  if (get["path"].as_string().empty()) report.required(path + ".path");
  report.port_or_name(path + ".port", get["port"]);
  report.one_of(path + ".scheme", get["scheme"], {"HTTP", "HTTPS"});
  std::size_t index = 0;
  for (const Value& header : get["httpHeaders"]) {
    std::string name = header["name"].str();
    bool good = !name.empty();
    for (char c : name) good = good && (std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_');
    if (!good) {
      report.invalid(at(path + ".httpHeaders", index) + ".name", name,
                     "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')");
    }
    ++index;
  }
}

void validate_handler(Report& report, const std::string& path, const Value& handler, bool lifecycle) {
  int count = 0;
  auto one_more = [&](const char* field) {
    if (++count > 1) report.forbidden(path + "." + field, "may not specify more than 1 handler type");
    return count == 1;
  };
  if (handler["exec"].is_object() && one_more("exec") && handler["exec"]["command"].empty()) report.required(path + ".exec.command");
  if (handler["httpGet"].is_object() && one_more("httpGet")) validate_http_get(report, path + ".httpGet", handler["httpGet"]);
  if (handler["tcpSocket"].is_object() && one_more("tcpSocket")) report.port_or_name(path + ".tcpSocket.port", handler["tcpSocket"]["port"]);
  if (!lifecycle && handler["grpc"].is_object() && one_more("grpc")) report.port(path + ".grpc.port", handler["grpc"]["port"]);
  if (lifecycle && handler["sleep"].is_object() && one_more("sleep")) report.not_negative(path + ".sleep.seconds", handler["sleep"]["seconds"]);
  if (count == 0) report.required(path, "must specify a handler type");
}

void validate_probe(Report& report, const std::string& path, const Value& probe, bool single_success) {
  if (!probe.is_object()) return;
  validate_handler(report, path, probe, false);
  for (const char* field : {"initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"}) {
    report.not_negative(path + "." + field, probe[field]);
  }
  const Value& grace = probe["terminationGracePeriodSeconds"];
  if (grace.is_int() && grace.as_int() <= 0) report.invalid(path + ".terminationGracePeriodSeconds", grace, "must be greater than 0");
  if (!single_success) {
    if (grace.is_int()) report.invalid(path + ".terminationGracePeriodSeconds", grace, "must not be set for readinessProbes");
    return;
  }
  if (probe["successThreshold"].as_int(1) != 1) report.invalid(path + ".successThreshold", probe["successThreshold"], "must be 1");
}

void validate_lifecycle(Report& report, const std::string& path, const Value& lifecycle) {
  for (const char* hook : {"postStart", "preStop"}) {
    if (lifecycle[hook].is_object()) validate_handler(report, path + "." + hook, lifecycle[hook], true);
  }
}

void validate_ports(Report& report, const std::string& path, const Value& ports, const Shared& scope) {
  std::set<std::string> names;
  std::size_t index = 0;
  for (const Value& port : ports) {
    std::string here = at(path, index++);
    if (std::string name = port["name"].str(); !name.empty()) {
      report.complaints(here + ".name", name, is_port_name(name));
      if (!names.insert(name).second) report.duplicate(here + ".name", name);
    }
    if (port["containerPort"].as_int() == 0) {
      report.required(here + ".containerPort");
    } else {
      report.port(here + ".containerPort", port["containerPort"]);
    }
    if (port["hostPort"].as_int() != 0) {
      report.port(here + ".hostPort", port["hostPort"]);
      if (scope.host_network && port["hostPort"] != port["containerPort"]) {
        report.invalid(here + ".hostPort", port["hostPort"], "must match `containerPort` when `hostNetwork` is true");
      }
    }
    report.one_of(here + ".protocol", port["protocol"], {"SCTP", "TCP", "UDP"}, true);
  }
}

bool supported_field_path(std::string_view path) {
  for (const char* plain : {"metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
                            "status.hostIPs", "status.podIP", "status.podIPs"}) {
    if (path == plain) return true;
  }
  for (std::string_view mapped : {"metadata.labels['", "metadata.annotations['"}) {
    if (path.starts_with(mapped) && path.ends_with("']")) return true;
  }
  return false;
}

void validate_env_source(Report& report, const std::string& path, const Value& entry) {
  const Value& from = entry["valueFrom"];
  if (!from.is_object()) return;
  int sources = 0;
  if (const Value& ref = from["fieldRef"]; ref.is_object()) {
    ++sources;
    std::string here = path + ".fieldRef";
    if (ref["apiVersion"].as_string().empty()) report.required(here + ".apiVersion");
    if (ref["fieldPath"].as_string().empty()) {
      report.required(here + ".fieldPath");
    } else if (!supported_field_path(ref["fieldPath"].as_string())) {
      report.invalid(here + ".fieldPath", ref["fieldPath"], "error converting fieldPath: field label not supported: " + ref["fieldPath"].str());
    }
  }
  if (const Value& ref = from["resourceFieldRef"]; ref.is_object()) {
    ++sources;
    if (ref["resource"].as_string().empty()) report.required(path + ".resourceFieldRef.resource");
  }
  for (const char* kind : {"configMapKeyRef", "secretKeyRef"}) {
    const Value& ref = from[kind];
    if (!ref.is_object()) continue;
    ++sources;
    std::string here = path + "." + kind;
    if (ref["name"].as_string().empty()) report.required(here + ".name");
    if (ref["key"].as_string().empty()) {
      report.required(here + ".key");
    } else {
      report.complaints(here + ".key", ref["key"], is_config_key(ref["key"].as_string()));
    }
  }
  if (const Value& ref = from["fileKeyRef"]; ref.is_object()) ++sources;
  if (sources == 0) {
    report.invalid(path, "", "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`");
  } else if (!entry["value"].as_string().empty()) {
    report.invalid(path, "", "may not be specified when `value` is not empty");
  } else if (sources > 1) {
    report.invalid(path, "", "may not have more than one field specified at a time");
  }
}

void validate_env(Report& report, const std::string& path, const Value& container) {
  std::size_t index = 0;
  for (const Value& entry : container["env"]) {
    std::string here = at(path + ".env", index++);
    std::string_view name = entry["name"].as_string();
    if (name.empty()) {
      report.required(here + ".name");
    } else {
      report.complaints(here + ".name", name, is_env_name(name));
    }
    validate_env_source(report, here + ".valueFrom", entry);
  }
  index = 0;
  for (const Value& source : container["envFrom"]) {
    std::string here = at(path + ".envFrom", index++);
    if (!source["prefix"].as_string().empty()) report.complaints(here + ".prefix", source["prefix"], is_env_name(source["prefix"].as_string()));
    int count = 0;
    for (const char* kind : {"configMapRef", "secretRef"}) {
      if (!source[kind].is_object()) continue;
      ++count;
      if (source[kind]["name"].as_string().empty()) report.required(here + "." + kind + ".name");
    }
    if (count == 0) report.invalid(here, "", "must specify one of: `configMapRef` or `secretRef`");
    if (count > 1) report.invalid(here, "", "may not have more than one field specified at a time");
  }
}

void validate_mounts(Report& report, const std::string& path, const Value& mounts, const Shared& scope) {
  std::set<std::string> paths;
  std::size_t index = 0;
  for (const Value& mount : mounts) {
    std::string here = at(path, index++);
    std::string name = mount["name"].str();
    if (name.empty()) {
      report.required(here + ".name");
    } else if (!scope.volumes.contains(name)) {
      report.not_found(here + ".name", name);
    }
    if (mount["mountPath"].as_string().empty()) {
      report.required(here + ".mountPath");
    } else if (!paths.insert(mount["mountPath"].str()).second) {
      report.invalid(here + ".mountPath", mount["mountPath"], "must be unique");
    }
    if (!mount["subPath"].as_string().empty()) report.local_path(here + ".subPath", mount["subPath"]);
    if (!mount["subPathExpr"].as_string().empty()) {
      if (!mount["subPath"].as_string().empty()) report.invalid(here + ".subPathExpr", mount["subPathExpr"], "subPathExpr and subPath are mutually exclusive");
      report.local_path(here + ".subPathExpr", mount["subPathExpr"]);
    }
    report.one_of(here + ".mountPropagation", mount["mountPropagation"], {"Bidirectional", "HostToContainer", "None"});
  }
}

void validate_security_context(Report& report, const std::string& path, const Value& context) {
  if (!context.is_object()) return;
  report.in_range(path + ".runAsUser", context["runAsUser"], 0, kMaxId);
  report.in_range(path + ".runAsGroup", context["runAsGroup"], 0, kMaxId);
  report.one_of(path + ".procMount", context["procMount"], {"Default", "Unmasked"});
  if (context["allowPrivilegeEscalation"].is_bool() && !context["allowPrivilegeEscalation"].as_bool()) {
    if (context["privileged"].as_bool()) {
      report.invalid_shown(path, json::encode(context), "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
    }
    for (const Value& capability : context["capabilities"]["add"]) {
      if (capability.as_string() == "CAP_SYS_ADMIN") {
        report.invalid_shown(path, json::encode(context), "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
      }
    }
  }
}

void validate_container(Report& report, const std::string& path, const Value& container, const Shared& scope, bool init) {
  bool sidecar = init && container["restartPolicy"].as_string() == "Always";
  std::string_view image = container["image"].as_string();
  if (container["name"].as_string().empty()) {
    report.required(path + ".name");
  } else {
    report.complaints(path + ".name", container["name"], is_dns1123_label(container["name"].as_string()));
  }
  if (image.empty()) {
    report.required(path + ".image");
  } else if (trim(image) != image) {
    report.invalid(path + ".image", image, "must not have leading or trailing whitespace");
  }
  std::string_view policy = container["terminationMessagePolicy"].as_string();
  if (policy.empty()) {
    report.required(path + ".terminationMessagePolicy");
  } else if (policy != "File" && policy != "FallbackToLogsOnError") {
    report.invalid(path + ".terminationMessagePolicy", policy, "must be 'File' or 'FallbackToLogsOnError'");
  }
  validate_ports(report, path + ".ports", container["ports"], scope);
  validate_env(report, path, container);
  validate_mounts(report, path + ".volumeMounts", container["volumeMounts"], scope);
  std::size_t device_index = 0;
  for (const Value& device : container["volumeDevices"]) {
    std::string here = at(path + ".volumeDevices", device_index++);
    if (!scope.volumes.contains(device["name"].str())) report.not_found(here + ".name", device["name"]);
    if (device["devicePath"].as_string().empty()) report.required(here + ".devicePath");
  }
  report.one_of(path + ".imagePullPolicy", container["imagePullPolicy"], {"Always", "IfNotPresent", "Never"}, true);
  validate_resources(report, path + ".resources", container["resources"]);
  validate_security_context(report, path + ".securityContext", container["securityContext"]);
  if (!init || sidecar) {
    validate_lifecycle(report, path + ".lifecycle", container["lifecycle"]);
    validate_probe(report, path + ".livenessProbe", container["livenessProbe"], true);
    validate_probe(report, path + ".readinessProbe", container["readinessProbe"], false);
    validate_probe(report, path + ".startupProbe", container["startupProbe"], true);
  } else {
    for (const char* field : {"lifecycle", "livenessProbe", "readinessProbe", "startupProbe"}) {
      if (container[field].is_object()) report.forbidden(path + "." + field, "may not be set for init containers without restartPolicy=Always");
    }
  }
  if (init) report.one_of(path + ".restartPolicy", container["restartPolicy"], {"Always", "Never", "OnFailure"});
}

}  // namespace

void validate_resources(Report& report, const Path& place, const Value& resources) {
  const std::string path = place.text();
  const Value& limits = resources["limits"];
  for (const char* list : {"limits", "requests"}) {
    for (auto [name, amount] : resources[list].entries()) {
      std::string here = at_key(path + "." + list, name);
      bool standard = name == "cpu" || name == "memory" || name == "ephemeral-storage" || name.starts_with("hugepages-") || name == "storage";
      if (!standard && name.find('/') == std::string_view::npos) {
        report.invalid(here, name, "must be a standard resource type or fully qualified");
        report.invalid(here, name, "must be a standard resource for containers");
      }
      report.quantity_not_negative(here, amount);
      if (std::string_view(list) != "requests" || !limits.contains(name)) continue;
      Result<Quantity> request = Quantity::parse(amount.as_string()), limit = Quantity::parse(limits[name].as_string());
      if (request.ok() && limit.ok() && *request > *limit) {
        report.invalid(here, amount, "must be less than or equal to " + std::string(name) + " limit of " + limit->to_string());
      }
    }
  }
}

void validate_containers(Report& report, const Path& place, const Value& spec, const PodScope& pod) {
  const std::string path = place.text();
  Shared scope;
  (void)pod;
  scope.host_network = spec["hostNetwork"].as_bool();
  for (const Value& volume : spec["volumes"]) scope.volumes.insert(volume["name"].str());
  if (spec["containers"].empty()) report.required(path + ".containers");
  std::size_t index = 0;
  for (const Value& container : spec["containers"]) {
    std::string here = at(path + ".containers", index++);
    validate_container(report, here, container, scope, false);
    if (!container["name"].as_string().empty() && !scope.names.insert(container["name"].str()).second) {
      report.duplicate(here + ".name", container["name"]);
    }
  }
  index = 0;
  for (const Value& container : spec["initContainers"]) {
    std::string here = at(path + ".initContainers", index++);
    validate_container(report, here, container, scope, true);
    if (!container["name"].as_string().empty() && !scope.names.insert(container["name"].str()).second) {
      report.duplicate(here + ".name", container["name"]);
    }
  }
}

}  // namespace berth::validation

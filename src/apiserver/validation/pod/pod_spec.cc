// A pod's spec as a whole, and templates of pods. What each part must be is in schema/core.v1.checks and the files of
// the parts.
#include <algorithm>
#include <set>

#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/pod/pod_scope.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::size_t kMostNameservers = 3, kMostSearches = 32, kSearchBytes = 2048, kHostNameBytes = 64;
constexpr std::string_view kSeccompPod = "seccomp.security.alpha.kubernetes.io/pod";
constexpr std::string_view kSeccompContainer = "container.seccomp.security.alpha.kubernetes.io/";
constexpr std::string_view kAppArmorContainer = "container.apparmor.security.beta.kubernetes.io/";
constexpr std::string_view kMirror = "kubernetes.io/config.mirror";
constexpr std::string_view kDeletionCost = "controller.kubernetes.io/pod-deletion-cost";
constexpr std::string_view kLocalhost = "localhost/";

void check_dns(Report& report, const Path& path, const Value& spec) {
  static const CheckBlock& kConfig = checks_of("core.PodDNSConfig");
  const Value& config = spec["dnsConfig"];
  if (spec["dnsPolicy"].as_string() == "None") {
    if (!config.is_object()) return report.required(path, "must provide `dnsConfig` when `dnsPolicy` is None");
    if (config["nameservers"].empty()) {
      return report.required(path / "nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None");
    }
  }
  if (config.is_object()) run_checks(report, path, kConfig, config);
}

// On the host's network a container's port is the host's port; in a template the host's may still be absent.
void check_host_network(Report& report, const Path& path, const PodScope& scope) {
  if (!scope.spec()["hostNetwork"].as_bool()) return;
  const Path containers = path / "containers";
  std::size_t index = 0;
  for (const Value& container : scope.spec()["containers"]) {
    const Path one = containers.at(index++), ports = one / "ports";
    std::size_t port_index = 0;
    for (const Value& port : container["ports"]) {
      const Path here = ports.at(port_index++);
      const std::int64_t host = port["hostPort"].as_int(), own = port["containerPort"].as_int();
      if ((!scope.is_pod() && host == 0) || host == own) continue;
      report.invalid(here / "hostPort", static_cast<long>(host),
                     "must match `containerPort` when `hostNetwork` is true");
    }
  }
}

void check_scheduling_gates(Report& report, const Path& path, const Value& gates) {
  std::set<std::string_view> seen;
  std::size_t index = 0;
  for (const Value& gate : gates) {
    const Path here = path.at(index++);
    const std::string_view name = gate["name"].as_string();
    report.complaints(here, name, is_qualified_name(name));
    if (!seen.insert(name).second) report.duplicate(here, name);
  }
}

void check_resource_claims(Report& report, const Path& path, const Value& claims) {
  static const CheckBlock& kClaim = checks_of("core.PodResourceClaim");
  std::set<std::string_view> seen;
  std::size_t index = 0;
  for (const Value& claim : claims) {
    const Path here = path.at(index++);
    const std::string_view name = claim["name"].as_string();
    if (name.empty()) {
      report.required(here / "name");
    } else if (!seen.insert(name).second) {
      report.duplicate(here / "name", name);
    } else {
      report.complaints(here / "name", name, is_dns1123_label(name));
    }
    run_checks(report, here, kClaim, claim);
  }
}

void check_host_name_override(Report& report, const Path& path, const Value& spec) {
  const Value& name = spec["hostnameOverride"];
  if (name.is_null()) return;
  if (spec["setHostnameAsFQDN"].as_bool())
    report.forbidden(path, "may not be specified when setHostnameAsFQDN is true");
  if (spec["hostNetwork"].as_bool()) report.forbidden(path, "may not be specified when hostNetwork is true");
  if (name.as_string().size() > kHostNameBytes)
    report.add(api::too_long(path.text(), name, static_cast<int>(kHostNameBytes)));
  report.complaints(path, name, is_dns1123_subdomain(name.as_string()));
}

// --- Annotations that stand for fields

void check_seccomp_text(Report& report, const Path& path, const Value& profile) {
  const std::string_view text = profile.as_string();
  if (text == "runtime/default" || text == "docker/default" || text == "unconfined") return;
  if (text.starts_with(kLocalhost)) {
    const std::string_view file = text.substr(kLocalhost.size());
    return report.complaints(path, file, is_relative_path(file));
  }
  report.invalid(path, profile, "must be a valid seccomp profile");
}

bool has_container(const Value& spec, std::string_view name) {
  bool found = false;
  each_container(spec, Path(),
                 [&](const Value& container, const Path&) { found = found || container["name"].as_string() == name; });
  return found;
}

bool is_small_int(std::string_view text) {
  const Result<long> number = parse_int(text);
  if (!number.ok() || *number < INT32_MIN || *number > INT32_MAX) return false;
  // "+1", "01" and "-0" are refused, so that equal costs are written alike.
  return text[0] != '+' && (text == "0" || (text[0] != '0' && !(text[0] == '-' && text[1] == '0')));
}

void check_pod_annotations(Report& report, const Path& path, const Value& annotations, const Value& spec) {
  if (annotations.empty()) return;
  for (json::Entry entry : annotations.entries()) {
    const Path by_key = path.key(entry.key);
    if (entry.key == kMirror && spec["nodeName"].as_string().empty()) {
      report.invalid(by_key, entry.value, "must set spec.nodeName if mirror pod annotation is set");
    } else if (entry.key == kDeletionCost && !is_small_int(entry.value.as_string())) {
      report.invalid(by_key, entry.value, "must be a 32bit integer");
    } else if (entry.key == kSeccompPod || entry.key.starts_with(kSeccompContainer)) {
      check_seccomp_text(report, path / entry.key, entry.value);
    } else if (entry.key.starts_with(kAppArmorContainer)) {
      const std::string_view container = entry.key.substr(kAppArmorContainer.size()), profile = entry.value.as_string();
      if (!has_container(spec, container)) report.invalid(by_key, container, "container not found");
      if (!profile.empty() && profile != "runtime/default" && profile != "unconfined" &&
          !profile.starts_with(kLocalhost)) {
        report.invalid(by_key, entry.value, "invalid AppArmor profile name: " + quoted(profile));
      }
    }
  }
}

// A profile that is given twice, as an annotation and as a field, is the same twice.
void check_same_profile(Report& report, const Path& path, std::string_view annotation, const Value& field,
                        std::string_view what) {
  const std::string_view type = field["type"].as_string();
  bool same = true;
  if (type == "Unconfined") same = annotation == "unconfined";
  if (type == "RuntimeDefault")
    same = annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default");
  if (type == "Localhost") same = annotation.starts_with(kLocalhost);
  if (!same) return report.forbidden(path / "type", std::string(what) + " type in annotation and field must match");
  if (type == "Localhost" && annotation.substr(kLocalhost.size()) != field["localhostProfile"].as_string()) {
    report.forbidden(path / "localhostProfile", std::string(what) + " profile in annotation and field must match");
  }
}

void check_profiles_agree(Report& report, const Path& path, const Value& annotations, const Value& spec) {
  if (annotations.empty()) return;
  const Value& of_pod = spec["securityContext"];
  if (of_pod["seccompProfile"].is_object() && annotations.contains(kSeccompPod)) {
    check_same_profile(report, path / "securityContext.seccompProfile", annotations[kSeccompPod].as_string(),
                       of_pod["seccompProfile"], "seccomp");
  }
  each_container(spec, path, [&](const Value& container, const Path& here) {
    const std::string_view name = container["name"].as_string();
    const Value& own = container["securityContext"];
    if (const Value* text = annotations.find(std::string(kSeccompContainer) + std::string(name));
        text != nullptr && own["seccompProfile"].is_object()) {
      check_same_profile(report, here / "securityContext.seccompProfile", text->as_string(), own["seccompProfile"],
                         "seccomp");
    }
    if (spec["os"]["name"].as_string() == "windows") return;
    const Value& profile = own["appArmorProfile"].is_object() ? own["appArmorProfile"] : of_pod["appArmorProfile"];
    if (const Value* text = annotations.find(std::string(kAppArmorContainer) + std::string(name));
        text != nullptr && profile.is_object()) {
      check_same_profile(report, here / "securityContext.appArmorProfile", text->as_string(), profile, "apparmor");
    }
  });
}

}  // namespace

void check_dns_lists(Report& report, const Path& path, const Value& config) {
  const Value &servers = config["nameservers"], &searches = config["searches"];
  if (servers.size() > kMostNameservers)
    report.invalid(path / "nameservers", servers, "must not have more than 3 nameservers");
  const Path here = path / "searches";
  if (searches.size() > kMostSearches) report.invalid(here, searches, "must not have more than 32 search paths");
  std::size_t bytes = searches.empty() ? 0 : searches.size() - 1;
  for (const Value& search : searches) bytes += search.as_string().size();
  if (bytes > kSearchBytes)
    report.invalid(here, searches, "must not have more than 2048 characters (including spaces) in the search list");
  std::size_t index = 0;
  for (const Value& search : searches) {
    std::string_view text = search.as_string();
    const Path one = here.at(index++);
    if (text == ".") continue;
    if (text.ends_with('.')) text.remove_suffix(1);
    report.complaints(one, text, is_dns1123_subdomain_with_underscore(text));
  }
}

void check_dns_options(Report& report, const Path& path, const Value& options) {
  std::size_t index = 0;
  for (const Value& option : options) {
    const Path here = path.at(index++);
    if (option["name"].as_string().empty()) report.required(here, "must not be empty");
  }
}

void check_pod_resource_claim(Report& report, const Path& path, const Value& claim) {
  const bool by_name = !claim["resourceClaimName"].is_null(),
             by_template = !claim["resourceClaimTemplateName"].is_null();
  auto refuse = [&](std::string_view why) {
    report.invalid_shown(path, shown_as_go(claim, "io.k8s.api.core.v1.PodResourceClaim"), why);
  };
  if (by_name && by_template)
    refuse("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
  if (!by_name && !by_template) refuse("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
}

void check_preemption_policy(Report& report, const Path& path, const Value& policy) {
  report.one_of(path, policy, {"PreemptLowerPriority", "Never"}, !policy.is_null());
}

void validate_pod_spec(Report& report, const Path& path, const Value& spec, const Value* metadata) {
  static const CheckBlock& kSpec = checks_of("core.PodSpec");
  PodScope scope(spec, metadata);
  run_checks(report, path, kSpec, spec);
  validate_volumes(report, path / "volumes", spec["volumes"], scope);
  check_resource_claims(report, path / "resourceClaims", spec["resourceClaims"]);
  validate_containers(report, path, scope);
  validate_pod_resources(report, path / "resources", scope);
  check_host_network(report, path, scope);
  validate_pod_security(report, path, scope);
  validate_affinity(report, path / "affinity", spec["affinity"]);
  check_dns(report, path / "dnsConfig", spec);
  check_scheduling_gates(report, path / "schedulingGates", spec["schedulingGates"]);
  validate_topology_spread(report, path / "topologySpreadConstraints", spec["topologySpreadConstraints"]);
  check_host_name_override(report, path / "hostnameOverride", spec);
  validate_tolerations(report, path / "tolerations", spec["tolerations"]);
  validate_pod_os(report, path, spec);
}

void validate_pod(Report& report, const Value& pod) {
  const Value &metadata = pod["metadata"], &spec = pod["spec"];
  check_pod_annotations(report, "metadata.annotations", metadata["annotations"], spec);
  validate_pod_spec(report, "spec", spec, &metadata);
}

void validate_pod_create(Report& report, const Value& pod) {
  validate_pod(report, pod);
  const Value& spec = pod["spec"];
  if (!spec["ephemeralContainers"].empty()) report.forbidden("spec.ephemeralContainers", "cannot be set on create");
  if (!spec["nodeName"].as_string().empty() && !spec["schedulingGates"].empty()) {
    report.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared");
  }
  check_profiles_agree(report, "spec", pod["metadata"]["annotations"], spec);
}

void validate_pod_template(Report& report, const Path& path, const Value& pod_template) {
  const Value& metadata = pod_template["metadata"];
  const Path annotations = path / "annotations";
  validate_labels(report, path / "labels", metadata["labels"]);
  validate_annotations(report, annotations, metadata["annotations"]);
  check_pod_annotations(report, annotations, metadata["annotations"], pod_template["spec"]);
  const Path spec = path / "spec";
  validate_pod_spec(report, spec, pod_template["spec"], nullptr);
  check_profiles_agree(report, spec, metadata["annotations"], pod_template["spec"]);
  if (!pod_template["spec"]["ephemeralContainers"].empty()) {
    report.forbidden(spec / "ephemeralContainers", "ephemeral containers not allowed in pod template");
  }
}

}  // namespace berth::apiserver::validation

#include "api/validation/pod_scope.h"
#include "api/validation/report.h"
#include "api/validation/validation.h"
#include "base/text.h"

namespace berth::validation {
namespace {

constexpr std::int64_t kMaxId = 2147483647;

void validate_dns(Report& report, const std::string& path, const Value& spec) {
  report.one_of(path + ".dnsPolicy", spec["dnsPolicy"], {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"}, true);
  const Value& config = spec["dnsConfig"];
  bool none = spec["dnsPolicy"].as_string() == "None";
  if (none && !config.is_object()) report.required(path + ".dnsConfig", "must provide `dnsConfig` when `dnsPolicy` is None");
  if (!config.is_object()) return;
  std::string here = path + ".dnsConfig";
  if (none && config["nameservers"].empty()) report.required(here + ".nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None");
  if (config["nameservers"].size() > 3) report.invalid_shown(here + ".nameservers", json::encode(config["nameservers"]), "must not have more than 3 nameservers");
  std::size_t index = 0;
  for (const Value& server : config["nameservers"]) report.ip(at(here + ".nameservers", index++), server);
  if (config["searches"].size() > 32) report.invalid_shown(here + ".searches", json::encode(config["searches"]), "must not have more than 32 search paths");
  index = 0;
  for (const Value& search : config["searches"]) {
    std::string_view text = search.as_string();
    if (text.ends_with(".") && text.size() > 1) text.remove_suffix(1);
    std::string here_search = at(here + ".searches", index++);
    if (text != ".") report.complaints(here_search, search, is_dns1123_subdomain(text));
  }
  index = 0;
  for (const Value& option : config["options"]) {
    std::string here_option = at(here + ".options", index++);
    if (option["name"].as_string().empty()) report.required(here_option, "must not be empty");
  }
}

void validate_pod_security_context(Report& report, const std::string& path, const Value& context) {
  if (!context.is_object()) return;
  for (const char* field : {"runAsUser", "runAsGroup", "fsGroup"}) report.in_range(path + "." + field, context[field], 0, kMaxId);
  std::size_t index = 0;
  for (const Value& group : context["supplementalGroups"]) report.in_range(at(path + ".supplementalGroups", index++), group, 0, kMaxId);
  report.one_of(path + ".fsGroupChangePolicy", context["fsGroupChangePolicy"], {"Always", "OnRootMismatch"});
  report.one_of(path + ".supplementalGroupsPolicy", context["supplementalGroupsPolicy"], {"Merge", "Strict"});
}

void validate_host_aliases(Report& report, const std::string& path, const Value& aliases) {
  std::size_t index = 0;
  for (const Value& alias : aliases) {
    std::string here = at(path, index++);
    report.ip(here + ".ip", alias["ip"]);
    for (const Value& name : alias["hostnames"]) report.complaints(here + ".hostnames", name, is_dns1123_subdomain(name.as_string()));
  }
}

}  // namespace

void validate_pod_spec(Report& report, const Path& place, const Value& spec, const Value* metadata) {
  PodScope scope(spec, metadata);
  const std::string path = place.text();
  validate_volumes(report, place / "volumes", spec["volumes"], scope);
  validate_containers(report, place, spec, scope);
  report.one_of(path + ".restartPolicy", spec["restartPolicy"], {"Always", "OnFailure", "Never"}, true);
  validate_dns(report, path, spec);
  validate_labels(report, path + ".nodeSelector", spec["nodeSelector"]);
  validate_pod_security_context(report, path + ".securityContext", spec["securityContext"]);
  std::size_t index = 0;
  for (const Value& secret : spec["imagePullSecrets"]) {
    if (secret["name"].as_string().empty()) report.required(at(path + ".imagePullSecrets", index) + ".name");
    ++index;
  }
  validate_affinity(report, path + ".affinity", spec["affinity"]);
  index = 0;
  for (const Value& gate : spec["readinessGates"]) {
    report.complaints(at(path + ".readinessGates", index++) + ".conditionType", gate["conditionType"], is_qualified_name(gate["conditionType"].as_string()));
  }
  index = 0;
  for (const Value& gate : spec["schedulingGates"]) {
    report.complaints(at(path + ".schedulingGates", index++), gate["name"], is_qualified_name(gate["name"].as_string()));
  }
  validate_topology_spread(report, path + ".topologySpreadConstraints", spec["topologySpreadConstraints"]);
  auto named = [&](const char* field, std::vector<std::string> (*check)(std::string_view)) {
    if (!spec[field].as_string().empty()) report.complaints(path + "." + field, spec[field], check(spec[field].as_string()));
  };
  named("serviceAccountName", is_dns1123_subdomain);
  named("nodeName", is_dns1123_subdomain);
  report.in_range(path + ".activeDeadlineSeconds", spec["activeDeadlineSeconds"], 1, kMaxId);
  named("hostname", is_dns1123_label);
  named("subdomain", is_dns1123_label);
  validate_tolerations(report, path + ".tolerations", spec["tolerations"]);
  validate_host_aliases(report, path + ".hostAliases", spec["hostAliases"]);
  named("priorityClassName", is_dns1123_subdomain);
  named("runtimeClassName", is_dns1123_subdomain);
  report.one_of(path + ".preemptionPolicy", spec["preemptionPolicy"], {"Never", "PreemptLowerPriority"});
  if (spec["resources"].is_object()) validate_resources(report, path + ".resources", spec["resources"]);
}

void validate_pod_template(Report& report, const Path& place, const Value& pod_template) {
  const std::string path = place.text();
  validate_labels(report, path + ".metadata.labels", pod_template["metadata"]["labels"]);
  validate_annotations(report, path + ".metadata.annotations", pod_template["metadata"]["annotations"]);
  validate_pod_spec(report, place / "spec", pod_template["spec"], nullptr);
  if (!pod_template["spec"]["ephemeralContainers"].empty()) {
    report.forbidden(path + ".spec.ephemeralContainers", "ephemeral containers not allowed in pod template");
  }
}

// Of a pod's spec only images, a shorter deadline, more tolerations and a shorter grace period may change.
void validate_pod_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  Value old_spec = before["spec"], new_spec = after["spec"];
  if (old_spec == new_spec) return;
  auto same_images = [&](const char* list) {
    if (old_spec[list].size() != new_spec[list].size()) return false;
    for (std::size_t i = 0; i < new_spec[list].size(); ++i) new_spec.mut(list).mut(i).set("image", old_spec[list][i]["image"]);
    return true;
  };
  if (!same_images("containers")) return report.forbidden("spec.containers", "pod updates may not add or remove containers");
  if (old_spec["initContainers"].size() != new_spec["initContainers"].size()) {
    return report.forbidden("spec.initContainers", "pod updates may not add or remove containers");
  }
  if (!new_spec["initContainers"].empty()) same_images("initContainers");
  const Value& old_deadline = old_spec["activeDeadlineSeconds"];
  const Value new_deadline = new_spec["activeDeadlineSeconds"];
  if (new_deadline.is_int()) {
    if (old_deadline.is_int() && old_deadline.as_int() < new_deadline.as_int()) {
      return report.invalid("spec.activeDeadlineSeconds", new_deadline, "must be less than or equal to previous value");
    }
  } else if (old_deadline.is_int()) {
    return report.invalid("spec.activeDeadlineSeconds", Value(), "must not update from a positive integer to nil value");
  }
  auto adopt = [&](const char* field) {
    if (old_spec.contains(field)) {
      new_spec.set(field, old_spec[field]);
    } else {
      new_spec.erase(field);
    }
  };
  adopt("activeDeadlineSeconds");
  for (const Value& toleration : old_spec["tolerations"]) {
    bool kept = false;
    for (const Value& other : new_spec["tolerations"]) kept = kept || other == toleration;
    if (!kept) return report.forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds");
  }
  adopt("tolerations");
  if (new_spec["terminationGracePeriodSeconds"].as_int() == 1 && old_spec["terminationGracePeriodSeconds"].as_int() < 0) adopt("terminationGracePeriodSeconds");
  // Gates may be taken away, never added.
  if (new_spec["schedulingGates"].size() < old_spec["schedulingGates"].size()) adopt("schedulingGates");
  if (old_spec != new_spec) {
    report.forbidden("spec",
                     "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
                     "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
                     "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)");
  }
}

}  // namespace berth::validation

// Updates of pods through subresources: ephemeral containers are only added, a resize changes cpu and memory.
#include <algorithm>

#include "api/containers.h"
#include "api/qos.h"
#include "api/resource_list.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr const char* kMirror = "kubernetes.io/config.mirror";
constexpr const char* kOnlyCpuAndMemory = "only cpu and memory resources are mutable";

// Whether both are the same amounts, in whatever notation.
bool same_amounts(const Value& a, const Value& b) { return api::resource_list(a) == api::resource_list(b); }

bool any_removed(const Value& before, const Value& after) {
  for (json::Entry old : before.entries()) {
    if (!after.contains(old.key)) return true;
  }
  return false;
}

// The spec without the fields that a resize may change.
Value without_cpu_and_memory(const Value& list) {
  Value out = list.is_object() ? list : Value::object();
  for (const char* name : {"cpu", "memory"}) {
    if (out.contains(name)) out.erase(name);
  }
  return out;
}

bool same_but_cpu_and_memory(const Value& before, const Value& after) {
  for (const char* which : {"requests", "limits"}) {
    if (!same_amounts(without_cpu_and_memory(before[which]), without_cpu_and_memory(after[which]))) return false;
  }
  return before["claims"] == after["claims"] || (before["claims"].empty() && after["claims"].empty());
}

Value without_resources(Value container) {
  if (container.contains("resources")) container.erase("resources");
  return container;
}

bool same_but_resized(const Value& before, const Value& after) {
  return same_but_cpu_and_memory(before["resources"], after["resources"]) &&
         without_resources(before) == without_resources(after);
}

bool states_resources(const Value& spec) {
  return !spec["resources"]["requests"].empty() || !spec["resources"]["limits"].empty();
}

// Agents that can resize set status.containerStatuses[].resources of running containers.
bool node_can_resize(const Value& pod) {
  for (const Value& status : pod["status"]["containerStatuses"]) {
    if (status["state"]["running"].is_object()) return status["resources"].is_object();
  }
  return true;
}

// Of the pod as a whole.
void check_own_resources(Report& report, const Value& before, const Value& after) {
  if (!states_resources(before) && !states_resources(after)) return;
  const Value &old = before["resources"], &fresh = after["resources"];
  if (old.is_object() && !fresh.is_object())
    return report.forbidden("spec.resources", "pod-level resources cannot be removed");
  if (any_removed(old["requests"], fresh["requests"]))
    report.forbidden("spec.resources.requests", "pod-level resource requests cannot be removed");
  if (any_removed(old["limits"], fresh["limits"]))
    report.forbidden("spec.resources.limits", "pod-level resource limits cannot be removed");
  if (!same_but_cpu_and_memory(old, fresh))
    report.forbidden("spec", "only cpu and memory resources are mutable at pod-level");
}

// Whether they are the same containers in the same order.
bool check_order(Report& report, const Value& before, const Value& after) {
  const std::size_t found = report.size();
  for (const char* list : {"containers", "initContainers"}) {
    const Value &old = before[list], &fresh = after[list];
    const std::string path = std::string("spec.") + list;
    if (old.size() != fresh.size()) {
      report.forbidden(path, std::string(list) + " may not be added or removed on resize");
      continue;
    }
    for (std::size_t i = 0; i < old.size(); ++i) {
      if (old[i]["name"] != fresh[i]["name"])
        report.forbidden(at(path, i) + ".name", std::string(list) + " may not be renamed or reordered on resize");
    }
  }
  return report.size() == found;
}

void check_removals(Report& report, const Value& before, const Value& after) {
  for (const char* list : {"initContainers", "containers"}) {
    for (std::size_t i = 0; i < before[list].size(); ++i) {
      const Value &old = before[list][i]["resources"], &fresh = after[list][i]["resources"];
      const std::string path = at(std::string("spec.") + list, i) + ".resources";
      if (any_removed(old["requests"], fresh["requests"]))
        report.forbidden(path + ".requests", "resource requests cannot be removed");
      if (any_removed(old["limits"], fresh["limits"]))
        report.forbidden(path + ".limits", "resource limits cannot be removed");
    }
  }
}

void check_init_containers(Report& report, const Value& before, const Value& after) {
  for (std::size_t i = 0; i < before.size(); ++i) {
    const Value &old = before[i], &fresh = after[i];
    const std::string path = at("spec.initContainers", i);
    if (!same_but_resized(old, fresh))
      report.forbidden(path, "only cpu and memory resources for init or sidecar containers are mutable");
    if (api::is_sidecar(fresh) || old == fresh) continue;
    const Value& policies = fresh["resizePolicy"];
    const bool restarts = std::any_of(policies.begin(), policies.end(), [](const Value& one) {
      return one["restartPolicy"].as_string() == "RestartContainer";
    });
    if (restarts)
      report.forbidden(path, "non-sidecar init containers with a resize policy of RestartContainer cannot be resized");
  }
}

bool is_static(const Value& pod) { return pod["metadata"]["annotations"].contains(kMirror); }

}  // namespace

void validate_ephemeral_update(Report& report, const Value& before, const Value& after) {
  if (is_static(before)) return report.forbidden("", "static pods do not support ephemeral containers");
  validate_pod(report, after);
  const Value& fresh = after["spec"]["ephemeralContainers"];
  for (const Value& old : before["spec"]["ephemeralContainers"]) {
    const std::string name = old["name"].str();
    auto same = std::find_if(fresh.begin(), fresh.end(), [&](const Value& one) { return one["name"] == old["name"]; });
    if (same == fresh.end()) {
      report.forbidden("spec.ephemeralContainers",
                       "existing ephemeral containers " + quoted(name) + " may not be removed\n");
    } else if (*same != old) {
      report.forbidden("spec.ephemeralContainers", "existing ephemeral containers " + quoted(name) +
                                                       " may not be changed\n" +
                                                       go_diff(old, *same, "io.k8s.api.core.v1.EphemeralContainer"));
    }
  }
}

void validate_resize(Report& report, const Value& before, const Value& after) {
  if (is_static(before)) return report.forbidden("", "static pods cannot be resized");
  if (before["spec"]["os"]["name"].as_string() == "windows")
    return report.forbidden("", "windows pods cannot be resized");
  validate_pod(report, after);
  const std::string qos = before["status"]["qosClass"].str(api::qos_class(before));
  if (qos != api::qos_class(after)) report.invalid("spec", qos, "Pod QOS Class may not change as a result of resizing");
  if (!node_can_resize(before)) report.forbidden("spec", "Pod running on node without support for resize");
  const Value &old = before["spec"], &fresh = after["spec"];
  check_own_resources(report, old, fresh);
  if (!before["status"]["nodeAllocatableResourceClaimStatuses"].empty()) {
    report.forbidden("spec", "pods with node allocatable resource claims cannot be resized");
  }
  if (!check_order(report, old, fresh)) return;
  check_removals(report, old, fresh);
  for (std::size_t i = 0; i < old["containers"].size(); ++i) {
    if (!same_but_resized(old["containers"][i], fresh["containers"][i])) report.forbidden("spec", kOnlyCpuAndMemory);
  }
  check_init_containers(report, old["initContainers"], fresh["initContainers"]);
}

}  // namespace berth::apiserver::validation

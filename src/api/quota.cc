#include "api/quota.h"

#include <algorithm>
#include <set>

#include "api/resource_names.h"
#include "base/text.h"

namespace berth::api::quota {
namespace {

constexpr std::string_view kClassSuffix = ".storageclass.storage.k8s.io/";
constexpr std::string_view kRequests = "requests.";

bool is_core(const Resource& resource, std::string_view name) {
  return resource.group.empty() && resource.resource == name;
}
bool is_pods(const Resource& resource) { return is_core(resource, "pods"); }
bool is_claims(const Resource& resource) { return is_core(resource, "persistentvolumeclaims"); }
bool is_services(const Resource& resource) { return is_core(resource, "services"); }

// Kinds that a quota may also name without "count/".
bool has_plain_name(const Resource& resource) {
  if (!resource.group.empty()) return false;
  for (std::string_view name : {"configmaps", "resourcequotas", "replicationcontrollers", "secrets"}) {
    if (resource.resource == name) return true;
  }
  return false;
}

// --- Names of resources

bool is_extended(std::string_view name) { return !is_native_resource(name) && !name.starts_with(kRequests); }

bool is_pod_resource(const std::string& name) {
  static const std::set<std::string, std::less<>> kNames = {"count/pods",
                                                            "cpu",
                                                            "memory",
                                                            "ephemeral-storage",
                                                            "requests.cpu",
                                                            "requests.memory",
                                                            "requests.ephemeral-storage",
                                                            "limits.cpu",
                                                            "limits.memory",
                                                            "limits.ephemeral-storage",
                                                            "pods"};
  return kNames.contains(name) || is_huge_pages(name) || name.starts_with("requests.hugepages-") ||
         (!is_native_resource(name) && name.starts_with(kRequests));
}
bool is_claim_resource(const std::string& name) {
  if (name == "count/persistentvolumeclaims" || name == "persistentvolumeclaims" || name == "requests.storage")
    return true;
  return name.ends_with(std::string(kClassSuffix) + "requests.storage") ||
         name.ends_with(std::string(kClassSuffix) + "persistentvolumeclaims");
}
bool is_service_resource(const std::string& name) {
  return name == "count/services" || name == "services" || name == "services.nodeports" ||
         name == "services.loadbalancers";
}

// --- Pods

Time stamp_of(const Value& text) {
  Result<Time> time = parse_time(text.as_string());
  return time.ok() ? *time : Time();
}

bool has_ended(const Value& pod) {
  std::string_view phase = pod["status"]["phase"].as_string();
  return phase == "Failed" || phase == "Succeeded";
}

// A pod that has outlived its grace period (its node may be lost) must not keep new pods out.
std::optional<Time> overdue_at(const Value& pod) {
  const Value& metadata = pod["metadata"];
  if (metadata["deletionTimestamp"].is_null() || metadata["deletionGracePeriodSeconds"].is_null()) return std::nullopt;
  return stamp_of(metadata["deletionTimestamp"]) +
         std::chrono::seconds(metadata["deletionGracePeriodSeconds"].as_int());
}

bool is_charged(const Value& pod, Time now) {
  if (has_ended(pod)) return false;
  std::optional<Time> overdue = overdue_at(pod);
  return !overdue || now <= *overdue;
}

// Requests and limits under the names that quotas know them by.
ResourceList compute_names(const ResourceList& requests, const ResourceList& limits) {
  ResourceList out;
  for (const auto& [name, amount] : requests) {
    const bool plain = name == "cpu" || name == "memory" || name == "ephemeral-storage" || is_huge_pages(name);
    if (plain) out[name] = amount;
    if (plain || is_extended(name)) out[std::string(kRequests) + name] = amount;
  }
  for (const char* name : {"cpu", "memory", "ephemeral-storage"}) {
    if (auto at = limits.find(name); at != limits.end()) out[std::string("limits.") + name] = at->second;
  }
  return out;
}

bool is_best_effort(const Value& pod) {
  auto any = [](const Value& resources) {
    for (const char* which : {"requests", "limits"}) {
      const ResourceList list = resource_list(resources[which]);
      for (const char* name : {"cpu", "memory"}) {
        if (auto at = list.find(name); at != list.end() && at->second.sign() > 0) return true;
      }
    }
    return false;
  };
  if (any(pod["spec"]["resources"])) return false;
  for (const char* list : {"containers", "initContainers"}) {
    for (const Value& container : pod["spec"][list]) {
      if (any(container["resources"])) return false;
    }
  }
  return true;
}

bool crosses_namespaces(const Value& pod) {
  auto crosses = [](const Value& term) { return !term["namespaces"].empty() || term["namespaceSelector"].is_object(); };
  for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
    const Value& affinity = pod["spec"]["affinity"][kind];
    for (const Value& term : affinity["requiredDuringSchedulingIgnoredDuringExecution"]) {
      if (crosses(term)) return true;
    }
    for (const Value& weighted : affinity["preferredDuringSchedulingIgnoredDuringExecution"]) {
      if (crosses(weighted["podAffinityTerm"])) return true;
    }
  }
  return false;
}

// --- Claims

std::string class_of(const Value& claim) {
  std::string_view annotated = annotation_of(claim, "volume.beta.kubernetes.io/storage-class");
  return annotated.empty() ? claim["spec"]["storageClassName"].str() : std::string(annotated);
}

ResourceList claim_usage(const Value& claim) {
  ResourceList out;
  const Quantity one = Quantity::of(1);
  const std::string prefix = class_of(claim).empty() ? "" : class_of(claim) + std::string(kClassSuffix);
  out["persistentvolumeclaims"] = one;
  if (!prefix.empty()) out[prefix + "persistentvolumeclaims"] = one;
  ResourceList sizes = resource_list(claim["spec"]["resources"]["requests"]);
  raise(sizes, resource_list(claim["status"]["allocatedResources"]));
  if (auto size = sizes.find("storage"); size != sizes.end()) {
    out["requests.storage"] = size->second;
    if (!prefix.empty()) out[prefix + "requests.storage"] = size->second;
  }
  return out;
}

std::vector<std::string> attributes_classes(const Value& claim) {
  std::vector<std::string> out;
  const Value &spec = claim["spec"], &status = claim["status"];
  for (const Value* name : {&spec["volumeAttributesClassName"], &status["currentVolumeAttributesClassName"],
                            &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"]}) {
    if (!name->as_string().empty()) out.push_back(name->str());
  }
  return out;
}

// --- Services

ResourceList service_usage(const Value& service) {
  ResourceList out;
  const Value& spec = service["spec"];
  const std::string_view type = spec["type"].as_string();
  std::int64_t node_ports = 0;
  if (type == "NodePort" || (type == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"].as_bool(true))) {
    node_ports = static_cast<std::int64_t>(spec["ports"].size());
  } else if (type == "LoadBalancer") {
    for (const Value& port : spec["ports"]) node_ports += port["nodePort"].as_int() != 0 ? 1 : 0;
  }
  out["services"] = Quantity::of(1);
  out["services.nodeports"] = Quantity::of(node_ports);
  out["services.loadbalancers"] = Quantity::of(type == "LoadBalancer" ? 1 : 0);
  return out;
}

// --- Scopes

struct Requirement {
  std::string scope, op;
  std::vector<std::string> values;
};

std::vector<Requirement> scopes_of(const Value& quota) {
  std::vector<Requirement> out;
  for (const Value& scope : quota["spec"]["scopes"]) out.push_back({scope.str(), "Exists", {}});
  for (const Value& expression : quota["spec"]["scopeSelector"]["matchExpressions"]) {
    Requirement requirement{expression["scopeName"].str(), expression["operator"].str(), {}};
    for (const Value& value : expression["values"]) requirement.values.push_back(value.str());
    out.push_back(std::move(requirement));
  }
  return out;
}

// `present`: what the object has of the thing the scope names; for In and NotIn any of them counts.
bool holds(const Requirement& requirement, const std::vector<std::string>& present) {
  const bool among = std::any_of(present.begin(), present.end(), [&](const std::string& one) {
    return std::find(requirement.values.begin(), requirement.values.end(), one) != requirement.values.end();
  });
  if (requirement.op == "Exists") return !present.empty();
  if (requirement.op == "DoesNotExist") return present.empty();
  return requirement.op == "In" ? among : requirement.op == "NotIn" && !among;
}

bool pod_is_in(const Requirement& requirement, const Value& pod) {
  const bool deadline = pod["spec"]["activeDeadlineSeconds"].as_int(-1) >= 0;
  if (requirement.scope == "Terminating") return deadline;
  if (requirement.scope == "NotTerminating") return !deadline;
  if (requirement.scope == "BestEffort") return is_best_effort(pod);
  if (requirement.scope == "NotBestEffort") return !is_best_effort(pod);
  if (requirement.scope == "CrossNamespacePodAffinity") return crosses_namespaces(pod);
  if (requirement.scope != "PriorityClass") return false;
  std::string name = pod["spec"]["priorityClassName"].str();
  return holds(requirement, name.empty() ? std::vector<std::string>{} : std::vector<std::string>{name});
}

bool is_in(const Requirement& requirement, const Resource& resource, const Value& object) {
  if (is_pods(resource)) return pod_is_in(requirement, object);
  return is_claims(resource) && requirement.scope == "VolumeAttributesClass" &&
         holds(requirement, attributes_classes(object));
}

}  // namespace

std::string count_name(const Resource& resource) { return "count/" + resource.group_resource(); }

bool charges_updates(const Resource& resource) { return is_services(resource) || is_claims(resource); }

ResourceList usage(const Resource& resource, const Value& object, Time now) {
  ResourceList out;
  if (is_pods(resource)) {
    if (is_charged(object, now)) {
      out = compute_names(pod_resources(object, "requests"), pod_resources(object, "limits"));
      out["pods"] = Quantity::of(1);
    }
  } else if (is_claims(resource)) {
    out = claim_usage(object);
  } else if (is_services(resource)) {
    out = service_usage(object);
  } else if (has_plain_name(resource)) {
    out[resource.resource] = Quantity::of(1);
  }
  out[count_name(resource)] = Quantity::of(1);
  return out;
}

std::vector<std::string> matching_resources(const Resource& resource, const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const std::string& name : names) {
    const bool matches = is_pods(resource)     ? is_pod_resource(name)
                         : is_claims(resource) ? is_claim_resource(name)
                         : is_services(resource)
                             ? is_service_resource(name)
                             : name == count_name(resource) || (has_plain_name(resource) && name == resource.resource);
    if (matches) out.push_back(name);
  }
  return out;
}

bool matches_scopes(const Value& quota, const Resource& resource, const Value& object) {
  for (const Requirement& requirement : scopes_of(quota)) {
    if (!is_in(requirement, resource, object)) return false;
  }
  return true;
}

std::string missing_constraints(const std::vector<std::string>& resources, const Resource& resource,
                                const Value& object) {
  if (!is_pods(resource) || has_pod_level_resources(object)) return "";
  static const std::set<std::string, std::less<>> kDemanded = {
      "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"};
  std::map<std::string, std::set<std::string>> missing;
  for (const char* list : {"containers", "initContainers"}) {
    for (const Value& container : object["spec"][list]) {
      const Value& own = container["resources"];
      const ResourceList has = compute_names(resource_list(own["requests"]), resource_list(own["limits"]));
      for (const std::string& name : resources) {
        if (kDemanded.contains(name) && !has.contains(name)) missing[name].insert(container["name"].str());
      }
    }
  }
  std::vector<std::string> parts;
  for (const auto& [name, containers] : missing)
    parts.push_back(name + " for: " + join({containers.begin(), containers.end()}, ","));
  return parts.empty() ? "" : "must specify " + join(parts, "; ");
}

std::optional<Time> end_of_charge(const Resource& resource, const Value& object, Time now) {
  if (!is_pods(resource) || !is_charged(object, now)) return std::nullopt;
  return overdue_at(object);
}

std::vector<std::string> names_of(const Value& map) {
  std::vector<std::string> out;
  for (auto [name, value] : map.entries()) out.emplace_back(name);
  return out;
}

ResourceList masked(const ResourceList& list, const std::vector<std::string>& names) {
  ResourceList out;
  for (const std::string& name : names) {
    if (auto at = list.find(name); at != list.end()) out.insert(*at);
  }
  return out;
}

std::string text_of(const ResourceList& list) {
  std::vector<std::string> parts;
  for (const auto& [name, amount] : list) parts.push_back(name + "=" + amount.to_string());
  return join(parts, ",");
}

}  // namespace berth::api::quota

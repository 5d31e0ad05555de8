#include "scheduler/snapshot/pod_info.h"

#include <algorithm>

#include "api/containers.h"
#include "api/object.h"
#include "api/quantity.h"

namespace berth::scheduler {
namespace {

// Assumed requests of a container without requests; for scores only, never for filters.
constexpr std::int64_t kDefaultScoredCpu = 100;
constexpr std::int64_t kDefaultScoredMemory = 200ll * 1024 * 1024;

// Integers, which most manifests have, need no 128-bit arithmetic.
std::int64_t whole_units(const Value& value) {
  if (value.is_int()) return value.as_int();
  const auto parsed = api::Quantity::parse(value.as_string());
  return parsed.ok() ? parsed->value() : 0;
}
std::int64_t milli(const Value& value) {
  if (value.is_int()) return value.as_int() * 1000;
  const auto parsed = api::Quantity::parse(value.as_string());
  return parsed.ok() ? parsed->milli_value() : 0;
}

std::int64_t& slot(std::vector<std::pair<std::string, std::int64_t>>& list, std::string_view name) {
  auto at = std::lower_bound(list.begin(), list.end(), name,
                             [](const auto& entry, std::string_view n) { return entry.first < n; });
  if (at == list.end() || at->first != name) at = list.emplace(at, std::string(name), 0);
  return at->second;
}

// Requests of a pod or container that may be resized in place. The node has what is granted (allocatedResources) and
// what is in force (resources.requests), and neither may be promised to another pod before it is given back. What the
// spec asks for counts unless the node has refused it for good. Source: determineContainerReqs() of
// k8s.io/component-helpers/resource.
ResourceAmounts resizable_requests(const Value& requests, const Value& status, bool infeasible) {
  const Value &in_force = status["resources"], &granted = status["allocatedResources"];
  if (!in_force.is_object() || (in_force["requests"] == requests && granted == requests)) return amounts_of(requests);
  ResourceAmounts out;
  if (!infeasible) out = amounts_of(requests);
  out.take_maximum(amounts_of(in_force["requests"]));
  out.take_maximum(amounts_of(granted));
  return out;
}

bool is_resize_infeasible(const Value& pod) {
  for (const Value& condition : pod["status"]["conditions"]) {
    if (condition["type"].as_string() == "PodResizePending") return condition["reason"].as_string() == "Infeasible";
  }
  return false;
}

// Null where there is none.
const Value& status_of(const Value& statuses, std::string_view container) {
  static const Value none;
  for (const Value& status : statuses) {
    if (status["name"].as_string() == container) return status;
  }
  return none;
}

void collect_ports(const Value& containers, bool sidecars_only, std::vector<HostPort>& out) {
  for (const Value& container : containers) {
    if (sidecars_only && !api::is_sidecar(container)) continue;
    for (const Value& port : container["ports"]) {
      const std::int64_t number = port["hostPort"].as_int();
      if (number <= 0) continue;
      std::string ip = port["hostIP"].str();
      out.push_back(HostPort{ip.empty() ? "0.0.0.0" : std::move(ip), port["protocol"].str("TCP"), number});
    }
  }
}

}  // namespace

std::int64_t ResourceAmounts::of(std::string_view name) const {
  for (const auto& [key, amount] : extended) {
    if (key == name) return amount;
  }
  return 0;
}

void ResourceAmounts::add(const ResourceAmounts& other, int sign) {
  milli_cpu += sign * other.milli_cpu;
  memory += sign * other.memory;
  ephemeral_storage += sign * other.ephemeral_storage;
  for (const auto& [name, amount] : other.extended) slot(extended, name) += sign * amount;
}

void ResourceAmounts::take_maximum(const ResourceAmounts& other) {
  milli_cpu = std::max(milli_cpu, other.milli_cpu);
  memory = std::max(memory, other.memory);
  ephemeral_storage = std::max(ephemeral_storage, other.ephemeral_storage);
  for (const auto& [name, amount] : other.extended) {
    std::int64_t& mine = slot(extended, name);
    mine = std::max(mine, amount);
  }
}

ResourceAmounts amounts_of(const Value& map) {
  ResourceAmounts out;
  for (const auto& [name, value] : map.entries()) {
    if (name == "cpu") {
      out.milli_cpu = milli(value);
    } else if (name == "memory") {
      out.memory = whole_units(value);
    } else if (name == "ephemeral-storage") {
      out.ephemeral_storage = whole_units(value);
    } else if (name != "pods") {
      slot(out.extended, name) = whole_units(value);
    }
  }
  return out;
}

ResourceAmounts requests_of(const Value& pod) {
  const Value& spec = pod["spec"];
  const Value& status = pod["status"];
  const bool infeasible = is_resize_infeasible(pod);
  auto requests = [infeasible](const Value& container, const Value& statuses) {
    return resizable_requests(container["resources"]["requests"], status_of(statuses, container["name"].as_string()),
                              infeasible);
  };
  ResourceAmounts total;
  for (const Value& container : spec["containers"]) total.add(requests(container, status["containerStatuses"]));
  ResourceAmounts sidecars, peak;
  for (const Value& container : spec["initContainers"]) {
    const bool sidecar = api::is_sidecar(container);
    ResourceAmounts moment = requests(container, sidecar ? status["initContainerStatuses"] : Value());
    if (sidecar) {
      total.add(moment);
      sidecars.add(moment);
      peak.take_maximum(sidecars);
    } else {
      moment.add(sidecars);
      peak.take_maximum(moment);
    }
  }
  total.take_maximum(peak);
  const Value& own = spec["resources"]["requests"];
  const ResourceAmounts of_pod = resizable_requests(own, status, infeasible);
  if (own.contains("cpu")) total.milli_cpu = of_pod.milli_cpu;
  if (own.contains("memory")) total.memory = of_pod.memory;
  for (const auto& [name, value] : own.entries()) {
    if (name.starts_with("hugepages-")) slot(total.extended, name) = of_pod.of(name);
  }
  if (!spec["overhead"].empty()) total.add(amounts_of(spec["overhead"]));
  return total;
}

bool HostPort::conflicts_with(const HostPort& other) const {
  if (port != other.port || protocol != other.protocol) return false;
  return ip == other.ip || ip == "0.0.0.0" || other.ip == "0.0.0.0";
}

PodPtr make_pod_info(const Value& pod) {
  auto info = std::make_shared<PodInfo>();
  info->pod = pod;
  info->ns = api::namespace_of(pod);
  info->key = api::name_key(pod).to_string();
  info->uid = api::uid_of(pod);
  info->requests = requests_of(pod);
  info->priority = pod["spec"]["priority"].as_int();
  info->never_preempts = pod["spec"]["preemptionPolicy"].as_string() == "Never";
  info->terminating = api::is_terminating(pod);
  info->labels = api::labels_of(pod);
  info->tolerations = pod["spec"]["tolerations"];
  info->node_selector = pod["spec"]["nodeSelector"];
  const Value& affinity = pod["spec"]["affinity"]["nodeAffinity"];
  info->node_affinity = affinity["requiredDuringSchedulingIgnoredDuringExecution"];
  info->node_preferences = affinity["preferredDuringSchedulingIgnoredDuringExecution"];
  info->requested_node = pod["spec"]["nodeName"].str();
  info->terms = read_neighbour_terms(pod);
  info->scored_cpu = info->requests.milli_cpu;
  info->scored_memory = info->requests.memory;
  const Value& own = pod["spec"]["resources"]["requests"];
  for (const Value& container : pod["spec"]["containers"]) {
    const Value& asked = container["resources"]["requests"];
    if (!asked.contains("cpu") && !own.contains("cpu")) info->scored_cpu += kDefaultScoredCpu;
    if (!asked.contains("memory") && !own.contains("memory")) info->scored_memory += kDefaultScoredMemory;
  }
  collect_ports(pod["spec"]["containers"], false, info->ports);
  collect_ports(pod["spec"]["initContainers"], true, info->ports);
  for (const Value& volume : pod["spec"]["volumes"]) {
    if (volume.contains("persistentVolumeClaim")) {
      info->claims.push_back(ClaimUse{volume["persistentVolumeClaim"]["claimName"].str(), false});
    } else if (volume.contains("ephemeral")) {
      info->claims.push_back(ClaimUse{std::string(api::name_of(pod)) + "-" + volume["name"].str(), true});
    }
  }
  return info;
}

}  // namespace berth::scheduler

#include "scheduler/filter/filter.h"

#include "api/object.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/taints.h"

namespace berth::scheduler {
namespace {

struct Filter {
  FilterResult (*check)(const FilterInput&, const NodeInfo&);
  FilterAspect aspects;
};
constexpr Filter kFilters[] = {
    {filter_schedulable, kAspectNode},  {filter_name, kAspectName},     {filter_taints, kAspectNode},
    {filter_affinity, kAspectAffinity}, {filter_ports, kAspectPorts},   {filter_resources, kAspectResources},
    {filter_volumes, kAspectVolumes},   {filter_spread, kAspectSpread}, {filter_neighbours, kAspectNeighbours},
};

}  // namespace

FilterInput make_filter_input(const PodInfo& pod, const VolumeNeeds& volumes, const ClusterView& view,
                              const Neighbours& neighbours) {
  unsigned aspects = kAspectNode | kAspectResources;
  if (!pod.requested_node.empty()) aspects |= kAspectName;
  if (!pod.node_selector.is_null() || !pod.node_affinity.is_null()) aspects |= kAspectAffinity;
  if (!pod.ports.empty()) aspects |= kAspectPorts;
  if (!volumes.bound.empty() || !volumes.waiting.empty() || !volumes.exclusive.empty() || volumes.missing_volume)
    aspects |= kAspectVolumes;
  if (!neighbours.spread.empty()) aspects |= kAspectSpread;
  if (!neighbours.affinity.empty() || !neighbours.anti.empty() || !neighbours.rejecting_groups.empty())
    aspects |= kAspectNeighbours;
  return FilterInput{pod, volumes, view, neighbours, aspects};
}

FilterResult reject(std::string_view reason, bool resolvable, Concern concern) {
  FilterResult result;
  result.reason = reason;
  result.resolvable = resolvable;
  result.concern = concern;
  return result;
}

FilterResult filter(const FilterInput& input, const NodeInfo& node) {
  const unsigned excluded_aspects = node.unschedulable || node.tainted ? 0u : unsigned{kAspectNode};
  for (const Filter& one : kFilters) {
    if (!(input.aspects & ~excluded_aspects & one.aspects)) continue;
    FilterResult result = one.check(input, node);
    if (!result.fits()) return result;
  }
  return {};
}

bool allows_node(const PodInfo& pod, const Value& node) {
  for (const auto& [key, value] : pod.node_selector.entries()) {
    const Value* found = api::labels_of(node).find(key);
    if (!found || *found != value) return false;
  }
  return pod.node_affinity.is_null() || controllers::matches_node_selector(pod.node_affinity, node);
}

bool tolerates_node(const PodInfo& pod, const NodeInfo& node) {
  if (!node.tainted) return true;
  for (const Value& taint : node.node["spec"]["taints"]) {
    const std::string_view effect = taint["effect"].as_string();
    if (effect != "NoSchedule" && effect != "NoExecute") continue;
    if (!controllers::tolerated(pod.tolerations, taint)) return false;
  }
  return true;
}

FilterResult filter_schedulable(const FilterInput& input, const NodeInfo& node) {
  if (!node.unschedulable) return {};
  static const Value taint = Value::object({{"key", "node.kubernetes.io/unschedulable"}, {"effect", "NoSchedule"}});
  if (controllers::tolerated(input.pod.tolerations, taint)) return {};
  return reject("node(s) were unschedulable", false, kConcernNode);
}

FilterResult filter_name(const FilterInput& input, const NodeInfo& node) {
  const std::string& wanted = input.pod.requested_node;
  if (wanted.empty() || wanted == node.name) return {};
  return reject("node(s) didn't match the requested node name", false, kConcernNode);
}

FilterResult filter_taints(const FilterInput& input, const NodeInfo& node) {
  if (tolerates_node(input.pod, node)) return {};
  return reject("node(s) had untolerated taint(s)", false, kConcernNode);
}

FilterResult filter_affinity(const FilterInput& input, const NodeInfo& node) {
  if (allows_node(input.pod, node.node)) return {};
  return reject("node(s) didn't match Pod's node affinity/selector", false, kConcernNode);
}

FilterResult filter_ports(const FilterInput& input, const NodeInfo& node) {
  if (input.pod.ports.empty() || node.port_users == 0) return {};
  for (const PodPtr& other : node.pods) {
    for (const HostPort& theirs : other->ports) {
      for (const HostPort& ours : input.pod.ports) {
        if (ours.conflicts_with(theirs)) {
          return reject("node(s) didn't have free ports for the requested pod ports", true, kConcernPorts);
        }
      }
    }
  }
  return {};
}

FilterResult filter_resources(const FilterInput& input, const NodeInfo& node) {
  const ResourceAmounts &requested = input.pod.requests, &used = node.requested, &allocatable = node.allocatable;
  // Most nodes have room: decide that without composing reasons.
  auto room = [](std::int64_t wanted, std::int64_t used, std::int64_t all) {
    return wanted <= 0 || wanted <= all - used;
  };
  if (requested.extended.empty() && static_cast<std::int64_t>(node.pods.size()) < node.allowed_pods &&
      room(requested.milli_cpu, used.milli_cpu, allocatable.milli_cpu) &&
      room(requested.memory, used.memory, allocatable.memory) &&
      room(requested.ephemeral_storage, used.ephemeral_storage, allocatable.ephemeral_storage)) {
    return {};
  }
  FilterResult result;
  result.concern = kConcernResources;
  auto add_reason = [&](std::string_view reason) {
    if (result.reason.empty()) {
      result.reason = reason;
    } else {
      result.more.emplace_back(reason);
    }
  };
  auto check = [&](std::int64_t wanted, std::int64_t used, std::int64_t all) {
    if (room(wanted, used, all)) return false;
    if (wanted > all) result.resolvable = false;
    return true;
  };
  if (static_cast<std::int64_t>(node.pods.size()) + 1 > node.allowed_pods) add_reason("Too many pods");
  if (check(requested.milli_cpu, used.milli_cpu, allocatable.milli_cpu)) add_reason("Insufficient cpu");
  if (check(requested.memory, used.memory, allocatable.memory)) add_reason("Insufficient memory");
  if (check(requested.ephemeral_storage, used.ephemeral_storage, allocatable.ephemeral_storage))
    add_reason("Insufficient ephemeral-storage");
  for (const auto& [name, amount] : requested.extended) {
    if (check(amount, used.of(name), allocatable.of(name))) result.more.push_back("Insufficient " + name);
  }
  return result;
}

FilterResult filter_volumes(const FilterInput& input, const NodeInfo& node) {
  const VolumeNeeds& needs = input.volumes;
  for (const std::string& claim : needs.exclusive) {
    // Count again: the user may be a pod that is removed to evaluate a preemption.
    if (needs.users->users_of_claim(claim) == 0) continue;
    return reject(
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
        true, kConcernVolumes);
  }
  if (needs.bound.empty() && needs.waiting.empty() && !needs.missing_volume) return {};
  const std::string reason = choose_volumes(needs, node.node, input.view, nullptr);
  FilterResult result;
  if (reason.empty()) return result;
  result.more.push_back(reason);
  result.resolvable = false;
  result.concern = kConcernVolumes;
  return result;
}

}  // namespace berth::scheduler

#include "scheduler/filter/filter.h"

#include "api/object.h"
#include "controllers/node/taints.h"
#include "controllers/volume/node_selector.h"

namespace berth::scheduler {
namespace {

// What a filter looks at: where the pod has nothing of it, the filter cannot refuse and is not asked.
enum class About { kNode, kName, kAffinity, kPorts, kResources, kVolumes, kSpread, kNeighbours };

struct Filter {
  Verdict (*check)(const Question&, const NodeInfo&);
  About about;
};
constexpr Filter kFilters[] = {
    {filter_schedulable, About::kNode},   {filter_name, About::kName},           {filter_taints, About::kNode},
    {filter_affinity, About::kAffinity},  {filter_ports, About::kPorts},         {filter_resources, About::kResources},
    {filter_volumes, About::kVolumes},    {filter_spread, About::kSpread},       {filter_neighbours, About::kNeighbours},
};

bool concerns(const Question& question, const NodeInfo& node, About about) {
  const PodInfo& pod = question.pod;
  const VolumeNeeds& needs = question.volumes;
  const Neighbours& around = question.neighbours;
  switch (about) {
    case About::kNode: return node.unschedulable || node.tainted;
    case About::kName: return !pod.wanted_node.empty();
    case About::kAffinity: return !pod.node_selector.is_null() || !pod.node_affinity.is_null();
    case About::kPorts: return !pod.ports.empty() && node.port_users > 0;
    case About::kResources: return true;
    case About::kVolumes: return !needs.bound.empty() || !needs.waiting.empty() || !needs.exclusive.empty() || needs.missing_volume;
    case About::kSpread: return !around.spread.empty();
    case About::kNeighbours: return !around.affinity.empty() || !around.anti.empty() || !around.refusing.empty();
  }
  return true;
}

}  // namespace

Verdict refuse(std::string reason, bool curable, Concern concern) {
  Verdict verdict;
  verdict.reasons.push_back(std::move(reason));
  verdict.curable = curable;
  verdict.concern = concern;
  return verdict;
}

Verdict filter(const Question& question, const NodeInfo& node) {
  for (const Filter& one : kFilters) {
    if (!concerns(question, node, one.about)) continue;
    Verdict verdict = one.check(question, node);
    if (!verdict.fits()) return verdict;
  }
  return {};
}

bool allows_node(const PodInfo& pod, const Value& node) {
  for (const auto& [key, value] : pod.node_selector.entries()) {
    const Value* found = api::labels_of(node).find(key);
    if (!found || *found != value) return false;
  }
  return pod.node_affinity.is_null() || controllers::volume::matches_node_selector(pod.node_affinity, node);
}

bool tolerates_node(const PodInfo& pod, const NodeInfo& node) {
  if (!node.tainted) return true;
  for (const Value& taint : node.node["spec"]["taints"]) {
    const std::string_view effect = taint["effect"].as_string();
    if (effect != "NoSchedule" && effect != "NoExecute") continue;
    if (!controllers::node::tolerated(pod.tolerations, taint)) return false;
  }
  return true;
}

Verdict filter_schedulable(const Question& question, const NodeInfo& node) {
  if (!node.unschedulable) return {};
  static const Value taint = Value::object({{"key", "node.kubernetes.io/unschedulable"}, {"effect", "NoSchedule"}});
  if (controllers::node::tolerated(question.pod.tolerations, taint)) return {};
  return refuse("node(s) were unschedulable", false, kConcernNode);
}

Verdict filter_name(const Question& question, const NodeInfo& node) {
  const std::string& wanted = question.pod.wanted_node;
  if (wanted.empty() || wanted == node.name) return {};
  return refuse("node(s) didn't match the requested node name", false, kConcernNode);
}

Verdict filter_taints(const Question& question, const NodeInfo& node) {
  if (tolerates_node(question.pod, node)) return {};
  return refuse("node(s) had untolerated taint(s)", false, kConcernNode);
}

Verdict filter_affinity(const Question& question, const NodeInfo& node) {
  if (allows_node(question.pod, node.node)) return {};
  return refuse("node(s) didn't match Pod's node affinity/selector", false, kConcernNode);
}

Verdict filter_ports(const Question& question, const NodeInfo& node) {
  if (question.pod.ports.empty() || node.port_users == 0) return {};
  for (const PodPtr& other : node.pods) {
    for (const HostPort& theirs : other->ports) {
      for (const HostPort& ours : question.pod.ports) {
        if (ours.conflicts_with(theirs)) {
          return refuse("node(s) didn't have free ports for the requested pod ports", true, kConcernPorts);
        }
      }
    }
  }
  return {};
}

Verdict filter_resources(const Question& question, const NodeInfo& node) {
  Verdict verdict;
  auto check = [&](std::int64_t wanted, std::int64_t used, std::int64_t all, std::string_view name) {
    if (wanted <= 0 || wanted <= all - used) return;
    verdict.reasons.push_back("Insufficient " + std::string(name));
    if (wanted > all) verdict.curable = false;
    verdict.concern = kConcernResources;
  };
  if (static_cast<std::int64_t>(node.pods.size()) + 1 > node.allowed_pods) {
    verdict.reasons.emplace_back("Too many pods");
    verdict.concern = kConcernResources;
  }
  const Amounts& wanted = question.pod.requests;
  check(wanted.milli_cpu, node.requested.milli_cpu, node.allocatable.milli_cpu, "cpu");
  check(wanted.memory, node.requested.memory, node.allocatable.memory, "memory");
  check(wanted.ephemeral_storage, node.requested.ephemeral_storage, node.allocatable.ephemeral_storage, "ephemeral-storage");
  for (const auto& [name, amount] : wanted.extended) check(amount, node.requested.of(name), node.allocatable.of(name), name);
  return verdict;
}

Verdict filter_volumes(const Question& question, const NodeInfo& node) {
  const VolumeNeeds& needs = question.volumes;
  if (!needs.exclusive.empty()) {
    return refuse("node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
                  true, kConcernVolumes);
  }
  if (needs.bound.empty() && needs.waiting.empty() && !needs.missing_volume) return {};
  const std::string reason = choose_volumes(needs, node.node, question.view, nullptr);
  return reason.empty() ? Verdict{} : refuse(reason, false, kConcernVolumes);
}

}  // namespace berth::scheduler

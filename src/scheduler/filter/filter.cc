#include "scheduler/filter/filter.h"

#include "api/object.h"
#include "controllers/node/taints.h"
#include "controllers/volume/node_selector.h"

namespace berth::scheduler {
namespace {

// Pods' affinity to each other and their spread over topologies belong behind the volumes.
constexpr Verdict (*kFilters[])(const Question&, const NodeInfo&) = {
    filter_schedulable, filter_name, filter_taints, filter_affinity, filter_ports, filter_resources, filter_volumes,
};

Verdict refuse(std::string reason, bool curable, Concern concern) {
  Verdict verdict;
  verdict.reasons.push_back(std::move(reason));
  verdict.curable = curable;
  verdict.concern = concern;
  return verdict;
}

}  // namespace

Verdict filter(const Question& question, const NodeInfo& node) {
  for (const auto& one : kFilters) {
    Verdict verdict = one(question, node);
    if (!verdict.fits()) return verdict;
  }
  return {};
}

Verdict filter_schedulable(const Question& question, const NodeInfo& node) {
  if (!node.node["spec"]["unschedulable"].as_bool()) return {};
  static const Value taint = Value::object({{"key", "node.kubernetes.io/unschedulable"}, {"effect", "NoSchedule"}});
  if (controllers::node::tolerated(question.pod.pod["spec"]["tolerations"], taint)) return {};
  return refuse("node(s) were unschedulable", false, kConcernNode);
}

Verdict filter_name(const Question& question, const NodeInfo& node) {
  const std::string_view wanted = question.pod.pod["spec"]["nodeName"].as_string();
  if (wanted.empty() || wanted == node.name) return {};
  return refuse("node(s) didn't match the requested node name", false, kConcernNode);
}

Verdict filter_taints(const Question& question, const NodeInfo& node) {
  for (const Value& taint : node.node["spec"]["taints"]) {
    const std::string_view effect = taint["effect"].as_string();
    if (effect != "NoSchedule" && effect != "NoExecute") continue;
    if (controllers::node::tolerated(question.pod.pod["spec"]["tolerations"], taint)) continue;
    return refuse("node(s) had untolerated taint(s)", false, kConcernNode);
  }
  return {};
}

Verdict filter_affinity(const Question& question, const NodeInfo& node) {
  const Value& spec = question.pod.pod["spec"];
  bool matches = true;
  for (const auto& [key, value] : spec["nodeSelector"].entries()) {
    const Value* found = api::labels_of(node.node).find(key);
    matches = matches && found && *found == value;
  }
  const Value& required = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
  if (matches && controllers::volume::matches_node_selector(required, node.node)) return {};
  return refuse("node(s) didn't match Pod's node affinity/selector", false, kConcernNode);
}

Verdict filter_ports(const Question& question, const NodeInfo& node) {
  if (question.pod.ports.empty() || node.port_users == 0) return {};
  for (const auto& [uid, other] : node.pods) {
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
  if (needs.volumes.empty() && needs.waiting.empty() && !needs.missing_volume) return {};
  const std::string reason = choose_volumes(needs, node.node, question.storage, nullptr);
  return reason.empty() ? Verdict{} : refuse(reason, false, kConcernVolumes);
}

}  // namespace berth::scheduler

#include "scheduler/filter/filter.h"

#include "api/object.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/taints.h"

namespace berth::scheduler {
namespace {

struct Filter {
  Verdict (*check)(const Question&, const NodeInfo&);
  About about;
};
constexpr Filter kFilters[] = {
    {filter_schedulable, kAboutNode},  {filter_name, kAboutName},     {filter_taints, kAboutNode},
    {filter_affinity, kAboutAffinity}, {filter_ports, kAboutPorts},   {filter_resources, kAboutResources},
    {filter_volumes, kAboutVolumes},   {filter_spread, kAboutSpread}, {filter_neighbours, kAboutNeighbours},
};

}  // namespace

Question ask(const PodInfo& pod, const VolumeNeeds& volumes, const View& view, const Neighbours& around) {
  unsigned about = kAboutNode | kAboutResources;
  if (!pod.wanted_node.empty()) about |= kAboutName;
  if (!pod.node_selector.is_null() || !pod.node_affinity.is_null()) about |= kAboutAffinity;
  if (!pod.ports.empty()) about |= kAboutPorts;
  if (!volumes.bound.empty() || !volumes.waiting.empty() || !volumes.exclusive.empty() || volumes.missing_volume)
    about |= kAboutVolumes;
  if (!around.spread.empty()) about |= kAboutSpread;
  if (!around.affinity.empty() || !around.anti.empty() || !around.refusing.empty()) about |= kAboutNeighbours;
  return Question{pod, volumes, view, around, about};
}

Verdict refuse(std::string_view reason, bool curable, Concern concern) {
  Verdict verdict;
  verdict.reason = reason;
  verdict.curable = curable;
  verdict.concern = concern;
  return verdict;
}

Verdict filter(const Question& question, const NodeInfo& node) {
  const unsigned quiet = node.unschedulable || node.tainted ? 0u : unsigned{kAboutNode};
  for (const Filter& one : kFilters) {
    if (!(question.about & ~quiet & one.about)) continue;
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

Verdict filter_schedulable(const Question& question, const NodeInfo& node) {
  if (!node.unschedulable) return {};
  static const Value taint = Value::object({{"key", "node.kubernetes.io/unschedulable"}, {"effect", "NoSchedule"}});
  if (controllers::tolerated(question.pod.tolerations, taint)) return {};
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
  const Amounts &asked = question.pod.requests, &used_up = node.requested, &all_there = node.allocatable;
  // Most nodes have room: found out without another word.
  auto room = [](std::int64_t wanted, std::int64_t used, std::int64_t all) {
    return wanted <= 0 || wanted <= all - used;
  };
  if (asked.extended.empty() && static_cast<std::int64_t>(node.pods.size()) < node.allowed_pods &&
      room(asked.milli_cpu, used_up.milli_cpu, all_there.milli_cpu) &&
      room(asked.memory, used_up.memory, all_there.memory) &&
      room(asked.ephemeral_storage, used_up.ephemeral_storage, all_there.ephemeral_storage)) {
    return {};
  }
  Verdict verdict;
  verdict.concern = kConcernResources;
  auto say = [&](std::string_view reason) {
    if (verdict.reason.empty()) {
      verdict.reason = reason;
    } else {
      verdict.more.emplace_back(reason);
    }
  };
  auto check = [&](std::int64_t wanted, std::int64_t used, std::int64_t all) {
    if (room(wanted, used, all)) return false;
    if (wanted > all) verdict.curable = false;
    return true;
  };
  if (static_cast<std::int64_t>(node.pods.size()) + 1 > node.allowed_pods) say("Too many pods");
  if (check(asked.milli_cpu, used_up.milli_cpu, all_there.milli_cpu)) say("Insufficient cpu");
  if (check(asked.memory, used_up.memory, all_there.memory)) say("Insufficient memory");
  if (check(asked.ephemeral_storage, used_up.ephemeral_storage, all_there.ephemeral_storage))
    say("Insufficient ephemeral-storage");
  for (const auto& [name, amount] : asked.extended) {
    if (check(amount, used_up.of(name), all_there.of(name))) verdict.more.push_back("Insufficient " + name);
  }
  return verdict;
}

Verdict filter_volumes(const Question& question, const NodeInfo& node) {
  const VolumeNeeds& needs = question.volumes;
  for (const std::string& claim : needs.exclusive) {
    // Asked again, because the user may be one that would be preempted.
    if (needs.users->users_of_claim(claim) == 0) continue;
    return refuse(
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod",
        true, kConcernVolumes);
  }
  if (needs.bound.empty() && needs.waiting.empty() && !needs.missing_volume) return {};
  const std::string reason = choose_volumes(needs, node.node, question.view, nullptr);
  Verdict verdict;
  if (reason.empty()) return verdict;
  verdict.more.push_back(reason);
  verdict.curable = false;
  verdict.concern = kConcernVolumes;
  return verdict;
}

}  // namespace berth::scheduler

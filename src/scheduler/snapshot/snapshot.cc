#include "scheduler/snapshot/snapshot.h"

#include <algorithm>

#include "api/object.h"
#include "api/quantity.h"

namespace berth::scheduler {
namespace {

std::int64_t allowed_pods_of(const Value& node) {
  const Value& pods = node["status"]["allocatable"]["pods"];
  const auto parsed = api::Quantity::parse(pods.as_string());
  return pods.is_int() ? pods.as_int() : parsed.ok() ? parsed->value() : 0;
}

// True if no field changed that decisions read. Unchanged sub-trees are shared nodes, so the comparison is cheap.
bool same_for_decisions(const PodInfo& known, const Value& pod) {
  if (known.terminating != api::is_terminating(pod) || known.labels != api::labels_of(pod)) return false;
  for (const char* field : {"containers", "initContainers", "volumes", "affinity", "topologySpreadConstraints",
                            "overhead", "resources", "priority"}) {
    if (known.pod["spec"][field] != pod["spec"][field]) return false;
  }
  return true;
}

}  // namespace

template <class Change>
void Snapshot::recount(NodeInfo& node, Change change) {
  for (const PodPtr& pod : node.pods) census_.add_pod(*pod, node, topologies_, -1);
  census_.add_node(node, -1);
  change();
  census_.add_node(node, 1);
  for (const PodPtr& pod : node.pods) census_.add_pod(*pod, node, topologies_, 1);
}

void Snapshot::set_node(const Value& node) {
  const std::string name(api::name_of(node));
  NodeInfo& info = nodes_[name];
  if (info.node.is_null()) ordered_valid_ = false;
  info.name = name;
  recount(info, [&] {
    info.node = node;
    info.unschedulable = node["spec"]["unschedulable"].as_bool();
    info.tainted = info.has_prefer_no_schedule = false;
    for (const Value& taint : node["spec"]["taints"])
      (taint["effect"].as_string() == "PreferNoSchedule" ? info.has_prefer_no_schedule : info.tainted) = true;
    info.domains = topologies_.domains_of(api::labels_of(node));
  });
  info.allocatable = amounts_of(node["status"]["allocatable"]);
  info.allowed_pods = allowed_pods_of(node);
}

void Snapshot::remove_node(const std::string& name) {
  auto found = nodes_.find(name);
  if (found == nodes_.end()) return;
  ordered_valid_ = false;
  NodeInfo& info = found->second;
  recount(info, [&] {
    info.node = Value();
    info.domains.clear();
  });
  if (info.pods.empty()) nodes_.erase(found);
}

bool Snapshot::place(const PodPtr& pod, const std::string& node) {
  auto found = placed_.find(pod->uid);
  if (found != placed_.end()) {
    if (found->second.node->name == node && same_for_decisions(*found->second.pod, pod->pod)) return false;
    remove(pod->uid);
  }
  if (pod->terms) {
    // Add new topologies to all nodes before pods are counted in them.
    for (const AffinityTerms* terms :
         {&pod->terms->anti, &pod->terms->affinity, &pod->terms->preferred_anti, &pod->terms->preferred_affinity}) {
      for (const AffinityTerm& term : *terms) key_of(term.topology_key);
    }
  }
  NodeInfo& info = nodes_[node];
  info.name = node;
  info.pods.push_back(pod);
  count(info, *pod, 1);
  placed_[pod->uid] = PlacedPod{pod, &info};
  return true;
}

std::string Snapshot::remove(const std::string& uid) {
  auto found = placed_.find(uid);
  if (found == placed_.end()) return {};
  const PlacedPod placed = std::move(found->second);
  placed_.erase(found);
  NodeInfo& info = *placed.node;
  auto at = std::find(info.pods.begin(), info.pods.end(), placed.pod);
  *at = info.pods.back();
  info.pods.pop_back();
  count(info, *placed.pod, -1);
  const std::string name = info.name;
  if (info.pods.empty() && info.node.is_null()) nodes_.erase(name);
  return name;
}

void Snapshot::count(NodeInfo& node, const PodInfo& pod, int sign) {
  node.requested.add(pod.requests, sign);
  node.scored_cpu += sign * pod.scored_cpu;
  node.scored_memory += sign * pod.scored_memory;
  if (!pod.ports.empty()) node.port_users += sign;
  for (const ClaimUse& claim : pod.claims) {
    auto [at, fresh] = claim_users_.try_emplace(pod.ns + "/" + claim.name, 0);
    if ((at->second += sign) == 0) claim_users_.erase(at);
  }
  census_.add_pod(pod, node, topologies_, sign);
}

std::string Snapshot::node_of(const std::string& uid) const {
  auto found = placed_.find(uid);
  return found == placed_.end() ? std::string() : found->second.node->name;
}

bool Snapshot::contains_unchanged(const Value& pod) const {
  auto found = placed_.find(std::string(api::uid_of(pod)));
  return found != placed_.end() && found->second.node->name == pod["spec"]["nodeName"].as_string() &&
         same_for_decisions(*found->second.pod, pod);
}

PodPtr Snapshot::placed(const std::string& uid) const {
  auto found = placed_.find(uid);
  return found == placed_.end() ? nullptr : found->second.pod;
}

const std::vector<const NodeInfo*>& Snapshot::nodes() const {
  if (!ordered_valid_) {
    ordered_.clear();
    for (const auto& [name, info] : nodes_) {
      if (!info.node.is_null()) ordered_.push_back(&info);
    }
    ordered_valid_ = true;
  }
  return ordered_;
}

const NodeInfo* Snapshot::node(const std::string& name) const {
  auto found = nodes_.find(name);
  return found == nodes_.end() || found->second.node.is_null() ? nullptr : &found->second;
}

int Snapshot::users_of_claim(const std::string& claim) const {
  auto found = claim_users_.find(claim);
  return found == claim_users_.end() ? 0 : found->second;
}

// --- Nominations

void Snapshot::withdraw(const std::string& uid) {
  auto found = nominations_.find(uid);
  if (found == nominations_.end()) return;
  auto list = nominated_for_.find(found->second.node);
  std::erase(list->second, found->second.pod);
  if (list->second.empty()) nominated_for_.erase(list);
  nominations_.erase(found);
}

void Snapshot::nominate(const PodPtr& pod, const std::string& node) {
  withdraw(pod->uid);
  if (node.empty()) return;
  nominations_[pod->uid] = Nomination{pod, node};
  nominated_for_[node].push_back(pod);
}

std::string Snapshot::nomination_of(const std::string& uid) const {
  auto found = nominations_.find(uid);
  return found == nominations_.end() ? std::string() : found->second.node;
}

const std::vector<PodPtr>& Snapshot::nominated_for(const std::string& node) const {
  static const std::vector<PodPtr> kNone;
  auto found = nominated_for_.find(node);
  return found == nominated_for_.end() ? kNone : found->second;
}

// --- Counts

int Snapshot::key_of(const std::string& label) {
  bool fresh = false;
  const int key = topologies_.key(label, fresh);
  if (fresh) {
    for (auto& [name, info] : nodes_) {
      if (!info.node.is_null()) info.domains = topologies_.domains_of(api::labels_of(info.node));
    }
  }
  return key;
}

const Tally& Snapshot::tally(const std::string& signature, const std::function<TallySpec()>& make) {
  if (const Tally* known = census_.find_tally(signature)) return *known;
  Tally& fresh = census_.add_tally(make());
  for (const auto& [name, info] : nodes_) {
    fresh.add_node(info, 1);
    for (const PodPtr& pod : info.pods) fresh.add_pod(*pod, info, 1);
  }
  return fresh;
}

}  // namespace berth::scheduler

#include "scheduler/snapshot.h"

#include "api/object.h"
#include "base/quantity.h"

namespace berth::scheduler {

void Snapshot::set_node(const Value& node) {
  const std::string name(api::name_of(node));
  NodeInfo& info = nodes_[name];
  if (info.node.is_null()) ordered_valid_ = false;
  info.name = name;
  info.node = node;
  info.allocatable = amounts_of(node["status"]["allocatable"]);
  const Value& pods = node["status"]["allocatable"]["pods"];
  const auto parsed = Quantity::parse(pods.as_string());
  info.allowed_pods = pods.is_int() ? pods.as_int() : parsed.ok() ? parsed->value() : 0;
}

void Snapshot::remove_node(const std::string& name) {
  auto found = nodes_.find(name);
  if (found == nodes_.end()) return;
  ordered_valid_ = false;
  if (found->second.pods.empty()) {
    nodes_.erase(found);
    return;
  }
  found->second.node = Value();
}

void Snapshot::place(const PodPtr& pod, const std::string& node) {
  auto found = placed_.find(pod->uid);
  if (found != placed_.end()) {
    if (found->second.node == node && found->second.pod->pod["spec"] == pod->pod["spec"]) return;
    remove(pod->uid);
  }
  NodeInfo& info = nodes_[node];
  info.name = node;
  info.pods.emplace(pod->uid, pod);
  count(info, *pod, 1);
  placed_[pod->uid] = Placed{pod, node};
}

std::string Snapshot::remove(const std::string& uid) {
  auto found = placed_.find(uid);
  if (found == placed_.end()) return {};
  const Placed placed = std::move(found->second);
  placed_.erase(found);
  auto at = nodes_.find(placed.node);
  at->second.pods.erase(uid);
  count(at->second, *placed.pod, -1);
  if (at->second.pods.empty() && at->second.node.is_null()) nodes_.erase(at);
  return placed.node;
}

void Snapshot::count(NodeInfo& node, const PodInfo& pod, int sign) {
  node.requested.add(pod.requests, sign);
  node.scored_cpu += sign * pod.scored_cpu;
  node.scored_memory += sign * pod.scored_memory;
  if (!pod.ports.empty()) node.port_users += sign;
  if (!pod.owner_uid.empty()) {
    auto [at, fresh] = node.owners.try_emplace(pod.owner_uid, 0);
    if ((at->second += sign) == 0) node.owners.erase(at);
  }
  for (const ClaimUse& claim : pod.claims) {
    auto [at, fresh] = claim_users_.try_emplace(pod.ns + "/" + claim.name, 0);
    if ((at->second += sign) == 0) claim_users_.erase(at);
  }
}

std::string Snapshot::node_of(const std::string& uid) const {
  auto found = placed_.find(uid);
  return found == placed_.end() ? std::string() : found->second.node;
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

}  // namespace berth::scheduler

#pragma once
// Snapshot: the nodes with everything that is placed on them, kept up to date pod by pod. It includes assumed pods: those
// that were decided for a node and whose binding is under way. Owner: one scheduler, on its loop.

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "scheduler/pod_info.h"

namespace berth::scheduler {

class Snapshot {
 public:
  // Adds or replaces a node; its pods stay.
  void set_node(const Value& node);
  // The node is gone. Pods that still name it are remembered in case it comes back.
  void remove_node(const std::string& name);

  // Places a pod; where it was placed before (assumed there, or seen) is forgotten.
  void place(const PodPtr& pod, const std::string& node);
  // The name of the node it was on; empty where it was on none.
  std::string remove(const std::string& uid);
  // Empty where the pod is on none.
  std::string node_of(const std::string& uid) const;

  // Nodes that exist, in order of name.
  const std::vector<const NodeInfo*>& nodes() const;
  // Null where there is no such node.
  const NodeInfo* node(const std::string& name) const;
  // How many placed pods mount the claim "namespace/name".
  int users_of_claim(const std::string& claim) const;

 private:
  struct Placed {
    PodPtr pod;
    std::string node;
  };
  void count(NodeInfo& node, const PodInfo& pod, int sign);
  std::map<std::string, NodeInfo> nodes_;
  std::unordered_map<std::string, Placed> placed_;   // by uid
  std::unordered_map<std::string, int> claim_users_;
  mutable std::vector<const NodeInfo*> ordered_;
  mutable bool ordered_valid_ = false;
};

}  // namespace berth::scheduler

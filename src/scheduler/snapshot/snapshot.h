#pragma once
// Snapshot: the nodes with everything that is placed on them, kept up to date pod by pod. It includes assumed pods:
// those that were decided for a node and whose binding is under way; and it knows for which nodes others are nominated:
// pods for which room is being made. Owner: one scheduler, on its loop.

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "scheduler/snapshot/census.h"
#include "scheduler/snapshot/pod_info.h"
#include "scheduler/snapshot/topology.h"

namespace berth::scheduler {

class Snapshot {
 public:
  // Adds or replaces a node; its pods stay.
  void set_node(const Value& node);
  // The node is gone. Pods that still name it are remembered in case it comes back.
  void remove_node(const std::string& name);

  // Places a pod; where it was placed before (assumed there, or seen) is forgotten. False: nothing is different.
  bool place(const PodPtr& pod, const std::string& node);
  // The name of the node it was on; empty where it was on none.
  std::string remove(const std::string& uid);
  // Empty where the pod is on none.
  std::string node_of(const std::string& uid) const;
  // Null where the pod is on no node.
  PodPtr placed(const std::string& uid) const;
  // This very pod is placed on its node already, and is the same as far as decisions go.
  bool holds(const Value& pod) const;

  // Nodes that exist, in order of name.
  const std::vector<const NodeInfo*>& nodes() const;
  // Null where there is no such node.
  const NodeInfo* node(const std::string& name) const;
  // How many placed pods mount the claim "namespace/name".
  int users_of_claim(const std::string& claim) const;

  // A pod without a node is meant to go to this one; an empty name: to none.
  void nominate(const PodPtr& pod, const std::string& node);
  void withdraw(const std::string& uid);
  std::string nomination_of(const std::string& uid) const;
  bool any_nominated() const { return !nominations_.empty(); }
  // The pods nominated for a node.
  const std::vector<PodPtr>& nominated_for(const std::string& node) const;

  // The number of a topology's key.
  int key_of(const std::string& label);
  // The tally of that question; `make` is called where nobody has asked it lately.
  const Tally& tally(const std::string& signature, const std::function<TallyQuestion()>& make);
  // A decision begins: tallies handed out before may be gone.
  void trim() { census_.trim(); }
  const Census& census() const { return census_; }

 private:
  struct Placed {
    PodPtr pod;
    NodeInfo* node;
  };
  struct Nomination {
    PodPtr pod;
    std::string node;
  };
  void count(NodeInfo& node, const PodInfo& pod, int sign);
  // Takes the node with its pods out of all counts, lets `change` work on it, and counts it again.
  template <class Change>
  void recount(NodeInfo& node, Change change);

  std::map<std::string, NodeInfo> nodes_;
  std::unordered_map<std::string, Placed> placed_;  // by uid
  std::unordered_map<std::string, int> claim_users_;
  std::unordered_map<std::string, Nomination> nominations_;             // by uid
  std::unordered_map<std::string, std::vector<PodPtr>> nominated_for_;  // by node
  Topologies topologies_;
  Census census_;
  mutable std::vector<const NodeInfo*> ordered_;
  mutable bool ordered_valid_ = false;
};

}  // namespace berth::scheduler

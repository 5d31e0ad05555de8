#pragma once
// Snapshot: the nodes with the pods placed on them, updated pod by pod. It includes assumed pods (decided, binding in
// flight) and nominations (pods for which a preemption makes room on a node). Owner: one scheduler, on its loop.

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
  // The node is deleted. Pods that name it are retained in case it is created again.
  void remove_node(const std::string& name);

  // Places a pod; replaces its earlier placement (assumed or seen). False: nothing changed.
  bool place(const PodPtr& pod, const std::string& node);
  // Returns the name of its node; empty if it was not placed.
  std::string remove(const std::string& uid);
  // Empty if the pod is not placed.
  std::string node_of(const std::string& uid) const;
  // Null if the pod is not placed.
  PodPtr placed(const std::string& uid) const;
  // True if the pod is placed on its node with equal fields, as far as decisions read them.
  bool contains_unchanged(const Value& pod) const;

  // Existing nodes, sorted by name.
  const std::vector<const NodeInfo*>& nodes() const;
  // Null if there is no such node.
  const NodeInfo* node(const std::string& name) const;
  // Number of placed pods that mount the claim "namespace/name".
  int users_of_claim(const std::string& claim) const;

  // Nominates a pod without a node for this node; empty name: for none.
  void nominate(const PodPtr& pod, const std::string& node);
  void withdraw(const std::string& uid);
  std::string nomination_of(const std::string& uid) const;
  bool any_nominated() const { return !nominations_.empty(); }
  // The pods nominated for a node.
  const std::vector<PodPtr>& nominated_for(const std::string& node) const;

  // The number of a topology key.
  int key_of(const std::string& label);
  // The tally with that signature; `make` is called if there is none yet.
  const Tally& tally(const std::string& signature, const std::function<TallySpec()>& make);
  // To be called when a decision starts: removes least recently used tallies, so earlier references become invalid.
  void trim() { census_.trim(); }
  const Census& census() const { return census_; }

 private:
  struct PlacedPod {
    PodPtr pod;
    NodeInfo* node;
  };
  struct Nomination {
    PodPtr pod;
    std::string node;
  };
  void count(NodeInfo& node, const PodInfo& pod, int sign);
  // Removes the node with its pods from all counts, calls `change` to modify the node, and counts it again.
  template <class Change>
  void recount(NodeInfo& node, Change change);

  std::map<std::string, NodeInfo> nodes_;
  std::unordered_map<std::string, PlacedPod> placed_;  // by uid
  std::unordered_map<std::string, int> claim_users_;
  std::unordered_map<std::string, Nomination> nominations_;             // by uid
  std::unordered_map<std::string, std::vector<PodPtr>> nominated_for_;  // by node
  Topologies topologies_;
  Census census_;
  mutable std::vector<const NodeInfo*> ordered_;
  mutable bool ordered_valid_ = false;
};

}  // namespace berth::scheduler

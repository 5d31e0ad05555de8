#pragma once
// PodInfo and NodeInfo: what the scheduler has to know of a pod and a node, read once.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json/json.h"
#include "scheduler/snapshot/terms.h"

namespace berth::scheduler {

// Amounts of resources. Memory and disk in bytes; everything beyond the three by name, in whole units.
struct Amounts {
  std::int64_t milli_cpu = 0;
  std::int64_t memory = 0;
  std::int64_t ephemeral_storage = 0;
  std::vector<std::pair<std::string, std::int64_t>> extended;  // in order of name

  std::int64_t of(std::string_view name) const;  // of `extended`
  void add(const Amounts& other, int sign = 1);
  void raise_to(const Amounts& other);  // the larger of each
};
// Of a map resource name -> quantity, as in requests and allocatable. "pods" is left out.
Amounts amounts_of(const Value& map);
// What a pod needs of a node: containers and sidecars together, or the largest moment of its init containers; the pod's
// own spec.resources where given; spec.overhead on top.
Amounts requests_of(const Value& pod);

struct HostPort {
  std::string ip;  // "0.0.0.0": every address
  std::string protocol;
  std::int64_t port = 0;
  bool conflicts_with(const HostPort& other) const;
};

// A claim that a pod mounts.
struct ClaimUse {
  std::string name;
  bool ephemeral = false;  // made for the pod out of a volumeClaimTemplate
};

struct PodInfo {
  Value pod;
  std::string key;  // "namespace/name"
  std::string uid;
  std::string ns;
  Amounts requests;
  std::int64_t scored_cpu = 0, scored_memory = 0;  // requests, with a little for containers that ask for nothing
  std::vector<HostPort> ports;
  std::vector<ClaimUse> claims;
  std::int64_t priority = 0;
  bool never_preempts = false;
  bool terminating = false;
  Value labels;
  Value tolerations;
  Value node_selector;  // spec.nodeSelector and the required and preferred part of node affinity; null where not given
  Value node_affinity;
  Value node_preferences;
  std::string wanted_node;                      // spec.nodeName of a pod that is to be placed
  std::shared_ptr<const NeighbourTerms> terms;  // null: none
};
using PodPtr = std::shared_ptr<const PodInfo>;
PodPtr make_pod_info(const Value& pod);

struct NodeInfo {
  Value node;  // null: pods name it but nobody has seen it
  std::string name;
  bool unschedulable = false;
  bool tainted = false;   // so that pods without a toleration may not come ...
  bool disliked = false;  // ... or should rather not
  Amounts allocatable;
  std::int64_t allowed_pods = 0;
  Amounts requested;
  std::int64_t scored_cpu = 0, scored_memory = 0;
  std::vector<PodPtr> pods;  // in no order
  std::vector<int> domains;  // by number of the topology's key
  int port_users = 0;        // pods with host ports

  int domain(int key) const {
    return static_cast<std::size_t>(key) < domains.size() ? domains[static_cast<std::size_t>(key)] : -1;
  }
};

}  // namespace berth::scheduler

#pragma once
// PodInfo and NodeInfo: the scheduler's facts about a pod and a node, parsed once.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/json/json.h"
#include "scheduler/snapshot/terms.h"

namespace berth::scheduler {

// Amounts of resources. Memory and disk in bytes; all others by name, in whole units.
struct ResourceAmounts {
  std::int64_t milli_cpu = 0;
  std::int64_t memory = 0;
  std::int64_t ephemeral_storage = 0;
  std::vector<std::pair<std::string, std::int64_t>> extended;  // sorted by name

  std::int64_t of(std::string_view name) const;  // of `extended`
  void add(const ResourceAmounts& other, int sign = 1);
  void take_maximum(const ResourceAmounts& other);  // the maximum of each
};
// Parses a map of resource name to quantity, as in requests and allocatable. "pods" is skipped.
ResourceAmounts amounts_of(const Value& map);
// The resources a pod needs on a node: the sum of containers and sidecars, or the peak of its init containers if
// larger; the pod's own spec.resources if set; plus spec.overhead.
ResourceAmounts requests_of(const Value& pod);

struct HostPort {
  std::string ip;  // "0.0.0.0": every address
  std::string protocol;
  std::int64_t port = 0;
  bool conflicts_with(const HostPort& other) const;
};

// A claim that a pod mounts.
struct ClaimUse {
  std::string name;
  bool ephemeral = false;  // created for the pod from a volumeClaimTemplate
};

struct PodInfo {
  Value pod;
  std::string key;  // "namespace/name"
  std::string uid;
  std::string ns;
  ResourceAmounts requests;
  std::int64_t scored_cpu = 0, scored_memory = 0;  // requests, with defaults for containers without requests
  std::vector<HostPort> ports;
  std::vector<ClaimUse> claims;
  std::int64_t priority = 0;
  bool never_preempts = false;
  bool terminating = false;
  Value labels;
  Value tolerations;
  Value node_selector;  // spec.nodeSelector, required and preferred node affinity; null if not set
  Value node_affinity;
  Value node_preferences;
  std::string requested_node;                   // spec.nodeName of an unscheduled pod
  std::shared_ptr<const NeighbourTerms> terms;  // null: none
};
using PodPtr = std::shared_ptr<const PodInfo>;
PodPtr make_pod_info(const Value& pod);

struct NodeInfo {
  Value node;  // null: pods name the node, but it does not exist
  std::string name;
  bool unschedulable = false;
  bool tainted = false;                 // has taints that exclude pods without a toleration
  bool has_prefer_no_schedule = false;  // has PreferNoSchedule taints
  ResourceAmounts allocatable;
  std::int64_t allowed_pods = 0;
  ResourceAmounts requested;
  std::int64_t scored_cpu = 0, scored_memory = 0;
  std::vector<PodPtr> pods;  // unordered
  std::vector<int> domains;  // by number of the topology key
  int port_users = 0;        // pods with host ports

  int domain(int key) const {
    return static_cast<std::size_t>(key) < domains.size() ? domains[static_cast<std::size_t>(key)] : -1;
  }
};

}  // namespace berth::scheduler

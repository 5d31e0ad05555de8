#pragma once
// Nodes without heartbeats, and their pods. Pure.

#include <map>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::node {

struct NodeHealthConfig {
  // time without a heartbeat after which a node counts as unreachable; upstream's default since 1.32
  Duration grace = 50s;
};

// --- Health: the conditions of a silent node become Unknown, its pods not ready; taints follow the conditions.

struct HealthView {
  Value node;               // null: the node does not exist
  std::vector<Value> pods;  // on it
  Duration silent{};        // since its last heartbeat (a renewed Lease, a posted status)
  bool unknown = false;     // not planned before
};
Plan plan_health(const HealthView& view, const NodeHealthConfig& config, Time now);

// --- Eviction: pods that do not tolerate a NoExecute taint of their node are deleted, at the end of their
// tolerationSeconds.

// Map key of a taint. A pod's tolerationSeconds start at the taint's timeAdded, or if that is missing when the
// controller first saw the taint; for a pod created later, at the pod's creation.
std::string taint_key(const Value& taint);

struct EvictionView {
  Value node;
  std::vector<Value> pods;           // on it
  std::map<std::string, Time> seen;  // when each taint of the node was first seen, by taint_key()
};
Plan plan_eviction(const EvictionView& view, Time now);

}  // namespace berth::controllers::node

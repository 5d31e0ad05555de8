#pragma once
// Nodes that stop answering, and what becomes of their pods. Pure.

#include <map>
#include <string>
#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::node {

struct Config {
  Duration grace = 50s;  // without a sign of life, before a node counts as unreachable; upstream's default since 1.32
};

// --- Health: a silent node's conditions become Unknown, its pods not ready; taints follow the conditions.

struct HealthView {
  Value node;               // null: there is none
  std::vector<Value> pods;  // on it
  Duration silent{};        // since its last sign of life (a renewed Lease, a posted status)
  bool unknown = false;     // never looked at before
};
Plan plan_health(const HealthView& view, const Config& config, Time now);

// --- Eviction: pods leave a node with NoExecute taints once they do not tolerate them (any more).

// A pod's time runs from when it met the taint: when that was added, or, where nobody wrote that down, first seen; for
// a pod that came later, from when the pod was made.
std::string taint_key(const Value& taint);

struct EvictionView {
  Value node;
  std::vector<Value> pods;           // on it
  std::map<std::string, Time> seen;  // when each taint of the node, by taint_key(), was first seen
};
Plan plan_eviction(const EvictionView& view, Time now);

}  // namespace berth::controllers::node

#pragma once
// Nodes that stop answering, and what becomes of their pods. Pure.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::node {

struct Config {
  Duration grace = 40s;       // without a sign of life, before a node counts as unreachable
  Duration quarantine = 40s;  // a node must be missing, before its pods are taken for lost
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

struct EvictionView {
  Value node;
  std::vector<Value> pods;  // on it
};
Plan plan_eviction(const EvictionView& view, Time now);

// --- Lost pods: on nodes that are gone, or deleted before they ever had one.

struct LostView {
  Value pod;                   // null: there is none
  bool node_is_cached = false;
  Duration node_missing{};     // for how long the cache has not had it
  enum class Live { kNotAsked, kThere, kGone } live = Live::kNotAsked;
};
// The server itself has to be asked for the node now.
bool needs_live_node(const LostView& view, const Config& config);
Plan plan_lost(const LostView& view, const Config& config, Time now);

}  // namespace berth::controllers::node

#pragma once
// The plan of a DaemonSet: one pod on every eligible node, none elsewhere, the steps of an update, and the status.
// Pure. Rules, messages and counts are Kubernetes 1.36's:
//   * The pod of a node has node affinity to it and is bound by the scheduler. A node gets no second pod before the
//     first has left the API, except in updates with maxSurge: there the new pod is ready before the old one is
//     deleted.
//   * Failed pods are replaced, on each node with a back-off that doubles from 1 s to 15 min and is reset when the
//     set's spec changes.
//   * Updates make at most maxUnavailable pods unavailable, or create at most maxSurge extra ones; replacing pods that
//     are not available costs nothing.
// A new pod's name is derived from the set, its node and the known pods there: a repeated or concurrent plan creates no
// further pods.

#include <map>
#include <string>
#include <vector>

#include "controllers/daemonset/history.h"
#include "controllers/driver.h"

namespace berth::controllers::daemonset {

struct NodeBackoff {
  Duration delay{};
  Time last{};  // when a failed pod was last deleted
};
using NodeBackoffs = std::map<std::string, NodeBackoff, std::less<>>;  // by node

inline constexpr Duration kFirstBackoff = 1s;
inline constexpr Duration kLongestBackoff = 900s;

struct DaemonSetView {
  Value set;                     // null: the set does not exist
  std::vector<Value> pods;       // controlled by the set
  std::vector<Value> orphans;    // pods of the namespace without a controller
  std::vector<Value> revisions;  // controlled by the set
  std::vector<Value> orphan_revisions;
  RevisionLookup revision;
  std::vector<Value> nodes;  // all, sorted by name
  NodeBackoffs backoffs;     // of this generation of the set
  // number of the set's pods deleted so far: part of the seed of names, so that no name is used twice
  std::int64_t deleted_pods = 0;
};

struct PlanResult {
  Plan plan;
  NodeBackoffs backoffs;  // after the plan was executed
};
PlanResult plan_set(const DaemonSetView& view, Time now);

}  // namespace berth::controllers::daemonset

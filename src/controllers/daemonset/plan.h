#pragma once
// What a DaemonSet needs next: a pod on every node that it is for, none elsewhere, the steps of an update, and its
// status. Pure. The rules, texts and counts are Kubernetes 1.36's:
//   * The pod of a node is bound to it by node affinity and placed by the scheduler. A node has no second pod until the first
//     has left the API, but for updates with maxSurge, where the new one comes before the old one goes.
//   * Pods that failed are replaced, on each node with a back-off that doubles from 1 s to 15 min and is forgotten when the
//     set's spec changes.
//   * Updates take down at most maxUnavailable pods, or put at most maxSurge beside; pods that serve nobody cost nothing.
// A new pod's name is drawn from the set, its node and the pods known there: a repeated or doubled decision does not
// make more pods.

#include <map>
#include <string>
#include <vector>

#include "controllers/daemonset/history.h"
#include "controllers/driver.h"

namespace berth::controllers::daemonset {

struct Backoff {
  Duration delay{};
  Time last{};  // when a failed pod was deleted last
};
using Backoffs = std::map<std::string, Backoff, std::less<>>;  // by node

inline constexpr Duration kFirstBackoff = 1s;
inline constexpr Duration kLongestBackoff = 900s;

struct View {
  Value set;                     // null: there is none
  std::vector<Value> pods;       // controlled by the set
  std::vector<Value> orphans;    // pods of the namespace without a controller
  std::vector<Value> revisions;  // controlled by the set
  std::vector<Value> orphan_revisions;
  Lookup revision;
  std::vector<Value> nodes;  // all, in order of their names
  Backoffs backoffs;         // of this generation of the set
  std::int64_t gone = 0;     // pods of the set that have left so far: no name is drawn twice
};

struct Decision {
  Plan plan;
  Backoffs backoffs;  // as they are once the plan is carried out
};
Decision plan_set(const View& view, Time now);

}  // namespace berth::controllers::daemonset

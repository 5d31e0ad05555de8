#pragma once
// What a StatefulSet needs next. Pure: an immutable view and the time in, a Plan out.
//
// The rules are Kubernetes 1.36's:
//   * OrderedReady: pods are created from the first ordinal up, each after all before it are Running, Ready and
//     available; they are removed from the last down, one at a time, each only while everything else is healthy.
//     Parallel: at once.
//   * A pod that ended (Failed, Succeeded) or was deleted comes back under the same name, with the same claims, after
//     the old one has left the API.
//   * Claims exist before their pod, and are never deleted here: with the Delete policies owner references leave that
//     to the garbage collector.
//   * Rolling update: from the last ordinal down to the partition, at most maxUnavailable members missing.
//   * status counts the plan's own writes.
// Where upstream's could lose data or wait for ever, this one does not: a claim is given to its pod only out of a
// confirmed view and taken back while the pod lives; claims of empty places follow a changed retention policy; condemned
// pods that have ended do not block each other.

#include <vector>

#include "controllers/driver.h"
#include "controllers/statefulset/revisions.h"

namespace berth::controllers::statefulset {

struct View {
  Value set;                     // null: there is none
  std::vector<Value> pods;       // controlled by the set, in any order
  std::vector<Value> orphans;    // pods without controller in its namespace that may be members
  std::vector<Value> revisions;  // controlled by the set
  std::vector<Value> orphan_revisions;
  std::vector<Value> claims;    // that the set is the controlling owner of
  Lookup pod, claim, revision;  // by name, in the set's namespace, whoever owns them
};

Plan plan_set(const View& view, Time now);

}  // namespace berth::controllers::statefulset

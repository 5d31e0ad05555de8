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
// confirmed view and taken back while the pod lives; claims of empty list follow a changed retention policy; condemned
// pods that have ended do not block each other.
//
// Beyond upstream's, and without being asked:
//   * A broken member (not ready, and not about to be) of an old template is replaced when the template changes again.
//   * After an outage of all members those that were ready before start together, unless a rollout is under way.
//   * A member that fails again and again is replaced with exponential back-off.
//   * The condition Progressing says in a sentence what is waited for; at rest it causes no write.
// And where the set asks for it (api/set_options.h): ordered teardown, skipped ordinals, overrides of single ordinals,
// changes of claim templates, Recreate, one budget for everything.

#include <functional>
#include <vector>

#include "controllers/driver.h"
#include "controllers/shared/controller_revisions.h"
#include "controllers/shared/losses.h"

namespace berth::controllers::statefulset {

struct View {
  Value set;                     // null: there is none
  std::vector<Value> pods;       // controlled by the set, in any order
  std::vector<Value> orphans;    // pods without controller in its namespace that may be members
  std::vector<Value> revisions;  // controlled by the set
  std::vector<Value> orphan_revisions;
  std::vector<Value> claims;    // that the set is the controlling owner of
  Lookup pod, claim, revision;  // by name, in the set's namespace, whoever owns them
  Lookup storage_class;         // by name; may be empty where the set's claim templates cannot change
  std::vector<Value> budgets;   // the namespace's PodDisruptionBudgets with berth.dev/budget-everything
  // How often a member failed of late, and when last. May be empty: nothing is known.
  struct Failures {
    int count = 0;
    Time last{};
    bool taken = false;    // the last one was taken away by a controller: there is no pod left to hold back
    std::string revision;  // of the last one
  };
  std::function<Failures(int ordinal)> failures;
};

Plan plan_set(const View& view, Time now);

}  // namespace berth::controllers::statefulset

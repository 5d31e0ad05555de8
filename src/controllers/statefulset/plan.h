#pragma once
// The plan of a StatefulSet. Pure: an immutable view and the time go in, a Plan comes out.
//
// The rules are Kubernetes 1.36's:
//   * OrderedReady: pods are created from the first ordinal up, each after all lower ordinals are Running, Ready and
//     available; they are removed from the last down, one at a time, each only while all other pods are healthy.
//     Parallel: all at once.
//   * A pod that ended (Failed, Succeeded) or was deleted is created again under the same name, with the same claims,
//     after the old pod has left the API.
//   * Claims exist before their pod, and this controller never deletes them: with the Delete policies it sets owner
//     references, and the garbage collector deletes.
//   * Rolling update: from the last ordinal down to the partition, with at most maxUnavailable pods unavailable.
//   * The counts in status include the plan's own writes.
// Differences from upstream, where its rules could lose data or wait for ever: a claim gets a pod as owner only after a
// live read confirmed set and pod, and loses that owner while the pod still exists; claims of ordinals without a pod
// follow a changed retention policy; surplus pods that have ended do not block each other.
//
// Additions that are always on:
//   * A broken pod (not ready, and not about to become ready) of an old template is replaced when the template changes
//     again.
//   * After an outage of all pods, the pods that were ready before start together, unless a rollout is in progress.
//   * A pod that fails repeatedly is replaced with exponential back-off.
//   * The condition Progressing explains in a sentence what the set waits for; a set that waits for nothing is not
//     written.
// Additions that the set enables (api/set_options.h): ordered teardown, skipped ordinals, overrides of single ordinals,
// changes of claim templates, Recreate, one disruption budget for rollouts and scale-downs.

#include <functional>
#include <vector>

#include "controllers/driver.h"
#include "controllers/shared/controller_revisions.h"
#include "controllers/shared/losses.h"

namespace berth::controllers::statefulset {

struct StatefulSetView {
  Value set;                     // null: the set does not exist
  std::vector<Value> pods;       // controlled by the set, in any order
  std::vector<Value> orphans;    // pods without controller in the set's namespace whose names fit the set
  std::vector<Value> revisions;  // controlled by the set
  std::vector<Value> orphan_revisions;
  std::vector<Value> claims;    // claims whose controlling owner is the set
  Lookup pod, claim, revision;  // by name, in the set's namespace, whatever their owner
  Lookup storage_class;         // by name; may be empty if the set's claim templates cannot change
  std::vector<Value> budgets;   // the namespace's PodDisruptionBudgets with berth.dev/budget-everything
  // How often a pod failed recently, and when last. May be empty: no failures are known.
  struct Failures {
    int count = 0;
    Time last{};
    bool disrupted =
        false;             // the last one was disrupted by a controller: no pod is left whose deletion could be delayed
    std::string revision;  // of the last one
  };
  std::function<Failures(int ordinal)> failures;
};

Plan plan_set(const StatefulSetView& view, Time now);

}  // namespace berth::controllers::statefulset

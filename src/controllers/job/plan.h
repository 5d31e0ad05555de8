#pragma once
// The plan of a Job: pods to create, to delete or to count, and the status. Pure.
//
// Pod names are derived from the state, as those of ReplicaSets: two plans of the same state choose the same names.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::job {

struct JobView {
  Value job;                           // null: the job does not exist
  std::vector<Value> pods;             // controlled by the job
  std::vector<Value> orphans;          // pods of the namespace without a controller
  std::vector<Time> removed_failures;  // when failed pods ended that are counted and now gone or being deleted
};

Plan plan_job(const JobView& view, Time now);

// The plan of a pod that may have the finalizer of a job that does not count it any more. `owner`: the job with the uid
// that controls the pod, or null.
Plan plan_stray_pod(const Value& pod, const Value& owner);

// Deletes a finished job after its TTL.
Plan plan_expiry(const Value& job, Time now);

}  // namespace berth::controllers::job

#pragma once
// What a Job needs next: pods to create, to delete or to count, and its status. Pure.
//
// Pods are named as ReplicaSets name theirs: whoever decides from the same state takes the same names.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::job {

struct View {
  Value job;                   // null: there is none
  std::vector<Value> pods;     // controlled by the job
  std::vector<Value> orphans;  // pods of the namespace without a controller
  std::vector<Time> departed;  // when pods failed that were counted and are gone since, or on their way
};

Plan plan_job(const View& view, Time now);

// A pod that may carry the finalizer of a job that no longer counts it: `owner` is the job that controls it, as far as
// there is one of that uid.
Plan plan_stray_pod(const Value& pod, const Value& owner);

// Deletes a finished job whose time is over.
Plan plan_expiry(const Value& job, Time now);

}  // namespace berth::controllers::job

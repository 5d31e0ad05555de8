#pragma once
// Facts about a job's pods. Pure.
//
// A job's pods have a finalizer until they are counted in the job's status, so that each is counted exactly once: first
// the pod's uid is written into the status, then its finalizer is removed, then the uid is replaced by an increment of
// the count.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "controllers/driver.h"

namespace berth::controllers::job {

inline constexpr std::string_view kTracking = "batch.kubernetes.io/job-tracking";  // the finalizer
inline constexpr std::string_view kIndex = "batch.kubernetes.io/job-completion-index";
inline constexpr std::string_view kFailures = "batch.kubernetes.io/job-index-failure-count";
inline constexpr std::string_view kIgnoredFailures = "batch.kubernetes.io/job-index-ignored-failure-count";

bool is_finished(const Value& job);           // Complete or Failed
bool is_managed_elsewhere(const Value& job);  // spec.managedBy names another controller
bool is_indexed(const Value& job);
bool replaces_only_failed(const Value& job);  // pods being deleted are not replaced before they have ended

bool is_tracked(const Value& pod);  // has the finalizer
bool is_active(const Value& pod);   // neither ended nor being deleted
bool has_failed(const Value& pod, const Value& job);
std::int64_t index_of(const Value& pod);     // -1: none
std::int64_t failures_of(const Value& pod);  // of the pod's index, before this pod
std::int64_t ignored_failures_of(const Value& pod);
Time finished_at(const Value& pod);

// The result of a job's podFailurePolicy for a failed pod.
struct FailureMatch {
  std::string ends_job;  // not empty: the job fails with this message
  bool ends_index = false;
  bool counts = true;  // the failure counts towards the limits
};
FailureMatch match_failure(const Value& policy, const Value& pod);

// The remaining delay of a replacement after so many failures, the last of them at that time.
Duration backoff_left(std::int64_t failures, Time last_failure, Time now);

Action untrack(const Value& pod);  // removes the finalizer

}  // namespace berth::controllers::job

#pragma once
// What a job reads off its pods. Pure.
//
// A job's pods carry a finalizer until they are counted in the job's status, so that none is forgotten, and none is
// counted twice: first the pod's uid is written into the status, then its finalizer is taken away, then the uid becomes
// a number.

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
bool replaces_only_failed(const Value& job);  // pods that are being deleted are not replaced before they have ended

bool is_tracked(const Value& pod);  // has the finalizer
bool is_active(const Value& pod);   // neither ended nor being deleted
bool has_failed(const Value& pod, const Value& job);
std::int64_t index_of(const Value& pod);     // -1: none
std::int64_t failures_of(const Value& pod);  // of the pod's index, before this pod
std::int64_t ignored_failures_of(const Value& pod);
Time finished_at(const Value& pod);

// What a job's podFailurePolicy says about a failed pod.
struct FailureMatch {
  std::string ends_job;  // not empty: the job fails, for this reason
  bool ends_index = false;
  bool counts = true;  // towards the limits
};
FailureMatch match_failure(const Value& policy, const Value& pod);

// How long to wait before a replacement after so many failures, the last one at that time.
Duration backoff_left(std::int64_t failures, Time last_failure, Time now);

Action untrack(const Value& pod);  // takes the finalizer away

}  // namespace berth::controllers::job

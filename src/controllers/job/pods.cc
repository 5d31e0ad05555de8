#include "controllers/job/pods.h"

#include <algorithm>

#include "api/metadata.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::job {
namespace {

constexpr Duration kFirstBackoff = 10s;
constexpr Duration kLongestBackoff = 600s;

std::int64_t number_in(const Value& pod, std::string_view annotation) {
  const Result<long> number = parse_int(api::annotation_of(pod, annotation));
  return number.ok() && *number >= 0 && *number <= INT32_MAX ? *number : 0;
}

bool code_matches(const Value& requirement, std::int64_t code) {
  const Value& values = requirement["values"];
  const bool listed = std::any_of(values.begin(), values.end(), [&](const Value& one) { return one.as_int() == code; });
  return requirement["operator"].as_string() == "In" ? listed
                                                     : requirement["operator"].as_string() == "NotIn" && !listed;
}

// The first ended container that matches; null if there is none.
const Value& matching_container(const Value& requirement, const Value& pod) {
  static const Value kNone;
  for (const char* list : {"containerStatuses", "initContainerStatuses"}) {
    for (const Value& container : pod["status"][list]) {
      const Value& terminated = container["state"]["terminated"];
      if (!terminated.is_object() || terminated["exitCode"].as_int() == 0) continue;
      const Value& only = requirement["containerName"];
      if (only.is_string() && only != container["name"]) continue;
      if (code_matches(requirement, terminated["exitCode"].as_int())) return container;
    }
  }
  return kNone;
}

const Value& matching_condition(const Value& patterns, const Value& pod) {
  static const Value kNone;
  for (const Value& condition : pod["status"]["conditions"]) {
    for (const Value& pattern : patterns) {
      if (condition["type"] == pattern["type"] && condition["status"] == pattern["status"]) return condition;
    }
  }
  return kNone;
}

std::optional<Time> time_of(const Value& text) {
  const Result<Time> parsed = parse_time(text.as_string());
  return parsed.ok() ? std::optional(*parsed) : std::nullopt;
}

}  // namespace

bool is_finished(const Value& job) {
  return api::condition_is_true(job, "Complete") || api::condition_is_true(job, "Failed");
}
bool is_managed_elsewhere(const Value& job) {
  const Value& manager = job["spec"]["managedBy"];
  return manager.is_string() && manager.as_string() != "kubernetes.io/job-controller";
}
bool is_indexed(const Value& job) { return job["spec"]["completionMode"].as_string() == "Indexed"; }
bool replaces_only_failed(const Value& job) {
  return job["spec"]["podReplacementPolicy"].as_string() == "Failed" || job["spec"]["podFailurePolicy"].is_object();
}

bool is_tracked(const Value& pod) { return api::has_finalizer(pod, kTracking); }
bool is_active(const Value& pod) { return !api::is_pod_terminal(pod) && !api::is_terminating(pod); }

bool has_failed(const Value& pod, const Value& job) {
  const std::string_view phase = pod["status"]["phase"].as_string();
  if (phase == "Failed") return true;
  // A pod being deleted may be removed without reaching phase Failed.
  return !replaces_only_failed(job) && api::is_terminating(pod) && phase != "Succeeded";
}

std::int64_t index_of(const Value& pod) {
  const Result<long> number = parse_int(api::annotation_of(pod, kIndex));
  return number.ok() && *number >= 0 ? *number : -1;
}
std::int64_t failures_of(const Value& pod) { return number_in(pod, kFailures); }
std::int64_t ignored_failures_of(const Value& pod) { return number_in(pod, kIgnoredFailures); }

Time finished_at(const Value& pod) {
  std::optional<Time> latest;
  bool all = true;
  for (const Value& container : pod["status"]["containerStatuses"]) {
    const std::optional<Time> ended = time_of(container["state"]["terminated"]["finishedAt"]);
    all = all && ended;
    if (ended && (!latest || *latest < *ended)) latest = ended;
  }
  if (all && latest) return *latest;
  const Value& ready = api::condition_of(pod, "Ready");
  if (const auto since = time_of(ready["lastTransitionTime"]); since && ready["status"].as_string() == "False")
    return *since;
  if (const auto until = time_of(pod["metadata"]["deletionTimestamp"])) {
    return *until - seconds_in(pod["metadata"]["deletionGracePeriodSeconds"]);
  }
  return time_of(pod["metadata"]["creationTimestamp"]).value_or(Time());
}

FailureMatch match_failure(const Value& policy, const Value& pod) {
  FailureMatch match;
  std::size_t index = 0;
  for (const Value& rule : policy["rules"]) {
    const std::string_view action = rule["action"].as_string();
    const bool by_code = rule["onExitCodes"].is_object();
    const Value& found =
        by_code ? matching_container(rule["onExitCodes"], pod) : matching_condition(rule["onPodConditions"], pod);
    const std::string rule_text = " matching " + std::string(action) + " rule at index " + std::to_string(index++);
    if (found.is_null()) continue;
    const std::string name = api::name_key(pod).to_string();
    match.counts = action != "Ignore";
    match.ends_index = action == "FailIndex";
    if (action == "FailJob" && by_code) {
      match.ends_job = "Container " + found["name"].str() + " for pod " + name + " failed with exit code " +
                       std::to_string(found["state"]["terminated"]["exitCode"].as_int()) + rule_text;
    } else if (action == "FailJob") {
      match.ends_job = "Pod " + name + " has condition " + found["type"].str() + rule_text;
    }
    return match;
  }
  return match;
}

Duration backoff_left(std::int64_t failures, Time last_failure, Time now) {
  if (failures <= 0) return Duration::zero();
  Duration backoff = kFirstBackoff;
  for (std::int64_t i = 1; i < failures && backoff < kLongestBackoff; ++i) backoff *= 2;
  backoff = std::min(backoff, kLongestBackoff);
  return std::max(Duration::zero(), backoff - (now - last_failure));
}

Action untrack(const Value& pod) {
  Value change = Value::object({{"$deleteFromPrimitiveList/finalizers", Value::array({kTracking})}});
  return patch(api::resources::kPods, pod, api::PatchType::kStrategic, Value::object({{"metadata", change}}));
}

}  // namespace berth::controllers::job

#include "controllers/deployment/status.h"

#include <algorithm>
#include <limits>

#include "api/object.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/deployment/revisions.h"
#include "controllers/shared/numbers.h"

namespace berth::controllers::deployment {
namespace {

const Value& condition_in(const Value& conditions, std::string_view type) {
  static const Value none;
  for (const Value& one : conditions) {
    if (one["type"].as_string() == type) return one;
  }
  return none;
}

bool is_progressing(const Value& old, const Value& now) {
  auto number = [](const Value& status, const char* field) { return status[field].as_int(); };
  return number(now, "updatedReplicas") > number(old, "updatedReplicas") ||
         number(now, "replicas") - number(now, "updatedReplicas") <
             number(old, "replicas") - number(old, "updatedReplicas") ||
         number(now, "readyReplicas") > number(old, "readyReplicas") ||
         number(now, "availableReplicas") > number(old, "availableReplicas");
}

std::optional<Time> deadline(const Value& deployment, const Value& condition) {
  const auto since = parse_time(condition["lastUpdateTime"].as_string());
  if (condition.is_null() || !since.ok()) return std::nullopt;
  return since.value() + seconds_in(deployment["spec"]["progressDeadlineSeconds"], 600);
}

bool is_timed_out(const Value& deployment, const Value& condition, Time now) {
  const std::string_view reason = condition["reason"].as_string();
  if (condition.is_null() || reason == "NewReplicaSetAvailable") return false;
  if (reason == "ProgressDeadlineExceeded") return true;
  const auto at = deadline(deployment, condition);
  return at && now > *at;
}

// Replaces the condition even if it is equal, so that lastUpdateTime is that of the last progress.
void replace_condition(Value& conditions, std::string_view type, std::string_view status, std::string_view reason,
                       const std::string& message, Time now) {
  const Value old = condition_in(conditions, type);
  remove_condition(conditions, type);
  set_condition(conditions, type, status, reason, message, now);
  if (old["status"].as_string() != status) return;
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (conditions[i]["type"].as_string() == type)
      conditions.mut(i).set("lastTransitionTime", old["lastTransitionTime"]);
  }
}

// A condition copied from a set retains its times.
void copy_times(Value& conditions, const Value& original) {
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (conditions[i]["type"] != original["type"]) continue;
    conditions.mut(i)
        .set("lastTransitionTime", original["lastTransitionTime"])
        .set("lastUpdateTime", original["lastTransitionTime"]);
  }
}

void update_progress(const StatusView& view, Value& status, Value& conditions, Time now) {
  const Value& deployment = view.deployment;
  const Value current = condition_in(conditions, "Progressing");
  const bool is_observed = status["replicas"].as_int() == status["updatedReplicas"].as_int() &&
                           current["reason"].as_string() == "NewReplicaSetAvailable";
  if (is_observed) return;
  const std::string what = view.new_set.is_null() ? "Deployment " + quoted(api::name_of(deployment))
                                                  : "ReplicaSet " + quoted(api::name_of(view.new_set));
  if (is_complete(deployment, status)) {
    set_condition(conditions, "Progressing", "True", "NewReplicaSetAvailable", what + " has successfully progressed.",
                  now);
  } else if (is_progressing(deployment["status"], status)) {
    replace_condition(conditions, "Progressing", "True", "ReplicaSetUpdated", what + " is progressing.", now);
  } else if (is_timed_out(deployment, current, now)) {
    set_condition(conditions, "Progressing", "False", "ProgressDeadlineExceeded", what + " has timed out progressing.",
                  now);
  }
}

}  // namespace

void set_condition(Value& conditions, std::string_view type, std::string_view status, std::string_view reason,
                   const std::string& message, Time now) {
  const Value old = condition_in(conditions, type);
  if (old["status"].as_string() == status && old["reason"].as_string() == reason) return;
  const std::string at = format_time(now);
  Value fresh = Value::object(
      {{"type", type},
       {"status", status},
       {"reason", reason},
       {"message", message},
       {"lastUpdateTime", at},
       {"lastTransitionTime", old["status"].as_string() == status ? old["lastTransitionTime"] : Value(at)}});
  remove_condition(conditions, type);
  conditions.push(std::move(fresh));
}

void remove_condition(Value& conditions, std::string_view type) {
  Value left = Value::array();
  for (const Value& one : conditions) {
    if (one["type"].as_string() != type) left.push(one);
  }
  conditions = std::move(left);
}

bool has_deadline(const Value& deployment) {
  const Value& seconds = deployment["spec"]["progressDeadlineSeconds"];
  return !seconds.is_null() && seconds.as_int() != std::numeric_limits<std::int32_t>::max();
}

bool is_complete(const Value& deployment, const Value& status) {
  const int desired = replicas_of(deployment);
  return status["updatedReplicas"].as_int() == desired && status["replicas"].as_int() == desired &&
         status["availableReplicas"].as_int() == desired &&
         status["observedGeneration"].as_int() >= deployment["metadata"]["generation"].as_int();
}

Value status_of(const StatusView& view, bool scaling, Time now) {
  const Value& deployment = view.deployment;
  std::int64_t desired = 0, replicas = 0, ready = 0, available = 0, terminating = 0;
  bool all_reported = true;  // every observed set reports how many of its pods are terminating
  Value failure;
  for (const Value& set : view.sets) {
    desired += replicas_of(set);
    replicas += set["status"]["replicas"].as_int();
    ready += set["status"]["readyReplicas"].as_int();
    available += set["status"]["availableReplicas"].as_int();
    terminating += set["status"]["terminatingReplicas"].as_int();
    all_reported = all_reported &&
                   (set["status"]["terminatingReplicas"].is_int() || set["status"]["observedGeneration"].as_int() == 0);
    const Value& failed = api::condition_of(set, "ReplicaFailure");
    const bool is_new = api::uid_of(set) == api::uid_of(view.new_set);
    if (failed["status"].as_string() == "True" && (failure.is_null() || is_new)) failure = failed;
  }
  Value status = Value::object({{"observedGeneration", deployment["metadata"]["generation"].as_int()},
                                {"replicas", replicas},
                                {"updatedReplicas", view.new_set["status"]["replicas"].as_int()},
                                {"readyReplicas", ready},
                                {"availableReplicas", available},
                                {"unavailableReplicas", std::max<std::int64_t>(0, desired - available)},
                                {"terminatingReplicas", all_reported ? Value(terminating) : Value()}});
  Value conditions = deployment["status"]["conditions"];
  if (conditions.is_null()) conditions = Value::array();
  if (available >= replicas_of(deployment) - bounds_of(deployment).unavailable) {
    set_condition(conditions, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.",
                  now);
  } else {
    set_condition(conditions, "Available", "False", "MinimumReplicasUnavailable",
                  "Deployment does not have minimum availability.", now);
  }
  if (!scaling) {
    if (has_deadline(deployment)) {
      update_progress(view, status, conditions, now);
    } else {
      remove_condition(conditions, "Progressing");
    }
    if (failure.is_null()) {
      remove_condition(conditions, "ReplicaFailure");
    } else {
      const Value before = condition_in(conditions, "ReplicaFailure");
      set_condition(conditions, "ReplicaFailure", "True", failure["reason"].as_string(), failure["message"].str(), now);
      if (condition_in(conditions, "ReplicaFailure") != before) copy_times(conditions, failure);
    }
  }
  status.set("conditions", std::move(conditions));
  return status;
}

std::optional<Duration> deadline_in(const Value& deployment, const Value& status, Time now) {
  if (!has_deadline(deployment) || is_complete(deployment, status)) return std::nullopt;
  const Value& condition = condition_in(status["conditions"], "Progressing");
  const std::string_view reason = condition["reason"].as_string();
  if (reason == "NewReplicaSetAvailable" || reason == "ProgressDeadlineExceeded") return std::nullopt;
  const auto at = deadline(deployment, condition);
  if (!at) return std::nullopt;
  return std::max<Duration>(*at - now, Duration::zero()) + 1s;  // times are written in seconds
}

}  // namespace berth::controllers::deployment

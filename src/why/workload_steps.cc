// Steps for Deployments, ReplicaSets, DaemonSets and Jobs: their own conditions, then the first pod that they wait for.
#include <algorithm>

#include "api/selector.h"
#include "base/text.h"
#include "controllers/job/pods.h"
#include "why/explanation.h"

namespace berth::why {
namespace {

using namespace api::resources;  // NOLINT

std::vector<Value> owned(Explanation& explanation, const api::Resource& resource, const Value& owner) {
  const auto selector = api::LabelSelector::of_object(owner["spec"]["selector"]);
  if (!selector.ok()) return {};
  std::vector<Value> objects = explanation.list(resource, selector->to_string());
  std::erase_if(objects, [&](const Value& object) { return !api::is_controlled_by(object, api::uid_of(owner)); });
  return objects;
}

// Returns true if the object is being deleted, or its controller has not observed its present generation: then nothing
// else is worth reporting.
bool explain_state(Explanation& explanation, const Value& object, Line& line) {
  if (api::is_terminating(object)) {
    line.severity = Severity::kWaiting;
    line.state += ", being deleted";
    line.since = time_in(object["metadata"]["deletionTimestamp"]);
    line.why = finalizer_text(object);
    return true;
  }
  const Value& seen = object["status"]["observedGeneration"];
  const std::int64_t generation = object["metadata"]["generation"].as_int();
  // A Job's status has no observedGeneration.
  if (object["kind"].as_string() == "Job" || generation == 0 || seen.as_int() >= generation) return false;
  line.severity = Severity::kWaiting;
  line.why = "its last change (generation " + std::to_string(generation) + ") has not been taken up by its controller";
  line.hint = "berth status";
  return true;
}

void copy_condition(const Value& condition, Severity severity, Line& line) {
  line.severity = severity;
  line.since = changed_at(condition);
  line.why = shortened(condition["message"].as_string());
}

void explain_first_waiting(Explanation& explanation, const std::vector<Value>& pods, int depth) {
  const Value pod = first_waiting(pods);
  if (!pod.is_null()) explain_pod(explanation, pod, depth);
}

// Missing pods: the reason that the controller's events give.
void explain_missing_pods(Explanation& explanation, const Value& owner, std::int64_t missing, int depth) {
  if (missing <= 0) return;
  Line& line = explanation.add(depth, Severity::kWaiting, counted(missing, "pod"), "not made yet");
  const Value event = newest(explanation.events_of(owner), [](const Value& event) {
    return is_warning(event) && event["reason"].as_string() == "FailedCreate";
  });
  line.why = "the controller is about to make " + std::string(missing == 1 ? "it" : "them");
  if (event.is_null()) return;
  line.severity = Severity::kBroken;
  line.since = time_of_event(event);
  line.why = shortened(event["message"].as_string());
}

// A job without an active pod: its back-off after failures, and the last failure.
void explain_retry(Explanation& explanation, const Value& job, const std::vector<Value>& pods, int depth) {
  Time last_success{};
  for (const Value& pod : pods) {
    if (pod["status"]["phase"].as_string() == "Succeeded")
      last_success = std::max(last_success, controllers::job::finished_at(pod));
  }
  const Value* last = nullptr;
  std::int64_t failures = 0;
  for (const Value& pod : pods) {
    if (pod["status"]["phase"].as_string() != "Failed" || controllers::job::finished_at(pod) <= last_success) continue;
    ++failures;
    if (!last || controllers::job::finished_at(*last) < controllers::job::finished_at(pod)) last = &pod;
  }
  if (!last) return explain_missing_pods(explanation, job, 1, depth);
  const Duration left =
      controllers::job::backoff_left(failures, controllers::job::finished_at(*last), explanation.now());
  Line& line = explanation.add(depth, Severity::kWaiting, "next pod",
                               left > Duration::zero() ? "in " + human_duration(left) : "due");
  line.why = "after " + counted(failures, "failure") + " on end the job waits before it tries again";
  explain_pod(explanation, *last, depth);
}

std::string count_text(std::int64_t ready, std::int64_t expected, std::string_view word) {
  return std::to_string(ready) + " of " + std::to_string(expected) + " " + std::string(word);
}

}  // namespace

void explain_replica_set(Explanation& explanation, const Value& set, int depth) {
  const std::int64_t expected = set["spec"]["replicas"].as_int(1);
  const std::vector<Value> pods = owned(explanation, kPods, set);
  const auto ready = std::count_if(pods.begin(), pods.end(), is_pod_well);
  Line& line = explanation.add(depth, ready == expected ? Severity::kGood : Severity::kWaiting,
                               "replicaset/" + std::string(api::name_of(set)), count_text(ready, expected, "ready"));
  if (explain_state(explanation, set, line) || explanation.incomplete()) return;
  const auto staying = std::count_if(pods.begin(), pods.end(), [](const Value& pod) {
    return !api::is_terminating(pod) && !api::is_pod_terminal(pod);
  });
  if (api::condition_is_true(set, "ReplicaFailure"))
    copy_condition(api::condition_of(set, "ReplicaFailure"), Severity::kBroken, line);
  explain_missing_pods(explanation, set, expected - staying, depth + 1);
  explain_first_waiting(explanation, pods, depth + 1);
}

void explain_deployment(Explanation& explanation, const Value& deployment, int depth) {
  const std::int64_t expected = deployment["spec"]["replicas"].as_int(1);
  const Value& status = deployment["status"];
  Line& line = explanation.add(depth, Severity::kGood, "deployment/" + std::string(api::name_of(deployment)),
                               count_text(status["availableReplicas"].as_int(), expected, "available"));
  if (explain_state(explanation, deployment, line)) return;
  const bool complete = status["updatedReplicas"].as_int() == expected && status["replicas"].as_int() == expected &&
                        status["availableReplicas"].as_int() == expected;
  const Value& progressing = api::condition_of(deployment, "Progressing");
  // NewReplicaSetAvailable stays after the rollout even if pods fail later: then the condition Available explains more.
  const bool rolled_out = progressing["reason"].as_string() == "NewReplicaSetAvailable";
  if (!complete)
    copy_condition(rolled_out ? api::condition_of(deployment, "Available") : progressing, Severity::kWaiting, line);
  if (progressing["reason"].as_string() == "ProgressDeadlineExceeded") line.severity = Severity::kBroken;
  if (deployment["spec"]["paused"].as_bool()) {
    line.state += ", paused";
    line.severity = std::max(line.severity, Severity::kNote);
    line.hint = explanation.kubectl("rollout resume deployment/" + std::string(api::name_of(deployment)));
  }
  if (api::condition_is_true(deployment, "ReplicaFailure"))
    copy_condition(api::condition_of(deployment, "ReplicaFailure"), Severity::kBroken, line);
  // The newest set first: its pods must become available.
  std::vector<Value> sets = owned(explanation, kReplicaSets, deployment);
  auto revision = [](const Value& set) {
    Result<long> number = parse_int(api::annotation_of(set, "deployment.kubernetes.io/revision"));
    return number.ok() ? *number : 0;
  };
  std::stable_sort(sets.begin(), sets.end(), [&](const Value& a, const Value& b) { return revision(a) > revision(b); });
  for (std::size_t i = 0; i < sets.size(); ++i) {
    const Value& set = sets[i];
    if (i == 0) {
      explain_replica_set(explanation, set, depth + 1);
    } else if (set["status"]["replicas"].as_int() > 0) {
      Line& old = explanation.add(depth + 1, Severity::kNote, "replicaset/" + std::string(api::name_of(set)),
                                  counted(set["status"]["replicas"].as_int(), "pod"));
      old.why = "of an older revision; its pods go as the new ones become available";
    }
  }
}

void explain_daemon_set(Explanation& explanation, const Value& set, int depth) {
  const Value& status = set["status"];
  const std::int64_t expected = status["desiredNumberScheduled"].as_int(), ready = status["numberReady"].as_int(),
                     updated = status["updatedNumberScheduled"].as_int();
  Line& line = explanation.add(depth, ready < expected ? Severity::kWaiting : Severity::kGood,
                               "daemonset/" + std::string(api::name_of(set)), count_text(ready, expected, "ready"));
  if (explain_state(explanation, set, line)) return;
  if (updated < expected) {
    const bool on_delete = set["spec"]["updateStrategy"]["type"].as_string() == "OnDelete";
    line.severity = std::max(line.severity, on_delete ? Severity::kNote : Severity::kWaiting);
    line.why = count_text(updated, expected, "updated") +
               (on_delete ? "; the others stay until deleted: the update strategy is OnDelete" : "");
  }
  if (expected == 0) line.why = "no node is to have a pod of it";
  const std::vector<Value> pods = owned(explanation, kPods, set);
  if (explanation.incomplete()) return;
  explain_missing_pods(explanation, set, expected - status["currentNumberScheduled"].as_int(), depth + 1);
  explain_first_waiting(explanation, pods, depth + 1);
}

void explain_job(Explanation& explanation, const Value& job, int depth) {
  const Value& status = job["status"];
  const std::string name(api::name_of(job));
  const std::int64_t expected = job["spec"]["completions"].as_int(1), done = status["succeeded"].as_int(),
                     failed = status["failed"].as_int();
  Line& line = explanation.add(depth, Severity::kWaiting, "job/" + name, count_text(done, expected, "completed"),
                               time_in(status["startTime"]));
  if (explain_state(explanation, job, line)) return;
  if (const Value& complete = api::condition_of(job, "Complete"); complete["status"].as_string() == "True") {
    line.severity = Severity::kGood;
    line.since = changed_at(complete);
    return;
  }
  for (const char* type : {"Failed", "FailureTarget"}) {
    if (!api::condition_is_true(job, type)) continue;
    const Value& condition = api::condition_of(job, type);
    copy_condition(condition, Severity::kBroken, line);
    line.state = "Failed (" + condition["reason"].str() + ")";
    line.hint = explanation.kubectl("logs job/" + name);
    return;
  }
  if (job["spec"]["suspend"].as_bool()) {
    line.state += ", suspended";
    line.why = "a suspended job makes no pods";
    line.hint = explanation.kubectl("patch job " + name + R"( -p '{"spec":{"suspend":false}}')");
    return;
  }
  const std::vector<Value> pods = owned(explanation, kPods, job);
  if (explanation.incomplete()) return;
  if (failed > 0) {
    Line& tries = explanation.add(depth + 1, Severity::kNote, "tries", std::to_string(failed) + " failed");
    tries.why = "after " + std::to_string(job["spec"]["backoffLimit"].as_int(6)) + " failures the job gives up";
    tries.hint = explanation.kubectl("logs job/" + name);
  }
  std::vector<Value> active = pods;
  std::erase_if(active, [](const Value& pod) { return api::is_pod_terminal(pod); });
  if (active.empty() && status["startTime"].is_null()) {
    line.why = "its controller has not taken it up yet";
    return;
  }
  if (active.empty()) return explain_retry(explanation, job, pods, depth + 1);
  const Value first = first_waiting(active);
  if (!first.is_null()) return explain_pod(explanation, first, depth + 1);
  line.why = counted(static_cast<std::int64_t>(active.size()), "pod") + " at work";
  for (const Value& pod : active) {
    const auto at_work = changed_at(api::condition_of(pod, "Ready"));
    explanation.add(depth + 1, Severity::kWaiting, "pod/" + std::string(api::name_of(pod)), "at work", at_work).why =
        "the job waits for it to end";
    break;
  }
}

}  // namespace berth::why

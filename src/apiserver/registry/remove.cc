// Deletion: preconditions, grace, finalizers, propagation.
#include <algorithm>

#include "api/status.h"
#include "apiserver/registry/state.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

constexpr const char* kOrphan = "orphan";
constexpr const char* kForeground = "foregroundDeletion";
constexpr const char* kPodsStay =
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning";

Status check_preconditions(const api::schema::Kind& kind, const Value& object, const api::DeleteOptions& options) {
  // Upstream names the kind, not the collection, in these two.
  api::Resource shown{kind.group, kind.version, kind.kind};
  if (!options.uid.empty() && options.uid != api::uid_of(object)) {
    return api::conflict(shown, api::name_of(object),
                         "the UID in the precondition (" + options.uid + ") does not match the UID in record (" +
                             std::string(api::uid_of(object)) +
                             "). The object might have been deleted and then recreated");
  }
  if (!options.resource_version.empty() && options.resource_version != api::resource_version_of(object)) {
    return api::conflict(shown, api::name_of(object),
                         "the ResourceVersion in the precondition (" + options.resource_version +
                             ") does not match the ResourceVersion in record (" +
                             std::string(api::resource_version_of(object)) + "). The object might have been modified");
  }
  return ok_status();
}

void set_finalizer(Value& metadata, const char* name, bool wanted) {
  Value kept = Value::array();
  for (const Value& finalizer : metadata["finalizers"]) {
    if (finalizer.as_string() != name) kept.push(finalizer);
  }
  if (wanted) kept.push(name);
  if (kept.empty()) {
    metadata.erase("finalizers");
  } else {
    metadata.set("finalizers", kept);
  }
}

// A job or replication controller that is deleted without a word about its pods leaves them, as it did before there was
// garbage collection.
bool leaves_dependents(const api::schema::Kind& kind, const Value& metadata, const std::string& propagation) {
  const bool old =
      (kind.group == "batch" && kind.kind == "Job") || (kind.group.empty() && kind.kind == "ReplicationController");
  if (!old || !propagation.empty()) return false;
  for (const Value& finalizer : metadata["finalizers"]) {
    if (finalizer.as_string() == kOrphan || finalizer.as_string() == kForeground) return false;
  }
  return true;
}

void apply_propagation(Value& metadata, const std::string& propagation) {
  if (propagation.empty()) return;  // what finalizers there are already say
  set_finalizer(metadata, kOrphan, propagation == "Orphan");
  set_finalizer(metadata, kForeground, propagation == "Foreground");
}

std::int64_t grace_of_pod(const Value& pod, std::int64_t asked) {
  std::int64_t grace = asked >= 0 ? asked : pod["spec"]["terminationGracePeriodSeconds"].as_int(30);
  if (grace < 0) grace = 1;
  if (pod["spec"]["nodeName"].as_string().empty() || api::is_pod_terminal(pod)) grace = 0;
  return grace;
}

bool is_pod(const api::schema::Kind& kind) { return kind.group.empty() && kind.kind == "Pod"; }
bool is_namespace(const api::schema::Kind& kind) { return kind.group.empty() && kind.kind == "Namespace"; }

// Sets or shortens a pod's end. False: it stays as it is.
bool mark_pod(Registry::State& state, Value& pod, std::int64_t asked) {
  Value& metadata = pod.mut("metadata");
  std::int64_t grace = grace_of_pod(pod, asked);
  if (!metadata["deletionTimestamp"].is_null()) {
    std::int64_t present = metadata["deletionGracePeriodSeconds"].as_int();
    if (asked < 0 || grace >= present) return false;
    Result<Time> end = parse_time(metadata["deletionTimestamp"].as_string());
    Time begun = (end.ok() ? *end : state.runtime.now()) - std::chrono::seconds(present);
    metadata.set("deletionTimestamp", format_time(begun + std::chrono::seconds(grace)));
  } else {
    metadata.set("deletionTimestamp", format_time(state.runtime.now() + std::chrono::seconds(grace)));
    if (metadata["generation"].is_int())
      metadata.set("generation", static_cast<long>(metadata["generation"].as_int() + 1));
  }
  metadata.set("deletionGracePeriodSeconds", static_cast<long>(grace));
  return true;
}

void add_pod_condition(Value& pod, const Value& why, Time now) {
  Value& conditions = pod.mut("status").mut("conditions");
  if (!api::set_condition(conditions, why["type"].as_string(), why["status"].as_string(), why["reason"].as_string(),
                          why["message"].as_string(), now))
    return;
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (conditions[i]["type"] != why["type"]) continue;
    conditions.mut(i).set("lastProbeTime", nullptr);
    // conditions[].observedGeneration is set only where the node agent has set status.observedGeneration.
    const bool observed = pod["status"]["observedGeneration"].as_int() > 0;
    if (observed && pod["metadata"]["generation"].is_int())
      conditions.mut(i).set("observedGeneration", pod["metadata"]["generation"]);
  }
}

bool mark_object(Registry::State& state, const api::schema::Kind& kind, Value& object) {
  Value& metadata = object.mut("metadata");
  if (!metadata["deletionTimestamp"].is_null()) return false;
  metadata.set("deletionTimestamp", format_time(state.runtime.now()));
  if (!is_namespace(kind)) metadata.set("deletionGracePeriodSeconds", 0);
  if (metadata["generation"].as_int() > 0)
    metadata.set("generation", static_cast<long>(metadata["generation"].as_int() + 1));
  if (is_namespace(kind)) object.mut("status").set("phase", "Terminating");
  return true;
}

bool is_protected_namespace(std::string_view name) {
  return name == "default" || name == "kube-system" || name == "kube-public";
}

}  // namespace

void remove_object(const std::shared_ptr<Registry::State>& state, const Call& call, const api::DeleteOptions& options,
                   Done done) {
  remove_object_because(state, call, options, Value(), std::move(done));
}

void remove_object_because(const std::shared_ptr<Registry::State>& state, const Call& call,
                           const api::DeleteOptions& options, const Value& why, Done done) {
  const api::schema::Kind& kind = *call.kind;
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  std::string key = store_key(kind, call.ns, call.name);
  store::RecordPtr head = state->store.head(key);
  if (!head) return refuse(api::not_found(kind.resource(), call.name));
  if (is_namespace(kind) && is_protected_namespace(call.name)) {
    return refuse(api::forbidden(kind.resource(), call.name, "this namespace may not be deleted"));
  }
  if (kind.kind == "PriorityClass" && is_system_priority(call.name)) {
    return refuse(api::forbidden(kind.resource(), call.name, "this is a system priority class and cannot be deleted"));
  }
  if (Status allowed = check_preconditions(kind, head->value, options); !allowed.ok()) return refuse(allowed.error());
  Value after = head->value;
  if (!why.is_null()) add_pod_condition(after, why, state->runtime.now());
  const bool leaves = leaves_dependents(kind, after["metadata"], options.propagation);
  apply_propagation(after.mut("metadata"), leaves ? "Orphan" : options.propagation);
  bool marked = is_pod(kind) ? mark_pod(*state, after, options.grace_seconds) : mark_object(*state, kind, after);
  Commit commit{call, key, head->mod_revision, 200, {}};
  if (leaves && kind.kind == "Job") commit.warnings.emplace_back(kPodsStay);
  if (may_vanish(kind, after)) {
    // A pod is shown with the end it was given; other kinds as they were.
    Departed departed{returns_deleted_object(kind), is_pod(kind) ? after : Value()};
    return commit_delete(state, std::move(commit), std::move(departed), std::move(done));
  }
  if (!marked && after == head->value) {
    Answer answer;
    answer.record = view_of(kind, head);
    return answer_later(*state, std::move(done), std::move(answer));
  }
  commit_put(state, std::move(commit), std::move(after), false, std::move(done));
}

void Registry::remove(const Call& call, const api::DeleteOptions& options, Done done) {
  remove_within_budget(state_, call, options,
                       settled(state_, store_key(*call.kind, call.ns, call.name), std::move(done)));
}

void Registry::remove_collection(const Call& call, const ListCall& which, const api::DeleteOptions& options,
                                 Done done) {
  Result<ListAnswer> found = list(call, which);
  if (!found.ok()) return answer_later(*state_, std::move(done), found.error());
  struct Progress {
    std::size_t waiting = 0;
    std::optional<Error> failure;
    Done done;
    Answer answer;
  };
  auto progress = std::make_shared<Progress>();
  progress->waiting = found->records.size();
  progress->done = std::move(done);
  std::vector<Value> items;
  for (const store::RecordPtr& record : found->records) {
    items.push_back(record->value);
    items.back().erase("apiVersion");
    items.back().erase("kind");
  }
  Value metadata = Value::object({{"resourceVersion", found->resource_version}});
  if (!found->continue_token.empty()) metadata.set("continue", found->continue_token);
  progress->answer.object = Value::object({{"kind", call.kind->kind + "List"},
                                           {"apiVersion", call.kind->api_version()},
                                           {"metadata", std::move(metadata)},
                                           {"items", Value::array(std::move(items))}});
  if (found->records.empty()) return answer_later(*state_, std::move(progress->done), std::move(progress->answer));
  for (const store::RecordPtr& record : found->records) {
    Call one = call;
    one.name = api::name_of(record->value);
    one.ns = api::namespace_of(record->value);
    remove_within_budget(state_, one, options, [progress](Result<Answer> answer) {
      if (!answer.ok() && !answer.failed_with(Code::kNotFound) && !progress->failure)
        progress->failure = answer.error();
      if (--progress->waiting > 0) return;
      if (progress->failure) return progress->done(*progress->failure);
      progress->done(std::move(progress->answer));
    });
  }
}

}  // namespace berth::apiserver::registry

#include "apiserver/registry/remove.h"

#include <optional>

#include "api/status.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/conversion.h"
#include "apiserver/registry/state.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

constexpr const char* kOrphan = "orphan";
constexpr const char* kForeground = "foregroundDeletion";

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

void set_finalizer(Value& metadata, const char* name, bool present) {
  Value finalizers = Value::array();
  for (const Value& finalizer : metadata["finalizers"]) {
    if (finalizer.as_string() != name) finalizers.push(finalizer);
  }
  if (present) finalizers.push(name);
  if (finalizers.empty()) {
    metadata.erase("finalizers");
  } else {
    metadata.set("finalizers", finalizers);
  }
}

// Whether the deletion orphans the object's dependents because of its kind: the client asks for nothing, and no earlier
// deletion has.
bool orphans_by_kind(const KindStrategy& strategy, const Value& metadata, const std::string& propagation) {
  if (!strategy.orphans_dependents || !propagation.empty()) return false;
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

void add_pod_condition(Value& pod, const Value& condition, Time now) {
  Value& conditions = pod.mut("status").mut("conditions");
  if (!api::set_condition(conditions, condition["type"].as_string(), condition["status"].as_string(),
                          condition["reason"].as_string(), condition["message"].as_string(), now))
    return;
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (conditions[i]["type"] != condition["type"]) continue;
    conditions.mut(i).set("lastProbeTime", nullptr);
    // conditions[].observedGeneration is set only where the node agent has set status.observedGeneration.
    const bool observed = pod["status"]["observedGeneration"].as_int() > 0;
    if (observed && pod["metadata"]["generation"].is_int())
      conditions.mut(i).set("observedGeneration", pod["metadata"]["generation"]);
  }
}

// Of kinds without a rule of their own.
bool mark_deleted(Registry::State& state, Value& object) {
  Value& metadata = object.mut("metadata");
  if (!metadata["deletionTimestamp"].is_null()) return false;
  metadata.set("deletionTimestamp", format_time(state.runtime.now()));
  metadata.set("deletionGracePeriodSeconds", 0);
  if (metadata["generation"].as_int() > 0)
    metadata.set("generation", static_cast<long>(metadata["generation"].as_int() + 1));
  return true;
}

}  // namespace

bool is_removable(const api::schema::Kind& kind, const Value& object) {
  const Value& metadata = object["metadata"];
  if (metadata["deletionTimestamp"].is_null() || !metadata["finalizers"].empty()) return false;
  const KindStrategy& strategy = strategy_of(kind);
  if (strategy.is_released != nullptr) return strategy.is_released(object);
  return metadata["deletionGracePeriodSeconds"].as_int() == 0;
}

void remove_object(const StatePtr& state, const Call& call, const api::DeleteOptions& options, Done done) {
  remove_with_condition(state, call, options, Value(), std::move(done));
}

void remove_with_condition(const StatePtr& state, const Call& call, const api::DeleteOptions& options,
                           const Value& condition, Done done) {
  const api::schema::Kind& kind = *call.kind;
  const KindStrategy& strategy = strategy_of(kind);
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  std::string key = store_key(kind, call.ns, call.name);
  store::RecordPtr head = state->store.head(key);
  if (!head) return refuse(api::not_found(kind.resource(), call.name));
  if (strategy.check_deletion != nullptr) {
    Status allowed = strategy.check_deletion(admission_request(*state, call));
    if (!allowed.ok()) return refuse(allowed.error());
  }
  if (Status allowed = check_preconditions(kind, head->value, options); !allowed.ok()) return refuse(allowed.error());
  Value after = head->value;
  if (!condition.is_null()) add_pod_condition(after, condition, state->runtime.now());
  const bool orphans = orphans_by_kind(strategy, after["metadata"], options.propagation);
  apply_propagation(after.mut("metadata"), orphans ? "Orphan" : options.propagation);
  const bool marked = strategy.mark_deleted != nullptr ? strategy.mark_deleted(*state, after, options.grace_seconds)
                                                       : mark_deleted(*state, after);
  Commit commit{call, key, head->mod_revision, 200, {}};
  if (orphans && strategy.orphan_warning != nullptr) commit.warnings.emplace_back(strategy.orphan_warning);
  if (is_removable(kind, after)) {
    DeletedForm form{strategy.delete_answer != DeleteAnswer::kStatus,
                     strategy.delete_answer == DeleteAnswer::kMarkedVersion ? after : Value()};
    return commit_delete(state, std::move(commit), std::move(form), std::move(done));
  }
  if (!marked && after == head->value) {
    Answer answer;
    answer.record = view_of(kind, head);
    return answer_later(*state, std::move(done), std::move(answer));
  }
  commit_put(state, std::move(commit), std::move(after), false, std::move(done));
}

namespace {

void remove_as_kind(const StatePtr& state, const Call& call, const api::DeleteOptions& options, Done done) {
  const KindStrategy& strategy = strategy_of(*call.kind);
  (strategy.remove != nullptr ? strategy.remove : remove_object)(state, call, options, std::move(done));
}

}  // namespace

void Registry::remove(const Call& call, const api::DeleteOptions& options, Done done) {
  const std::string key = store_key(*call.kind, call.ns, call.name);
  remove_as_kind(state_, call, options, refuse_when_durable(state_, key, std::move(done)));
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
    remove_as_kind(state_, one, options, [progress](Result<Answer> answer) {
      if (!answer.ok() && !answer.failed_with(Code::kNotFound) && !progress->failure)
        progress->failure = answer.error();
      if (--progress->waiting > 0) return;
      if (progress->failure) return progress->done(*progress->failure);
      progress->done(std::move(progress->answer));
    });
  }
}

}  // namespace berth::apiserver::registry

// Eviction: a delete that asks the disruption budgets first.
#include "api/registry/state.h"
#include "api/status.h"
#include "base/time.h"

namespace berth::registry {
namespace {

// Upstream keeps a disrupted pod in the budget's status for this long, in case its deletion is not seen.
constexpr int kRetryAfterSeconds = 0;

Error too_many(const std::string& message, const std::string& cause, int retry) {
  Error e = error(Code::kTooManyRequests, message);
  auto details = std::make_shared<ErrorDetails>();
  details->retry_after_seconds = retry;
  if (!cause.empty()) details->causes.push_back({"DisruptionBudget", cause, ""});
  e.details = details;
  return e;
}

api::DeleteOptions options_of(const Value& eviction, const Value& pod) {
  api::DeleteOptions options;
  const Value& sent = eviction["deleteOptions"];
  if (sent["gracePeriodSeconds"].is_int()) options.grace_seconds = sent["gracePeriodSeconds"].as_int();
  options.propagation = sent["propagationPolicy"].str();
  options.uid = sent["preconditions"]["uid"].str(api::uid_of(pod));
  options.resource_version = sent["preconditions"]["resourceVersion"].str();
  return options;
}

bool never_counted(const Value& pod) {
  return api::is_pod_terminal(pod) || pod["status"]["phase"].as_string() == "Pending" || api::is_terminating(pod);
}

}  // namespace

void evict_pod(const std::shared_ptr<Registry::State>& state, const Call& call, const Value& eviction, Done done) {
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  store::RecordPtr head = state->find(api::resources::kPods, call.ns, call.name);
  if (!head) return refuse(api::not_found(api::resources::kPods, call.name));
  const Value& pod = head->value;
  Call deletion = call;
  deletion.subresource.clear();
  deletion.dry_run = call.dry_run || !eviction["deleteOptions"]["dryRun"].empty();
  auto finish = [done = std::move(done)](Result<Answer> answer) {
    if (!answer.ok()) return done(answer.error());
    Answer success;
    success.http = 201;
    success.object = Value::object({{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Value::object()}, {"status", "Success"}, {"code", 201}});
    done(std::move(success));
  };
  if (never_counted(pod)) return remove_object(state, deletion, options_of(eviction, pod), std::move(finish));

  std::vector<store::RecordPtr> budgets;
  for (const store::RecordPtr& record : state->store.list(store_key(state->kind(api::resources::kPodDisruptionBudgets), call.ns, "")).records) {
    Result<api::LabelSelector> selector = api::LabelSelector::of_object(record->value["spec"]["selector"]);
    if (selector.ok() && selector->matches(api::labels_of(pod))) budgets.push_back(state->store.head(record->key));
  }
  auto refuse_late = [&](Error e) { answer_later(*state, Done(std::move(finish)), std::move(e)); };
  if (budgets.size() > 1) {
    return refuse_late(error(Code::kInternal, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."));
  }
  if (budgets.empty() || !budgets[0]) return remove_object(state, deletion, options_of(eviction, pod), std::move(finish));

  const Value& budget = budgets[0]->value;
  const Value& status = budget["status"];
  std::string name(api::name_of(budget));
  bool ready = api::is_pod_ready(pod);
  bool enough_healthy = status["currentHealthy"].as_int() >= status["desiredHealthy"].as_int() && status["desiredHealthy"].as_int() > 0;
  bool always_unhealthy = budget["spec"]["unhealthyPodEvictionPolicy"].as_string() == "AlwaysAllow";
  if (!ready && (always_unhealthy || enough_healthy)) return remove_object(state, deletion, options_of(eviction, pod), std::move(finish));
  if (status["observedGeneration"].as_int() < budget["metadata"]["generation"].as_int()) {
    return refuse_late(too_many("Cannot evict pod as it would violate the pod's disruption budget.",
                                "The disruption budget " + name + " is still being processed by the server.", 10));
  }
  if (status["disruptionsAllowed"].as_int() <= 0) {
    std::string cause = "The disruption budget " + name + " needs " + std::to_string(status["desiredHealthy"].as_int()) + " healthy pods and has " +
                        std::to_string(status["currentHealthy"].as_int()) + " currently";
    return refuse_late(too_many("Cannot evict pod as it would violate the pod's disruption budget.", cause, kRetryAfterSeconds));
  }
  if (deletion.dry_run) return remove_object(state, deletion, options_of(eviction, pod), std::move(finish));
  // First the budget pays, then the pod goes: a crash in between costs a disruption that the controller gives back.
  Value after = budget;
  after.mut("status").set("disruptionsAllowed", static_cast<long>(status["disruptionsAllowed"].as_int() - 1));
  after.mut("status").mut("disruptedPods").set(call.name, format_time(state->runtime.now()));
  store::Write write;
  write.key = budgets[0]->key;
  write.value = std::move(after);
  write.expected = budgets[0]->mod_revision;
  api::DeleteOptions options = options_of(eviction, pod);
  state->store.write(std::move(write), [state, deletion, options, finish = std::move(finish)](Result<store::RecordPtr> paid) mutable {
    if (!paid.ok()) {
      return finish(paid.failed_with(Code::kConflict)
                        ? Result<Answer>(too_many("Too many requests, please try again later.", "", 10))
                        : Result<Answer>(paid.error()));
    }
    remove_object(state, deletion, options, std::move(finish));
  });
}

}  // namespace berth::registry

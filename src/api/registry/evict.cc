// Eviction: a delete that asks the disruption budgets first.
#include "api/registry/state.h"
#include "api/status.h"
#include "base/time.h"

namespace berth::registry {
namespace {

constexpr std::size_t kMostDisrupted = 2000;  // evictions of one budget that are not confirmed yet
constexpr int kComeAgain = 10;                // seconds
constexpr const char* kWouldViolate = "Cannot evict pod as it would violate the pod's disruption budget.";

Error with_cause(Error e, std::string cause, int retry = 0) {
  auto details = std::make_shared<ErrorDetails>(e.details ? *e.details : ErrorDetails{});
  details->retry_after_seconds = retry;
  details->causes.push_back({"DisruptionBudget", std::move(cause), ""});
  e.details = details;
  return e;
}

Error broken(const std::string& budget, const std::string& why) {
  Error e = api::forbidden(api::Resource{"policy", "v1", "poddisruptionbudget"}, budget, why);
  return with_cause(std::move(e), "The disruption budget " + budget + " does not allow evicting pods currently: " + why);
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

// The newest submitted version of each budget that the pod belongs to.
std::vector<store::RecordPtr> budgets_of(const Registry::State& state, const Value& pod) {
  std::vector<store::RecordPtr> out;
  if (api::labels_of(pod).empty()) return out;
  const schema::Kind& kind = state.kind(api::resources::kPodDisruptionBudgets);
  for (const store::RecordPtr& record : state.store.list(store_key(kind, api::namespace_of(pod), "")).records) {
    store::RecordPtr head = state.store.head(record->key);
    if (!head) continue;
    Result<api::LabelSelector> selector = api::LabelSelector::of_object(head->value["spec"]["selector"]);
    if (selector.ok() && selector->matches(api::labels_of(pod))) out.push_back(std::move(head));
  }
  return out;
}

// A pod that is not ready does not count; whether it may go without being paid for.
bool goes_unpaid(const Value& budget, const Value& pod) {
  if (api::is_pod_ready(pod)) return false;
  if (budget["spec"]["unhealthyPodEvictionPolicy"].as_string() == "AlwaysAllow") return true;
  const std::int64_t desired = budget["status"]["desiredHealthy"].as_int();
  return desired > 0 && budget["status"]["currentHealthy"].as_int() >= desired;
}

std::string why_none_allowed(const Value& budget) {
  const std::string name = "The disruption budget " + std::string(api::name_of(budget));
  const Value& condition = api::condition_of(budget, "DisruptionAllowed");
  const std::string reason = condition["reason"].str(), message = condition["message"].str();
  const bool told = condition["status"].as_string() == "False" && !message.empty();
  const std::int64_t desired = budget["status"]["desiredHealthy"].as_int(), current = budget["status"]["currentHealthy"].as_int();
  if (told && reason == "SyncFailed") return name + " does not allow evicting pods currently because it failed sync: " + message;
  if (current <= desired) return name + " needs " + std::to_string(desired) + " healthy pods and has " + std::to_string(current) + " currently";
  if (told) return name + " does not allow evicting pods currently (" + reason + "): " + message;
  return name + " does not allow evicting pods currently";
}

Status check(const Value& budget) {
  const std::string name(api::name_of(budget));
  const Value& status = budget["status"];
  if (status["observedGeneration"].as_int() < budget["metadata"]["generation"].as_int()) {
    return with_cause(error(Code::kTooManyRequests, kWouldViolate), "The disruption budget " + name + " is still being processed by the server.", kComeAgain);
  }
  const std::int64_t allowed = status["disruptionsAllowed"].as_int();
  if (allowed < 0) return broken(name, "pdb disruptions allowed is negative");
  if (status["disruptedPods"].size() > kMostDisrupted) {
    return broken(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  }
  if (allowed == 0) return with_cause(error(Code::kTooManyRequests, kWouldViolate), why_none_allowed(budget));
  return ok_status();
}

Value paid(const Value& budget, const std::string& pod, Time now) {
  Value after = budget;
  Value& status = after.mut("status");
  const std::int64_t left = status["disruptionsAllowed"].as_int() - 1;
  status.set("disruptionsAllowed", left);
  status.mut("disruptedPods").set(pod, format_time(now));
  if (left == 0 && api::set_condition(status.mut("conditions"), "DisruptionAllowed", "False", "InsufficientPods", "", now)) {
    Value& conditions = status.mut("conditions");
    for (std::size_t i = 0; i < conditions.size(); ++i) conditions.mut(i).set("observedGeneration", status["observedGeneration"]);
  }
  return after;
}

}  // namespace

void evict_pod(const std::shared_ptr<Registry::State>& state, const Call& call, const Value& eviction, Done done) {
  store::RecordPtr head = state->find(api::resources::kPods, call.ns, call.name);
  if (!head) return answer_later(*state, std::move(done), api::not_found(api::resources::kPods, call.name));
  if (std::string_view name = api::name_of(eviction); !name.empty() && name != call.name) {
    return answer_later(*state, std::move(done), error(Code::kBadRequest, "name in URL does not match name in Eviction object"));
  }
  const Value& pod = head->value;
  Call deletion = call;
  deletion.subresource.clear();
  deletion.dry_run = call.dry_run || !eviction["deleteOptions"]["dryRun"].empty();
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  auto go = [state, deletion, options = options_of(eviction, pod)](Done then) {
    auto finish = [then = std::move(then)](Result<Answer> answer) {
      if (!answer.ok()) return then(answer.error());
      Answer success;
      success.http = 201;
      success.object = Value::object({{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Value::object()}, {"status", "Success"}, {"code", 201}});
      then(std::move(success));
    };
    const Value why = Value::object(
        {{"type", "DisruptionTarget"}, {"status", "True"}, {"reason", "EvictionByEvictionAPI"}, {"message", "Eviction API: evicting"}});
    remove_object_because(state, deletion, options, why, std::move(finish));
  };
  if (never_counted(pod)) return go(std::move(done));
  const std::vector<store::RecordPtr> budgets = budgets_of(*state, pod);
  if (budgets.empty()) return go(std::move(done));
  if (budgets.size() > 1) {
    return refuse(error(Code::kInternal, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."));
  }
  const Value& budget = budgets[0]->value;
  if (goes_unpaid(budget, pod)) return go(std::move(done));
  if (Status allowed = check(budget); !allowed.ok()) return refuse(allowed.error());
  if (deletion.dry_run) return go(std::move(done));
  // First the budget pays, then the pod goes: a crash in between costs a disruption that the controller gives back.
  store::Write write;
  write.key = budgets[0]->key;
  write.value = paid(budget, call.name, state->runtime.now());
  write.expected = budgets[0]->mod_revision;
  state->store.write(std::move(write), [state, call, eviction, go, done = std::move(done)](Result<store::RecordPtr> written) mutable {
    if (written.ok()) return go(std::move(done));
    // Somebody else wrote the budget meanwhile: what it says now counts.
    if (written.failed_with(Code::kConflict)) return evict_pod(state, call, eviction, std::move(done));
    done(written.error());
  });
}

}  // namespace berth::registry

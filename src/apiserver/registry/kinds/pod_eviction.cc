// pods/eviction: a deletion that the disruption budgets must allow.
#include "api/status.h"
#include "apiserver/admission/disruption_budget.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/kinds/pod_subresources.h"
#include "apiserver/registry/remove.h"
#include "apiserver/registry/state.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

constexpr const char* kWouldViolate = "Cannot evict pod as it would violate the pod's disruption budget.";

api::DeleteOptions options_of(const Value& eviction, const Value& pod) {
  api::DeleteOptions options;
  const Value& sent = eviction["deleteOptions"];
  if (sent["gracePeriodSeconds"].is_int()) options.grace_seconds = sent["gracePeriodSeconds"].as_int();
  options.propagation = sent["propagationPolicy"].str();
  options.uid = sent["preconditions"]["uid"].str(api::uid_of(pod));
  options.resource_version = sent["preconditions"]["resourceVersion"].str();
  return options;
}

bool is_never_counted(const Value& pod) {
  return api::is_pod_terminal(pod) || pod["status"]["phase"].as_string() == "Pending" || api::is_terminating(pod);
}

// Whether the budget lets a pod that is not ready go without using up a disruption.
bool needs_no_disruption(const Value& budget, const Value& pod) {
  if (api::is_pod_ready(pod)) return false;
  if (budget["spec"]["unhealthyPodEvictionPolicy"].as_string() == "AlwaysAllow") return true;
  const std::int64_t desired = budget["status"]["desiredHealthy"].as_int();
  return desired > 0 && budget["status"]["currentHealthy"].as_int() >= desired;
}

}  // namespace

void evict_pod(const StatePtr& state, const Call& call, Value eviction, Done done) {
  store::RecordPtr head = state->find(api::resources::kPods, call.ns, call.name);
  if (!head) return answer_later(*state, std::move(done), api::not_found(api::resources::kPods, call.name));
  if (std::string_view name = api::name_of(eviction); !name.empty() && name != call.name) {
    return answer_later(*state, std::move(done),
                        error(Code::kBadRequest, "name in URL does not match name in Eviction object"));
  }
  const Value& pod = head->value;
  Call deletion = call;
  deletion.subresource.clear();
  deletion.dry_run = call.dry_run || !eviction["deleteOptions"]["dryRun"].empty();
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  auto go = [state, deletion, options = options_of(eviction, pod)](Done then) {
    auto finish = [then = std::move(then)](Result<Answer> answer) {
      if (!answer.ok()) return then(answer.error());
      then(created_status());
    };
    const Value why = Value::object({{"type", "DisruptionTarget"},
                                     {"status", "True"},
                                     {"reason", "EvictionByEvictionAPI"},
                                     {"message", "Eviction API: evicting"}});
    remove_with_condition(state, deletion, options, why, std::move(finish));
  };
  if (is_never_counted(pod)) return go(std::move(done));
  const std::vector<store::RecordPtr> budgets = admission::budgets_of(*state, pod);
  if (budgets.empty()) return go(std::move(done));
  if (budgets.size() > 1) {
    return refuse(
        error(Code::kInternal,
              "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."));
  }
  const Value& budget = budgets[0]->value;
  if (needs_no_disruption(budget, pod)) return go(std::move(done));
  if (Status allowed = admission::check_budget(budget, kWouldViolate); !allowed.ok()) return refuse(allowed.error());
  if (deletion.dry_run) return go(std::move(done));
  // The budget is written before the pod is deleted: a crash in between costs a disruption, which the controller
  // returns.
  store::Write write;
  write.key = budgets[0]->key;
  write.value = admission::with_disruption(budget, call.name, state->runtime.now());
  write.expected = budgets[0]->mod_revision;
  state->store.write(std::move(write),
                     [state, call, eviction, go, done = std::move(done)](Result<store::RecordPtr> written) mutable {
                       if (written.ok()) return go(std::move(done));
                       // Another request has written the budget: decide anew by its newest version.
                       if (written.failed_with(Code::kConflict))
                         return evict_pod(state, call, eviction, std::move(done));
                       done(written.error());
                     });
}

}  // namespace berth::apiserver::registry

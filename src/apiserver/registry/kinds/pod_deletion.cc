#include "apiserver/registry/kinds/pod_deletion.h"

#include "api/status.h"
#include "apiserver/admission/disruption_budget.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/remove.h"
#include "apiserver/registry/state.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

// Of writes to a budget that another request has changed at the same moment.
constexpr int kAttempts = 10;

std::int64_t grace_of(const Value& pod, std::int64_t requested) {
  std::int64_t grace = requested >= 0 ? requested : pod["spec"]["terminationGracePeriodSeconds"].as_int(30);
  if (grace < 0) grace = 1;
  if (pod["spec"]["nodeName"].as_string().empty() || api::is_pod_terminal(pod)) grace = 0;
  return grace;
}

bool is_no_disruption(const Registry::State& state, const Call& call, const Value& pod) {
  if (!api::is_pod_ready(pod) || api::is_pod_terminal(pod) || api::is_terminating(pod)) return true;
  // A pod that is deleted with its namespace is no disruption that could wait.
  store::RecordPtr ns = state.find(api::resources::kNamespaces, "", call.ns);
  return !ns || api::is_terminating(ns->value);
}

// Uses up a disruption of each budget that counts deletions, one budget after the other, then deletes. A crash in
// between costs a disruption, which the controller returns.
void use_budgets(const StatePtr& state, const Call& call, const api::DeleteOptions& options, int attempts, Done done) {
  store::RecordPtr head = state->find(api::resources::kPods, call.ns, call.name);
  if (!head || is_no_disruption(*state, call, head->value)) return remove_object(state, call, options, std::move(done));
  for (const store::RecordPtr& budget : admission::budgets_of(*state, head->value)) {
    if (!admission::counts_deletions(budget->value)) continue;
    if (budget->value["status"]["disruptedPods"].contains(call.name)) continue;  // used up for this pod already
    if (Status allowed = admission::check_deletion_budget(budget->value); !allowed.ok())
      return answer_later(*state, std::move(done), allowed.error());
    if (call.dry_run) continue;
    store::Write write;
    write.key = budget->key;
    write.value = admission::with_disruption(budget->value, call.name, state->runtime.now());
    write.expected = budget->mod_revision;
    return state->store.write(std::move(write), [state, call, options, attempts,
                                                 done = std::move(done)](Result<store::RecordPtr> answer) mutable {
      const bool again = answer.ok() || (answer.failed_with(Code::kConflict) && attempts > 0);
      if (!again) return done(answer.error());
      use_budgets(state, call, options, answer.ok() ? attempts : attempts - 1, std::move(done));
    });
  }
  remove_object(state, call, options, std::move(done));
}

}  // namespace

bool mark_pod_deleted(Registry::State& state, Value& pod, std::int64_t requested) {
  Value& metadata = pod.mut("metadata");
  std::int64_t grace = grace_of(pod, requested);
  if (!metadata["deletionTimestamp"].is_null()) {
    std::int64_t present = metadata["deletionGracePeriodSeconds"].as_int();
    if (requested < 0 || grace >= present) return false;
    Result<Time> end = parse_time(metadata["deletionTimestamp"].as_string());
    Time start = (end.ok() ? *end : state.runtime.now()) - std::chrono::seconds(present);
    metadata.set("deletionTimestamp", format_time(start + std::chrono::seconds(grace)));
  } else {
    metadata.set("deletionTimestamp", format_time(state.runtime.now() + std::chrono::seconds(grace)));
    if (metadata["generation"].is_int())
      metadata.set("generation", static_cast<long>(metadata["generation"].as_int() + 1));
  }
  metadata.set("deletionGracePeriodSeconds", static_cast<long>(grace));
  return true;
}

void remove_within_budgets(const StatePtr& state, const Call& call, const api::DeleteOptions& options, Done done) {
  use_budgets(state, call, options, kAttempts, std::move(done));
}

}  // namespace berth::apiserver::registry

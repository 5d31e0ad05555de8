// One budget for everything: where a PodDisruptionBudget asks for it by annotation, each deletion of a healthy pod draws on
// it as an eviction does, whoever asks: a rollout, a scale-down, the end of a set, a person.
#include "api/registry/state.h"
#include "api/selector.h"
#include "api/set_options.h"
#include "api/status.h"
#include "base/time.h"

namespace berth::registry {
namespace {

constexpr int kAttempts = 10;  // where others draw on the same budget at the same moment

bool costs_nothing(const Registry::State& state, const Call& call, const Value& pod) {
  if (!api::is_pod_ready(pod) || api::is_pod_terminal(pod) || api::is_terminating(pod)) return true;
  // What goes with its namespace is not a disruption that could wait.
  store::RecordPtr ns = state.find(api::resources::kNamespaces, "", call.ns);
  return !ns || api::is_terminating(ns->value);
}

std::vector<store::RecordPtr> budgets_of(const Registry::State& state, const Call& call, const Value& pod) {
  std::vector<store::RecordPtr> out;
  for (const store::RecordPtr& record : state.store.list(store_key(state.kind(api::resources::kPodDisruptionBudgets), call.ns, "")).records) {
    if (api::annotation_of(record->value, api::kBudgetEverything) != "true") continue;
    Result<api::LabelSelector> selector = api::LabelSelector::of_object(record->value["spec"]["selector"]);
    if (selector.ok() && selector->matches(api::labels_of(pod))) out.push_back(record);
  }
  return out;
}

std::optional<Error> refusal_of(const Value& budget) {
  const Value& status = budget["status"];
  const std::string name(api::name_of(budget));
  std::string cause;
  if (status["observedGeneration"].as_int() < budget["metadata"]["generation"].as_int()) {
    cause = "The disruption budget " + name + " is still being processed by the server.";
  } else if (status["disruptionsAllowed"].as_int() <= 0) {
    cause = "The disruption budget " + name + " needs " + std::to_string(status["desiredHealthy"].as_int()) + " healthy pods and has " +
            std::to_string(status["currentHealthy"].as_int()) + " currently";
  } else {
    return std::nullopt;
  }
  Error e = error(Code::kTooManyRequests, "Cannot delete pod as it would violate the pod's disruption budget, which counts deletions too (" +
                                              std::string(api::kBudgetEverything) + "). " + cause);
  auto details = std::make_shared<ErrorDetails>();
  details->causes.push_back({"DisruptionBudget", cause, ""});
  e.details = details;
  return e;
}

Value paid(const Registry::State& state, const Value& budget, const std::string& pod) {
  Value after = budget;
  Value& status = after.mut("status");
  status.set("disruptionsAllowed", static_cast<long>(status["disruptionsAllowed"].as_int() - 1));
  status.mut("disruptedPods").set(pod, format_time(state.runtime.now()));
  return after;
}

// Draws on them one after the other, then deletes. A crash in between costs a disruption that the controller gives back.
void draw(const std::shared_ptr<Registry::State>& state, const Call& call, const api::DeleteOptions& options, int attempts, Done done) {
  store::RecordPtr head = state->find(api::resources::kPods, call.ns, call.name);
  if (!head || costs_nothing(*state, call, head->value)) return remove_object(state, call, options, std::move(done));
  for (const store::RecordPtr& budget : budgets_of(*state, call, head->value)) {
    if (budget->value["status"]["disruptedPods"].contains(call.name)) continue;  // paid for already
    if (std::optional<Error> refused = refusal_of(budget->value)) return answer_later(*state, std::move(done), *refused);
    if (call.dry_run) continue;
    store::Write write;
    write.key = budget->key;
    write.value = paid(*state, budget->value, call.name);
    write.expected = budget->mod_revision;
    return state->store.write(std::move(write), [state, call, options, attempts, done = std::move(done)](Result<store::RecordPtr> answer) mutable {
      const bool again = answer.ok() || (answer.failed_with(Code::kConflict) && attempts > 0);
      if (!again) return done(answer.error());
      draw(state, call, options, answer.ok() ? attempts : attempts - 1, std::move(done));
    });
  }
  remove_object(state, call, options, std::move(done));
}

}  // namespace

void remove_within_budget(const std::shared_ptr<Registry::State>& state, const Call& call, const api::DeleteOptions& options, Done done) {
  const bool pod = call.kind->group.empty() && call.kind->kind == "Pod";
  if (!pod) return remove_object(state, call, options, std::move(done));
  draw(state, call, options, kAttempts, std::move(done));
}

}  // namespace berth::registry

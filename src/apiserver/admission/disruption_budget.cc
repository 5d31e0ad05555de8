#include "apiserver/admission/disruption_budget.h"

#include "api/selector.h"
#include "api/set_options.h"
#include "api/status.h"
#include "base/time/time.h"

namespace berth::apiserver::admission {
namespace {

constexpr std::size_t kMostDisrupted = 2000;  // evictions of one budget that are not confirmed yet
constexpr int kRetryAfter = 10;               // seconds

Error with_cause(Error e, std::string cause, int retry = 0) {
  auto details = std::make_shared<ErrorDetails>(e.details ? *e.details : ErrorDetails{});
  details->retry_after_seconds = retry;
  details->causes.push_back({"DisruptionBudget", std::move(cause), ""});
  e.details = details;
  return e;
}

Error refuse_broken(const std::string& budget, const std::string& why) {
  Error e = api::forbidden(api::Resource{"policy", "v1", "poddisruptionbudget"}, budget, why);
  return with_cause(std::move(e),
                    "The disruption budget " + budget + " does not allow evicting pods currently: " + why);
}

std::string why_none_allowed(const Value& budget) {
  const std::string name = "The disruption budget " + std::string(api::name_of(budget));
  const Value& condition = api::condition_of(budget, "DisruptionAllowed");
  const std::string reason = condition["reason"].str(), message = condition["message"].str();
  const bool explained = condition["status"].as_string() == "False" && !message.empty();
  const std::int64_t desired = budget["status"]["desiredHealthy"].as_int(),
                     current = budget["status"]["currentHealthy"].as_int();
  if (explained && reason == "SyncFailed")
    return name + " does not allow evicting pods currently because it failed sync: " + message;
  if (current <= desired)
    return name + " needs " + std::to_string(desired) + " healthy pods and has " + std::to_string(current) +
           " currently";
  if (explained) return name + " does not allow evicting pods currently (" + reason + "): " + message;
  return name + " does not allow evicting pods currently";
}

}  // namespace

std::vector<store::RecordPtr> budgets_of(const ObjectReader& objects, const Value& pod) {
  std::vector<store::RecordPtr> out;
  if (api::labels_of(pod).empty()) return out;
  for (store::RecordPtr& head : objects.list_newest(api::resources::kPodDisruptionBudgets, api::namespace_of(pod))) {
    Result<api::LabelSelector> selector = api::LabelSelector::of_object(head->value["spec"]["selector"]);
    if (selector.ok() && selector->matches(api::labels_of(pod))) out.push_back(std::move(head));
  }
  return out;
}

Status check_budget(const Value& budget, const std::string& refusal) {
  const std::string name(api::name_of(budget));
  const Value& status = budget["status"];
  if (status["observedGeneration"].as_int() < budget["metadata"]["generation"].as_int()) {
    return with_cause(error(Code::kTooManyRequests, refusal),
                      "The disruption budget " + name + " is still being processed by the server.", kRetryAfter);
  }
  const std::int64_t allowed = status["disruptionsAllowed"].as_int();
  if (allowed < 0) return refuse_broken(name, "pdb disruptions allowed is negative");
  if (status["disruptedPods"].size() > kMostDisrupted) {
    return refuse_broken(name, "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
  }
  if (allowed == 0) return with_cause(error(Code::kTooManyRequests, refusal), why_none_allowed(budget));
  return ok_status();
}

Value with_disruption(const Value& budget, const std::string& pod, Time now) {
  Value after = budget;
  Value& status = after.mut("status");
  const std::int64_t left = status["disruptionsAllowed"].as_int() - 1;
  status.set("disruptionsAllowed", left);
  status.mut("disruptedPods").set(pod, format_time(now));
  if (left == 0 &&
      api::set_condition(status.mut("conditions"), "DisruptionAllowed", "False", "InsufficientPods", "", now)) {
    Value& conditions = status.mut("conditions");
    for (std::size_t i = 0; i < conditions.size(); ++i)
      conditions.mut(i).set("observedGeneration", status["observedGeneration"]);
  }
  return after;
}

bool counts_deletions(const Value& budget) { return api::annotation_of(budget, api::kBudgetEverything) == "true"; }

Status check_deletion_budget(const Value& budget) {
  Status allowed = check_budget(
      budget, "Cannot delete pod as it would violate the pod's disruption budget, which counts deletions too (" +
                  std::string(api::kBudgetEverything) + ").");
  if (allowed.ok() || !allowed.failed_with(Code::kTooManyRequests)) return allowed;
  Error e = allowed.error();
  e.message += " " + e.details->causes.back().message;
  return e;
}

}  // namespace berth::apiserver::admission

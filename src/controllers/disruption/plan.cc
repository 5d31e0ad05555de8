#include "controllers/disruption/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "api/set_options.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/shared/numbers.h"
#include "controllers/shared/pod_condition.h"

namespace berth::controllers::disruption {
namespace {

using namespace api::resources;  // NOLINT

struct ExpectedPods {
  int pods = 0, healthy = 0;
  std::string problem;     // not empty: no pod may be evicted
  bool unmanaged = false;  // some pods have no controller, so the sums are too low
  bool ending = false;     // controllers of some pods are being deleted or gone, and must be able to complete
};

bool counts_everything(const Value& budget) { return api::annotation_of(budget, api::kBudgetEverything) == "true"; }

// Sums the desired sizes of the pods' controllers.
ExpectedPods sum_scales(const BudgetView& view) {
  ExpectedPods out;
  struct Owner {
    std::string name;
    int replicas = 0, pods = 0;
  };
  std::map<std::string, Owner> owners;  // by uid
  std::set<std::string> ending;         // their names
  for (const Value& pod : view.pods) {
    const Value& controller = api::controller_of(pod);
    if (controller.is_null()) {
      out.unmanaged = true;
      continue;
    }
    const auto scale = view.scale_of(pod);
    // If the budget also counts deletions, the deletion of a set must be able to complete: count its present healthy
    // pods as desired. Its other pods have no successors.
    if (counts_everything(view.budget) && (!scale || scale->ending)) {
      out.ending = true;
      ending.insert(controller["name"].str());
      if (api::is_pod_ready(pod) && !api::is_terminating(pod)) ++owners[controller["uid"].str()].replicas;
      continue;
    }
    if (!scale) {
      const std::string why = view.unscalable ? view.unscalable(pod) : "";
      out.problem = why.empty() ? "found no controllers for pod " + quoted(api::name_of(pod)) : why;
      return out;
    }
    Owner& owner = owners[scale->uid];
    owner.name = controller["name"].str();
    owner.replicas = scale->replicas;
    ++owner.pods;
  }
  for (const auto& [uid, owner] : owners) {
    // A set of the same name cannot have all its pods before the pods of its predecessor are gone.
    out.pods += ending.count(owner.name) ? std::min(owner.replicas, owner.pods) : owner.replicas;
  }
  return out;
}

// Formats a selector as Go does.
std::string format_selector(const Value& selector) {
  std::string out = "&LabelSelector{MatchLabels:map[string]string{";
  for (const auto& [key, value] : selector["matchLabels"].entries()) out += std::string(key) + ": " + value.str() + ",";
  out += "},MatchExpressions:[]LabelSelectorRequirement{";
  for (const Value& one : selector["matchExpressions"]) {
    std::vector<std::string> values;
    for (const Value& value : one["values"]) values.push_back(value.str());
    out += "LabelSelectorRequirement{Key:" + one["key"].str() + ",Operator:" + one["operator"].str() + ",Values:[" +
           join(values, " ") + "],},";
  }
  return out + "},}";
}

ExpectedPods expected_pods(const BudgetView& view) {
  const Value& spec = view.budget["spec"];
  const Value& most = spec["maxUnavailable"];
  const Value& least = spec["minAvailable"];
  if (!most.is_null()) {
    ExpectedPods out = sum_scales(view);
    out.healthy = std::max(0, out.pods - part_in(most, out.pods, true));
    return out;
  }
  if (least.is_int()) return ExpectedPods{static_cast<int>(view.pods.size()), count_in(least), {}, false};
  if (!least.is_null()) {
    ExpectedPods out = sum_scales(view);
    out.healthy = part_in(least, out.pods, !out.ending);
    return out;
  }
  return {};
}

// Evicted pods that are not deleted yet.
Value pending_disruptions(const BudgetView& view, Time now, Plan& plan) {
  Value out = Value::object();
  for (const auto& [name, at] : view.budget["status"]["disruptedPods"].entries()) {
    const auto found = std::find_if(view.pods.begin(), view.pods.end(),
                                    [&, n = name](const Value& pod) { return api::name_of(pod) == n; });
    if (found == view.pods.end() || api::is_terminating(*found)) continue;
    const auto since = parse_time(at.as_string());
    const Time until = (since.ok() ? since.value() : Time()) + kDeletionTimeout;
    if (until < now) {
      plan.event(*found, kWarning, "NotDeleted",
                 "Pod was expected by PDB " + key_of(view.budget) + " to be deleted but it wasn't");
      continue;
    }
    out.set(name, at);
    plan.requeue_after(until - now + 1s);
  }
  return out;
}

// The change of a budget's status by this plan, field by field.
class StatusChange {
 public:
  StatusChange(const BudgetView& view, Time now, Plan& plan)
      : budget_(view.budget), old_(view.budget["status"]), now_(now), plan_(plan), conditions_(old_["conditions"]) {}

  void set_counts(const BudgetView& view, const ExpectedPods& expected, int healthy, int allowed) {
    const std::pair<const char*, int> numbers[] = {{"currentHealthy", healthy},
                                                   {"desiredHealthy", expected.healthy},
                                                   {"expectedPods", expected.pods},
                                                   {"disruptionsAllowed", allowed}};
    for (const auto& [field, value] : numbers) {
      if (!old_[field].is_int() || old_[field].as_int() != value) change_.set(field, value);
    }
    const std::int64_t generation = budget_["metadata"]["generation"].as_int();
    if (old_["observedGeneration"].as_int() != generation) change_.set("observedGeneration", generation);
    set_allowed(allowed > 0 ? "True" : "False", allowed > 0 ? "SufficientPods" : "InsufficientPods", "");
    set_observed_generation(generation);
    if (change_.empty()) return;
    if (view.pods.empty()) plan_.event(budget_, kNormal, "NoPods", "No matching pods found");
    if (expected.unmanaged) {
      plan_.event(
          budget_, kWarning, "UnmanagedPods",
          "Pods selected by this PodDisruptionBudget (selector: " + format_selector(budget_["spec"]["selector"]) +
              ") were found to be unmanaged. As a result, the status of the PDB cannot be calculated correctly, which may result in undefined "
              "behavior. To account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.");
    }
  }

  void set_problem(const std::string& problem) {
    if (old_["disruptionsAllowed"].as_int() != 0) change_.set("disruptionsAllowed", 0);
    set_allowed("False", "SyncFailed", problem);
    if (conditions_changed_) {
      plan_.event(budget_, kWarning, "CalculateExpectedPodCountFailed",
                  "Failed to calculate the number of expected pods: " + problem);
    }
    // If counting failed, leave observedGeneration unchanged.
    set_observed_generation(old_["observedGeneration"].as_int());
  }

  void set_disrupted_pods(const Value& leaving) {
    const Value& stored = old_["disruptedPods"];
    if (stored.size() == leaving.size() && (leaving.empty() || stored == leaving)) return;
    // A merge patch removes a field by setting it to null.
    Value merged = leaving;
    for (const auto& [name, at] : stored.entries()) {
      if (!leaving.contains(name)) merged.set(name, nullptr);
    }
    change_.set("disruptedPods", std::move(merged));
  }

  // Call last.
  void add_to_plan() {
    if (conditions_changed_) change_.set("conditions", conditions_);
    if (change_.empty()) return;
    // With resourceVersion: an eviction counted in between must not be overwritten.
    plan_.add(patch_status(kPodDisruptionBudgets, budget_, Value::object({{"status", std::move(change_)}}), true));
  }

 private:
  void set_allowed(const char* status, const char* reason, const std::string& message) {
    conditions_changed_ = api::set_condition(conditions_, "DisruptionAllowed", status, reason, message, now_);
  }
  void set_observed_generation(std::int64_t observed) {
    for (std::size_t i = 0; i < conditions_.size(); ++i) {
      if (conditions_[i]["observedGeneration"].as_int() == observed) continue;
      conditions_.mut(i).set("observedGeneration", observed);
      conditions_changed_ = true;
    }
  }

  const Value& budget_;
  const Value& old_;
  const Time now_;
  Plan& plan_;
  Value conditions_;
  Value change_ = Value::object();
  bool conditions_changed_ = false;
};

}  // namespace

Plan plan_budget(const BudgetView& view, Time now) {
  Plan plan;
  const Value& budget = view.budget;
  if (budget.is_null() || api::is_terminating(budget)) return plan;
  const ExpectedPods expected = expected_pods(view);
  const Value leaving = pending_disruptions(view, now, plan);
  int healthy = 0;
  for (const Value& pod : view.pods) {
    if (api::is_pod_ready(pod) && !api::is_terminating(pod) && !leaving.contains(api::name_of(pod))) ++healthy;
  }
  // If deletions count, too, the pods of a set scaled to zero must be deletable.
  const Value& spec = budget["spec"];
  const bool expects_none =
      counts_everything(budget) && !(spec["maxUnavailable"].is_null() && spec["minAvailable"].is_null());
  const bool scale_unknown = expected.pods <= 0 && !expects_none;

  StatusChange change(view, now, plan);
  if (expected.problem.empty()) {
    change.set_counts(view, expected, healthy, scale_unknown ? 0 : std::max(0, healthy - expected.healthy));
  } else {
    change.set_problem(expected.problem);
  }
  change.set_disrupted_pods(leaving);
  change.add_to_plan();
  return plan;
}

Plan plan_stale(const Value& pod, Time now) {
  Plan plan;
  const Value& target = api::condition_of(pod, "DisruptionTarget");
  // The agent may take any time to end a pod that it terminates itself.
  const bool waits = target["status"].as_string() == "True" && target["reason"].as_string() != "TerminationByKubelet";
  if (!waits || api::is_terminating(pod) || api::is_pod_terminal(pod)) return plan;
  const auto since = parse_time(target["lastTransitionTime"].as_string());
  const Duration left = since.ok() ? since.value() + kStaleDisruption - now : Duration::zero();
  if (left > Duration::zero()) {
    plan.requeue_after(left);
  } else {
    plan.add(pod_condition(pod, "DisruptionTarget", "False", "", "", now));
  }
  return plan;
}

}  // namespace berth::controllers::disruption

#include "controllers/disruption/plan.h"

#include <algorithm>
#include <map>

#include "api/set_options.h"
#include "base/text.h"
#include "base/time.h"

namespace berth::controllers::disruption {
namespace {

using namespace api::resources;  // NOLINT

struct Expectation {
  int pods = 0, healthy = 0;
  std::string problem;  // not empty: nothing may be evicted
};

// A number or a percentage, rounded up.
int resolve(const Value& value, int total) {
  if (value.is_int()) return static_cast<int>(value.as_int());
  std::string_view text = value.as_string();
  if (text.ends_with('%')) text.remove_suffix(1);
  const auto percent = parse_int(text);
  return percent.ok() ? static_cast<int>((percent.value() * total + 99) / 100) : 0;
}

bool counts_everything(const Value& budget) { return api::annotation_of(budget, api::kBudgetEverything) == "true"; }

// The sum of what the pods' controllers want.
Expectation scale_of_controllers(const View& view) {
  Expectation out;
  std::map<std::string, int> scales;
  for (const Value& pod : view.pods) {
    if (api::controller_of(pod).is_null()) {
      out.problem = "found unmanaged pods associated with this PDB: [" + key_of(pod) + "]";
      continue;
    }
    const auto scale = view.scale_of(pod);
    // Where the budget counts deletions too, the end of a set must be able to end: it wants the pods it still has.
    if (counts_everything(view.budget) && (!scale || scale->ending)) {
      if (!api::is_terminating(pod)) ++scales[scale ? scale->uid : api::controller_of(pod)["uid"].str()];
      continue;
    }
    if (!scale) {
      out.problem = "found no controllers for pod " + quoted(api::name_of(pod));
      continue;
    }
    scales[scale->uid] = scale->replicas;
  }
  for (const auto& [uid, replicas] : scales) out.pods += replicas;
  return out;
}

Expectation expect(const View& view) {
  const Value& spec = view.budget["spec"];
  const Value& most = spec["maxUnavailable"];
  const Value& least = spec["minAvailable"];
  if (!most.is_null()) {
    Expectation out = scale_of_controllers(view);
    out.healthy = std::max(0, out.pods - resolve(most, out.pods));
    return out;
  }
  if (least.is_int()) return Expectation{static_cast<int>(view.pods.size()), static_cast<int>(least.as_int()), {}};
  if (!least.is_null()) {
    Expectation out = scale_of_controllers(view);
    out.healthy = resolve(least, out.pods);
    return out;
  }
  return Expectation{static_cast<int>(view.pods.size()), 0, {}};
}

// Evicted pods that are still on their way out.
Value disrupted(const View& view, Time now, Plan& plan) {
  Value out = Value::object();
  for (const auto& [name, at] : view.budget["status"]["disruptedPods"].entries()) {
    const auto found = std::find_if(view.pods.begin(), view.pods.end(), [&, n = name](const Value& pod) { return api::name_of(pod) == n; });
    if (found == view.pods.end() || api::is_terminating(*found)) continue;
    const auto since = parse_time(at.as_string());
    const Time until = (since.ok() ? since.value() : Time()) + kDeletionTimeout;
    if (until < now) {
      plan.event(*found, kWarning, "NotDeleted", "Pod was expected by PDB " + key_of(view.budget) + " to be deleted but it wasn't");
      continue;
    }
    out.set(name, at);
    plan.look_again(until - now + 1s);
  }
  return out;
}

}  // namespace

Plan plan_budget(const View& view, Time now) {
  Plan plan;
  const Value& budget = view.budget;
  if (budget.is_null() || api::is_terminating(budget)) return plan;
  const Expectation expected = expect(view);
  const Value leaving = disrupted(view, now, plan);
  int healthy = 0;
  for (const Value& pod : view.pods) {
    if (api::is_pod_ready(pod) && !api::is_terminating(pod) && !leaving.contains(api::name_of(pod))) ++healthy;
  }
  const int allowed = expected.pods <= 0 || !expected.problem.empty() ? 0 : std::max(0, healthy - expected.healthy);

  const Value& old = budget["status"];
  Value change = Value::object();
  Value conditions = old["conditions"];
  const std::int64_t generation = budget["metadata"]["generation"].as_int();
  bool told = false;
  if (expected.problem.empty()) {
    const std::pair<const char*, int> numbers[] = {
        {"currentHealthy", healthy}, {"desiredHealthy", expected.healthy}, {"expectedPods", expected.pods}, {"disruptionsAllowed", allowed}};
    for (const auto& [field, value] : numbers) {
      if (!old[field].is_int() || old[field].as_int() != value) change.set(field, value);
    }
    if (old["observedGeneration"].as_int() != generation) change.set("observedGeneration", generation);
    told = api::set_condition(conditions, "DisruptionAllowed", allowed > 0 ? "True" : "False",
                              allowed > 0 ? "SufficientPods" : "InsufficientPods", "", now);
    if (view.pods.empty() && !change.empty()) plan.event(budget, kNormal, "NoPods", "No matching pods found");
  } else {
    if (old["disruptionsAllowed"].as_int() != 0) change.set("disruptionsAllowed", 0);
    told = api::set_condition(conditions, "DisruptionAllowed", "False", "SyncFailed", expected.problem, now);
    if (told) {
      plan.event(budget, kWarning, "CalculateExpectedPodCountFailed",
                 "Failed to calculate the number of expected pods: " + expected.problem);
    }
  }
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (conditions[i]["observedGeneration"].as_int() == generation) continue;
    conditions.mut(i).set("observedGeneration", generation);
    told = true;
  }
  if (told) change.set("conditions", conditions);
  const Value& noted = old["disruptedPods"];
  if (noted.size() != leaving.size() || (!leaving.empty() && noted != leaving)) {
    // A merge patch must name what is to go.
    Value merged = leaving;
    for (const auto& [name, at] : noted.entries()) {
      if (!leaving.contains(name)) merged.set(name, nullptr);
    }
    change.set("disruptedPods", std::move(merged));
  }
  if (!change.empty()) {
    // With the exact version: an eviction counted meanwhile must not be undone.
    plan.add(patch_status(kPodDisruptionBudgets, budget, Value::object({{"status", std::move(change)}}), true));
  }
  return plan;
}

}  // namespace berth::controllers::disruption

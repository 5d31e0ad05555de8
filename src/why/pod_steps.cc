// Steps for a pod, in the order of its start.
#include <algorithm>

#include "api/selector.h"
#include "api/set_options.h"
#include "base/text.h"
#include "why/explanation.h"

namespace berth::why {
namespace {

using namespace api::resources;  // NOLINT

std::string state_text(const Value& pod) {
  const std::string phase = pod["status"]["phase"].str("Pending");
  if (api::is_terminating(pod)) return "Terminating";
  if (phase == "Running") return api::is_pod_ready(pod) ? "Ready" : "Running, not ready";
  if (const Value& reason = pod["status"]["reason"]; reason.is_string()) return phase + " (" + reason.str() + ")";
  return phase;
}

std::optional<Time> since(const Value& pod) {
  if (api::is_terminating(pod)) return {};
  const auto changed = changed_at(api::condition_of(pod, "Ready"));
  return changed ? changed : created_at(pod);
}

void explain_deletion(Explanation& explanation, const Value& pod, int depth) {
  const auto until = time_in(pod["metadata"]["deletionTimestamp"]);
  const std::int64_t grace = pod["metadata"]["deletionGracePeriodSeconds"].as_int();
  std::optional<Time> began;
  if (until) began = *until - std::chrono::seconds(grace);
  Line& line = explanation.add(depth, Severity::kWaiting, "deletion", "under way", began);
  const std::string name(api::name_of(pod));
  std::vector<std::string> running;
  for (const Value& status : pod["status"]["containerStatuses"]) {
    if (!status["state"]["running"].is_null()) running.push_back(status["name"].str());
  }
  const std::string kept = finalizer_text(pod);
  if (!running.empty() || kept.empty()) {
    const bool late = until && *until < explanation.now();
    line.why = running.empty() ? "its containers have ended, its volumes and its network are being given back"
                               : and_list(running) + (running.size() == 1 ? " has " : " have ") +
                                     std::to_string(grace) + "s to end";
    if (until && !running.empty())
      line.why += late ? "; that was up " + explanation.ago(*until) : "; that is up " + explanation.ago(*until);
    if (!kept.empty()) line.why += "; then " + kept;
    if (late && *until + 10s < explanation.now()) {
      line.severity = Severity::kBroken;
      line.hint = explanation.kubectl("delete pod " + name + " --grace-period=0 --force") +
                  "   (only if its node is gone for good)";
    }
    return;
  }
  line.severity = Severity::kBroken;
  line.why = "all its containers have ended; " + kept;
  line.hint = explanation.kubectl("get pod " + name + " -o jsonpath='{.metadata.finalizers}'");
}

// Volumes, network and sandbox: what the agent prepares before the first container.
void explain_preparation(Explanation& explanation, const Value& pod, const std::vector<Value>& events, int depth) {
  const Value& ready = api::condition_of(pod, "PodReadyToStartContainers");
  if (ready["status"].as_string() == "True") return;
  const Value warning = newest(events, [](const Value& event) {
    return is_warning(event) && event["involvedObject"]["fieldPath"].as_string().empty() &&
           event["reason"].as_string() != "FailedScheduling";
  });
  if (warning.is_null()) return;
  Line& line = explanation.add(depth, Severity::kBroken, "preparation", warning["reason"].str(),
                               time_in(warning["firstTimestamp"]));
  line.why = shortened(warning["message"].as_string());
  if (const auto last = time_of_event(warning); last && warning["count"].as_int() > 1)
    line.why += " (" + std::to_string(warning["count"].as_int()) + " times, last " + explanation.ago(*last) + ")";
  line.hint = explanation.kubectl("describe pod " + std::string(api::name_of(pod)));
}

void explain_gates(Explanation& explanation, const Value& pod, int depth) {
  for (const Value& gate : pod["spec"]["readinessGates"]) {
    const std::string type = gate["conditionType"].str();
    const Value& condition = api::condition_of(pod, type);
    if (condition["status"].as_string() == "True") continue;
    Line& line = explanation.add(depth, Severity::kWaiting, "readiness gate " + type,
                                 condition.is_null() ? "not set" : condition["status"].str(), changed_at(condition));
    line.why = "whoever looks after this gate has to set the pod's condition " + type + " to True";
    if (const std::string message = shortened(condition["message"].as_string()); !message.empty())
      line.why += "; it says: " + message;
    line.hint =
        explanation.kubectl("get pod " + std::string(api::name_of(pod)) + " -o jsonpath='{.status.conditions}'");
  }
}

// A pod that waits for a resize keeps running with its present resources.
void explain_resize(Explanation& explanation, const Value& pod, int depth) {
  const Value& pending = api::condition_of(pod, "PodResizePending");
  const Value& under_way = api::condition_of(pod, "PodResizeInProgress");
  const bool waits = pending["status"].as_string() == "True";
  if (!waits && under_way["status"].as_string() != "True") return;
  const Value& condition = waits ? pending : under_way;
  const std::string reason = condition["reason"].str(waits ? "Pending" : "under way");
  Line& line =
      explanation.add(depth, reason == "Infeasible" || reason == "Error" ? Severity::kBroken : Severity::kWaiting,
                      "resize", reason, changed_at(condition));
  line.why = shortened(condition["message"].as_string());
  if (line.why.empty()) line.why = waits ? "the node has not granted it" : "the node is bringing it into force";
  if (!waits) return;
  const std::string patch =
      "ask for less: " + explanation.kubectl("edit pod " + std::string(api::name_of(pod)) + " --subresource=resize");
  line.hint =
      reason == "Deferred" ? patch + ", or make room: kubectl describe node " + pod["spec"]["nodeName"].str() : patch;
}

// A failed pod: its owner, if any, creates another one.
void explain_failed(Explanation& explanation, const Value& pod, Line& line) {
  const Value& owner = api::controller_of(pod);
  line.severity = Severity::kBroken;
  line.why = shortened(pod["status"]["message"].as_string());
  if (line.why.empty()) line.why = "a container failed, and the pod's restartPolicy starts it no more";
  if (owner.is_null()) {
    line.why += "; nobody makes another one";
    line.hint = explanation.kubectl("delete pod " + std::string(api::name_of(pod)) + "   (and create it again)");
  } else {
    line.why += "; " + lower(owner["kind"].as_string()) + "/" + owner["name"].str() + " decides about another one";
  }
}

}  // namespace

void explain_budgets(Explanation& explanation, const Value& pod, Disruption disruption, int depth) {
  for (const Value& budget : explanation.list(kPodDisruptionBudgets)) {
    if (disruption == Disruption::kDeletion && api::annotation_of(budget, api::kBudgetEverything) != "true") continue;
    const auto selector = api::LabelSelector::of_object(budget["spec"]["selector"]);
    if (!selector.ok() || !selector->matches(api::labels_of(pod)) ||
        budget["status"]["disruptionsAllowed"].as_int() > 0)
      continue;
    const bool eviction = disruption == Disruption::kEviction;
    Line& line = explanation.add(depth, eviction ? Severity::kNote : Severity::kWaiting,
                                 "poddisruptionbudget/" + std::string(api::name_of(budget)),
                                 eviction ? "allows 0 evictions" : "allows 0 disruptions",
                                 changed_at(api::condition_of(budget, "DisruptionAllowed")));
    line.why = eviction ? "draining the node waits for it: " : "the set waits for it: ";
    line.why += counted(budget["status"]["currentHealthy"].as_int(), "pod") + " healthy, " +
                std::to_string(budget["status"]["desiredHealthy"].as_int()) + " wanted";
    line.hint = explanation.kubectl("get pdb " + std::string(api::name_of(budget)));
  }
}

void explain_pod(Explanation& explanation, const Value& pod, int depth) {
  const std::string phase = pod["status"]["phase"].str("Pending");
  const std::string node_name = pod["spec"]["nodeName"].str();
  Line& line =
      explanation.add(depth, Severity::kGood, "pod/" + std::string(api::name_of(pod)), state_text(pod), since(pod));
  const int child = depth + 1;
  if (api::is_terminating(pod)) explain_deletion(explanation, pod, child);
  if (phase == "Succeeded") return;
  if (phase == "Failed" && !api::is_terminating(pod)) explain_failed(explanation, pod, line);
  if (node_name.empty()) {
    if (!api::is_terminating(pod) && phase != "Failed") explain_scheduling(explanation, pod, child);
    return;
  }
  const bool well = is_pod_well(pod);
  const std::vector<Value> events = well ? std::vector<Value>() : explanation.events_of(pod);
  // A cordon or a new NoSchedule taint has no effect on a running pod.
  explain_node(explanation, node_name, pod, Severity::kNote, child);
  if (explanation.in_cluster(kNodes, node_name)["spec"]["unschedulable"].as_bool() && !api::is_terminating(pod) &&
      phase != "Failed")
    explain_budgets(explanation, pod, Disruption::kEviction, child);
  explain_claims_of(explanation, pod, child);
  if (phase != "Failed" && !api::is_terminating(pod)) explain_preparation(explanation, pod, events, child);
  explain_containers(explanation, pod, events, child);
  if (phase == "Failed" || api::is_terminating(pod)) return;
  explain_gates(explanation, pod, child);
  explain_resize(explanation, pod, child);
  if (well) return;
  // If a step explains the wait, the condition adds nothing.
  if (explanation.waiting_below(line)) return;
  line.severity = Severity::kWaiting;
  const Value& ready = api::condition_of(pod, "Ready");
  line.why = shortened(ready["message"].as_string());
  if (ready.is_null()) {
    line.why = "the agent of node " + node_name + " has not said anything about it yet";
  } else if (line.why.empty() && ready["reason"].is_string()) {
    line.why = "the pod's condition Ready is False: " + ready["reason"].str();
  }
}

}  // namespace berth::why

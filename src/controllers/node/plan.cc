#include "controllers/node/plan.h"

#include <algorithm>
#include <optional>

#include "base/time/time.h"
#include "controllers/shared/pod_condition.h"
#include "controllers/shared/taints.h"

namespace berth::controllers::node {
namespace {

using namespace api::resources;  // NOLINT

Value in_status(Value status) { return Value::object({{"status", std::move(status)}}); }

// The conditions of a node without heartbeats; null if they are Unknown already.
Value silent_conditions(const Value& node, Time now) {
  Value conditions = node["status"]["conditions"];
  bool changed = false;
  for (const char* type : {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"}) {
    const Value& known = api::condition_of(node, type);
    if (known["status"].as_string() == "Unknown") continue;
    const bool never = known.is_null();
    changed |=
        api::set_condition(conditions, type, "Unknown", never ? "NodeStatusNeverUpdated" : "NodeStatusUnknown",
                           never ? "Kubelet never posted node status." : "Kubelet stopped posting node status.", now);
  }
  return changed ? conditions : Value();
}

void sync_taints(const Value& node, Time now, Plan& plan) {
  const Value wanted = desired_taints(node, now);
  const Value& have = node["spec"]["taints"];
  if (wanted == have || (wanted.empty() && have.empty())) return;
  Value change = Value::object({{"spec", Value::object({{"taints", wanted.empty() ? Value() : wanted}})}});
  plan.add(patch(kNodes, node, api::PatchType::kMerge, std::move(change), true));
}

}  // namespace

Plan plan_health(const HealthView& view, const NodeHealthConfig& config, Time now) {
  Plan plan;
  const Value& node = view.node;
  if (node.is_null()) return plan;
  if (const std::string name(api::name_of(node)); view.unknown) {
    plan.event(node, kNormal, "RegisteredNode", "Node " + name + " event: Registered Node " + name + " in Controller");
  }
  const bool silent = view.silent >= config.grace;
  if (!silent) {
    plan.requeue_after(config.grace - view.silent);
  } else if (Value conditions = silent_conditions(node, now); !conditions.is_null()) {
    Action action = patch_status(kNodes, node, in_status(Value::object({{"conditions", conditions}})), true);
    action.succeeded(node, kNormal, "NodeNotReady",
                     "Node " + std::string(api::name_of(node)) + " status is now: NodeNotReady");
    plan.first.push_back(std::move(action));
    return plan;  // the next plan derives taints and pods from the conditions
  }
  sync_taints(node, now, plan);
  if (!silent) return plan;
  for (const Value& pod : view.pods) {
    if (!api::is_pod_ready(pod) || api::is_pod_terminal(pod)) continue;
    Action action = pod_condition(pod, "Ready", "False", "", "", now);
    action.succeeded(pod, kWarning, "NodeNotReady", "Node is not ready");
    plan.add(std::move(action));
  }
  return plan;
}

std::string taint_key(const Value& taint) {
  return taint["key"].str() + "=" + taint["value"].str() + ":" + taint["effect"].str();
}

namespace {

// When the pod must be evicted; empty: never.
std::optional<Time> evict_at(const Value& pod, const EvictionView& view, Time now) {
  const auto made = parse_time(pod["metadata"]["creationTimestamp"].as_string());
  std::optional<Time> earliest;
  for (const Value& taint : view.node["spec"]["taints"]) {
    if (taint["effect"].as_string() != kNoExecute) continue;
    const auto stay = tolerated_for(pod, taint);
    if (!stay) continue;
    if (*stay == Duration::zero()) return now;
    const auto added = parse_time(taint["timeAdded"].as_string());
    const auto seen = view.seen.find(taint_key(taint));
    Time met = added.ok() ? added.value() : seen == view.seen.end() ? now : seen->second;
    if (made.ok()) met = std::max(met, made.value());
    earliest = earliest ? std::min(*earliest, met + *stay) : met + *stay;
  }
  return earliest;
}

}  // namespace

Plan plan_eviction(const EvictionView& view, Time now) {
  Plan plan;
  for (const Value& pod : view.pods) {
    if (api::is_terminating(pod)) continue;
    const auto at = evict_at(pod, view, now);
    if (!at) continue;
    if (*at > now) {
      plan.requeue_after(*at - now);
      continue;
    }
    Action mark = pod_condition(pod, "DisruptionTarget", "True", "DeletionByTaintManager",
                                "Taint manager: deleting due to NoExecute taint", now);
    Action action = remove(kPods, pod);
    action.succeeded(pod, kNormal, "TaintManagerEviction", "Marking for deletion Pod " + key_of(pod));
    plan.add_chain({std::move(mark), std::move(action)});
  }
  return plan;
}

}  // namespace berth::controllers::node

#include "controllers/podgc/plan.h"

#include <algorithm>
#include <tuple>

#include "controllers/shared/pod_condition.h"

namespace berth::controllers::podgc {
namespace {

using namespace api::resources;  // NOLINT

// Deletes with grace period 0, without the agent.
Plan delete_pod(const Value& pod, Time now, bool is_disruption) {
  std::vector<Action> chain;
  if (!api::is_pod_terminal(pod)) {
    chain.push_back(is_disruption ? pod_condition(pod, "DisruptionTarget", "True", "DeletionByPodGC",
                                                  "PodGC: node no longer exists", now, "Failed")
                                  : pod_condition(pod, "", "", "", "", now, "Failed"));
  }
  chain.push_back(remove(kPods, pod, 0));
  Plan plan;
  plan.add_chain(std::move(chain));
  return plan;
}

}  // namespace

bool needs_live_node(const LostView& view, const PodGcConfig& config) {
  return !view.pod["spec"]["nodeName"].as_string().empty() && view.node.is_null() &&
         view.node_missing >= config.quarantine;
}

bool is_out_of_service(const Value& node) {
  if (node.is_null() || api::condition_is_true(node, "Ready")) return false;
  const Value& taints = node["spec"]["taints"];
  return std::any_of(taints.begin(), taints.end(), [](const Value& taint) {
    return taint["key"].as_string() == "node.kubernetes.io/out-of-service";
  });
}

Plan plan_lost(const LostView& view, const PodGcConfig& config, Time now) {
  Plan plan;
  const Value& pod = view.pod;
  if (pod.is_null()) return plan;
  const bool is_deleted = api::is_terminating(pod);
  if (pod["spec"]["nodeName"].as_string().empty()) return is_deleted ? delete_pod(pod, now, false) : plan;
  if (!view.node.is_null()) return is_deleted && is_out_of_service(view.node) ? delete_pod(pod, now, false) : plan;
  if (view.node_missing < config.quarantine) {
    plan.requeue_after(config.quarantine - view.node_missing);
    return plan;
  }
  return view.live_node == LostView::LiveNode::kGone ? delete_pod(pod, now, true) : plan;
}

Plan plan_ended(std::vector<Value> ended, const PodGcConfig& config) {
  Plan plan;
  if (config.ended_kept == 0 || ended.size() <= config.ended_kept) return plan;
  auto rank = [](const Value& pod) {
    const bool evicted =
        pod["status"]["phase"].as_string() == "Failed" && pod["status"]["reason"].as_string() == "Evicted";
    return std::tuple(!evicted, pod["metadata"]["creationTimestamp"].as_string(), api::namespace_of(pod),
                      api::name_of(pod));
  };
  std::sort(ended.begin(), ended.end(), [&](const Value& a, const Value& b) { return rank(a) < rank(b); });
  ended.resize(ended.size() - config.ended_kept);
  for (const Value& pod : ended) plan.add(remove(kPods, pod, 0));
  return plan;
}

}  // namespace berth::controllers::podgc

#pragma once
// Pods that no other component deletes. Pure. The rules are Kubernetes':
//   * A pod on a node that has been missing for `quarantine`, confirmed by a live read, is marked Failed with the
//     condition DisruptionTarget and deleted. A pod created later for that node gets the complete quarantine.
//   * A pod that is being deleted and has no node is deleted at once: no agent will confirm its end.
//   * A pod that is being deleted, on a node that is not ready and has the taint node.kubernetes.io/out-of-service, is
//     deleted at once: with the taint an administrator asserts that nothing runs there.
//   * At most `ended_kept` ended pods are retained: evicted ones are deleted first, then the oldest.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::podgc {

struct PodGcConfig {
  Duration quarantine = 40s;       // how long a node must be missing before its pods count as lost
  std::size_t ended_kept = 12500;  // number of ended pods to retain
};

struct LostView {
  Value pod;                // null: the pod does not exist
  Value node;               // of the pod, as cached; null: none
  Duration node_missing{};  // how long the cache has lacked the node while the pod existed
  enum class LiveNode { kNotRead, kThere, kGone } live_node = LiveNode::kNotRead;
};
// True if the node must be looked up with a live read.
bool needs_live_node(const LostView& view, const PodGcConfig& config);
Plan plan_lost(const LostView& view, const PodGcConfig& config, Time now);

bool is_out_of_service(const Value& node);

// `ended`: all pods that have ended, in any order.
Plan plan_ended(std::vector<Value> ended, const PodGcConfig& config);

}  // namespace berth::controllers::podgc

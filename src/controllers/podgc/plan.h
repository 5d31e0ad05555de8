#pragma once
// Pods that nobody else will end. Pure. The rules are Kubernetes':
//   * A pod on a node that has been missing for the quarantine, and that the server does not know either, is marked Failed
//     with the condition DisruptionTarget and deleted. One that was made for it later has the quarantine to itself.
//   * A pod that is being deleted and has no node is deleted at once: no agent will ever confirm its end.
//   * So is one on a node that is not ready and has the taint node.kubernetes.io/out-of-service: its owner vouches that
//     nothing runs there any more.
//   * Of the pods that have ended only so many are kept: evicted ones go first, then the oldest.

#include <vector>

#include "controllers/driver.h"

namespace berth::controllers::podgc {

struct Config {
  Duration quarantine = 40s;       // a node must be missing, before its pods are taken for lost
  std::size_t ended_kept = 12500;  // pods that have ended
};

struct LostView {
  Value pod;                // null: there is none
  Value node;               // that it is on, as cached; null: there is none
  Duration node_missing{};  // for how long the cache has not had it while the pod was there
  enum class Live { kNotAsked, kThere, kGone } live = Live::kNotAsked;
};
// The server itself has to be asked for the node now.
bool needs_live_node(const LostView& view, const Config& config);
Plan plan_lost(const LostView& view, const Config& config, Time now);

bool is_out_of_service(const Value& node);

// `ended`: all pods that have ended, in any order.
Plan plan_ended(std::vector<Value> ended, const Config& config);

}  // namespace berth::controllers::podgc

// Replacement of pods with an old template.
#include <algorithm>

#include "base/text.h"
#include "controllers/shared/blocked_reason.h"
#include "controllers/statefulset/planner.h"

namespace berth::controllers::statefulset {

namespace {

// A pod that was ready less than this ago may become ready again by itself.
constexpr Duration kUnreadyIsBroken = 10s;

}  // namespace

bool SetPlanner::is_outdated(const Replica& replica) const {
  if (replica.state.revision != update_name_) return true;
  if (api::annotation_of(replica.pod, kOverrideAnnotation) != override_hash(spec_, replica.ordinal)) return true;
  if (!spec_.options.claim_template_updates) return false;
  return !claims_match(spec_, replica.pod, set_["spec"]["volumeClaimTemplates"], replica.ordinal) ||
         needs_remount(replica);
}

// A pod that is not ready and will not become ready, of an old template, blocks an ordered set for ever. Replaces such
// pods from the last to the first, at no cost in availability. Pods being replaced count against maxUnavailable.
void SetPlanner::replace_broken() {
  if (spec_.on_delete || spec_.parallel) return;
  int under_way = 0;
  for (const Replica& replica : replicas_) {
    const bool fresh = !replica.pod.is_null() && !replica.outdated && !replica.state.available;
    under_way += fresh || replica.state.terminating ? 1 : 0;
  }
  for (auto replica = replicas_.rbegin(); replica != replicas_.rend() && replica->ordinal >= spec_.first_updated();
       ++replica) {
    if (replica->pod.is_null() || !replica->outdated || replica->state.ready || replica->state.terminating ||
        replica->state.ended)
      continue;
    const bool starting = replica->state.pending || blocked_reason_of(replica->pod);
    const Time broken_at = replica->state.unready_since + kUnreadyIsBroken;
    if (!starting && broken_at > now_) {
      plan_.requeue_after(broken_at - now_);
      continue;
    }
    if (under_way >= spec_.max_unavailable) return;
    ++under_way;
    plan_.event(set_, kNormal, "ReplacingBroken",
                "Pod " + std::string(api::name_of(replica->pod)) +
                    " is not ready and its template is no longer asked for: replaced");
    delete_pod(*replica);
  }
}

void SetPlanner::roll_out() {
  if (spec_.on_delete) return;
  auto is_replaceable = [&](const Replica& replica) {
    return replica.outdated && !replica.state.terminating && replica.ordinal >= spec_.first_updated();
  };
  int unavailable = 0;
  for (const Replica& replica : replicas_) unavailable += replica.state.unavailable() ? 1 : 0;
  int budget = spec_.options.recreate ? spec_.replicas : spec_.max_unavailable - unavailable;
  if (spec_.parallel) {
    // Pods that are not available serve no clients: replacing them costs no availability.
    for (auto replica = replicas_.rbegin(); replica != replicas_.rend(); ++replica) {
      if (is_replaceable(*replica) && !replica->state.available) delete_pod(*replica);
    }
  }
  for (auto replica = replicas_.rbegin(); replica != replicas_.rend(); ++replica) {
    if (!is_replaceable(*replica)) continue;
    if (budget <= 0) {
      wait("Updating", describe(*replica) + " is to be replaced by revision " + update_name_ +
                           ", when the members replaced before it are ready");
      return;
    }
    if (!may_disrupt(*replica)) return;
    wait_for_end(*replica);
    delete_pod(*replica);
    --budget;
  }
}

}  // namespace berth::controllers::statefulset

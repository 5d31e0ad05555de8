// Members of an old template.
#include <algorithm>

#include "base/text.h"
#include "controllers/shared/blocked_reason.h"
#include "controllers/statefulset/planner.h"

namespace berth::controllers::statefulset {

namespace {

// A member that was ready a moment ago may become so again by itself.
constexpr Duration kUnreadyIsBroken = 10s;

}  // namespace

bool SetPlanner::is_outdated(const Replica& replica) const {
  if (replica.state.revision != update_name_) return true;
  if (api::annotation_of(replica.pod, kOverrideAnnotation) != override_hash(shape_, replica.ordinal)) return true;
  if (!shape_.options.claim_template_updates) return false;
  return !claims_match(shape_, replica.pod, set_["spec"]["volumeClaimTemplates"], replica.ordinal) ||
         needs_remount(replica);
}

// A member that is not ready and will not be, of a template that is no longer asked for, blocks an ordered set for
// ever. It is replaced, from the last to the first; it costs no availability, and what is being replaced still counts.
void SetPlanner::replace_broken() {
  if (shape_.on_delete || shape_.parallel) return;
  int under_way = 0;
  for (const Replica& replica : replicas_) {
    const bool fresh = !replica.pod.is_null() && !replica.outdated && !replica.state.available;
    under_way += fresh || replica.state.terminating ? 1 : 0;
  }
  for (auto replica = replicas_.rbegin(); replica != replicas_.rend() && replica->ordinal >= shape_.first_updated();
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
    if (under_way >= shape_.max_unavailable) return;
    ++under_way;
    plan_.event(set_, kNormal, "ReplacingBroken",
                "Pod " + std::string(api::name_of(replica->pod)) +
                    " is not ready and its template is no longer asked for: replaced");
    delete_pod(*replica);
  }
}

void SetPlanner::roll() {
  if (shape_.on_delete) return;
  auto to_go = [&](const Replica& replica) {
    return replica.outdated && !replica.state.terminating && replica.ordinal >= shape_.first_updated();
  };
  int unavailable = 0;
  for (const Replica& replica : replicas_) unavailable += replica.state.unavailable() ? 1 : 0;
  int budget = shape_.options.recreate ? shape_.replicas : shape_.max_unavailable - unavailable;
  if (shape_.parallel) {
    // Members that serve nobody cost no availability.
    for (auto replica = replicas_.rbegin(); replica != replicas_.rend(); ++replica) {
      if (to_go(*replica) && !replica->state.available) delete_pod(*replica);
    }
  }
  for (auto replica = replicas_.rbegin(); replica != replicas_.rend(); ++replica) {
    if (!to_go(*replica)) continue;
    if (budget <= 0) {
      wait("Updating", call(*replica) + " is to be replaced by revision " + update_name_ +
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

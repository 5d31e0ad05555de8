// Members of an old template.
#include <algorithm>

#include "base/text.h"
#include "controllers/statefulset/planner.h"

namespace berth::controllers::statefulset {

namespace {

// A member that was ready a moment ago may become so again by itself.
constexpr Duration kUnreadyIsBroken = 10s;

}  // namespace

bool SetPlanner::is_outdated(const Place& place) const {
  if (place.state.revision != update_name_) return true;
  if (api::annotation_of(place.pod, kOverrideAnnotation) != override_hash(shape_, place.ordinal)) return true;
  if (!shape_.options.claim_template_updates) return false;
  return !claims_match(shape_, place.pod, set_["spec"]["volumeClaimTemplates"], place.ordinal) || needs_remount(place);
}

// A member that is not ready and will not be, of a template that is no longer asked for, blocks an ordered set for ever. It
// is replaced, from the last to the first; it costs no availability, and what is being replaced still counts.
void SetPlanner::replace_broken() {
  if (shape_.on_delete || shape_.parallel) return;
  int under_way = 0;
  for (const Place& place : replicas_) {
    const bool fresh = !place.pod.is_null() && !place.outdated && !place.state.available;
    under_way += fresh || place.state.terminating ? 1 : 0;
  }
  for (auto place = replicas_.rbegin(); place != replicas_.rend() && place->ordinal >= shape_.first_updated(); ++place) {
    if (place->pod.is_null() || !place->outdated || place->state.ready || place->state.terminating || place->state.ended) continue;
    const bool starting = place->state.pending || trouble_of(place->pod);
    const Time broken_at = place->state.unready_since + kUnreadyIsBroken;
    if (!starting && broken_at > now_) {
      plan_.look_again(broken_at - now_);
      continue;
    }
    if (under_way >= shape_.max_unavailable) return;
    ++under_way;
    plan_.event(set_, kNormal, "ReplacingBroken",
                "Pod " + std::string(api::name_of(place->pod)) + " is not ready and its template is no longer asked for: replaced");
    delete_pod(*place);
  }
}

void SetPlanner::roll() {
  if (shape_.on_delete) return;
  auto to_go = [&](const Place& place) { return place.outdated && !place.state.terminating && place.ordinal >= shape_.first_updated(); };
  int unavailable = 0;
  for (const Place& place : replicas_) unavailable += place.state.unavailable() ? 1 : 0;
  int budget = shape_.options.recreate ? shape_.replicas : shape_.max_unavailable - unavailable;
  if (shape_.parallel) {
    // Members that serve nobody cost no availability.
    for (auto place = replicas_.rbegin(); place != replicas_.rend(); ++place) {
      if (to_go(*place) && !place->state.available) delete_pod(*place);
    }
  }
  for (auto place = replicas_.rbegin(); place != replicas_.rend(); ++place) {
    if (!to_go(*place)) continue;
    if (budget <= 0) {
      wait("Updating", call(*place) + " is to be replaced by revision " + update_name_ + ", when the members replaced before it are ready");
      return;
    }
    if (!may_disrupt(*place)) return;
    wait_for_end(*place);
    delete_pod(*place);
    --budget;
  }
}

}  // namespace berth::controllers::statefulset

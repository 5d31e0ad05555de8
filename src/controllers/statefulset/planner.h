#pragma once
// The planner of one StatefulSet; lives for one plan. Internal to this folder: plan.cc orders the work, claims.cc
// handles claims, rollout.cc replaces pods of old templates, report.cc writes the status and explains what the set
// waits for.

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/selector.h"
#include "controllers/shared/set_identity.h"
#include "controllers/statefulset/plan.h"

namespace berth::controllers::statefulset {

// One ordinal: its pod, or null.
struct Replica {
  int ordinal = 0;
  Value pod;
  PodState state;
  bool outdated = false;  // the pod exists and does not match the newest template, override and claim templates
};

struct Counts {
  int replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
};

// What the set waits for: reason and message of the condition Progressing.
struct WaitReason {
  std::string reason, message;
  bool stuck = false;  // needs a user's help: the wait will not end by itself
};

class SetPlanner {
 public:
  SetPlanner(const StatefulSetView& view, Time now)
      : view_(view), set_(view.set), now_(now), spec_(parse_set_spec(view.set)) {}
  Plan run();

 private:
  // plan.cc
  bool adopt_and_release_members();
  void collect_replicas();
  void order_revisions();
  bool reconcile_replicas();
  bool reconcile_replica(Replica& replica);
  bool reconcile_ended(Replica& replica);
  bool is_held_back(const Replica& replica);
  bool reconcile_surplus(Replica& replica, bool blocked);
  void create_pod(Replica& replica);
  void delete_pod(Replica& replica, std::vector<Action> before = {});
  void fix_identity(const Replica& replica);
  void sync_teardown_finalizer();
  void tear_down();
  bool is_outage() const;
  bool may_disrupt(const Replica& replica);
  const Value& template_for(int ordinal, std::string_view& revision) const;

  // claims.cc
  const Value& claim_templates_for(std::string_view revision) const;
  bool claims_usable(const Replica& replica);
  void add_missing_claims(const Replica& replica, const Value& templates, std::vector<Action>& chain);
  std::vector<std::string> adopt_claims(const Replica& replica, const Value& templates, std::vector<Action>& chain);
  void fix_claim_owners(const Replica& replica, std::vector<Action>& chain);
  void retain_claims_without_pods();
  void retain_claims_of_removed_templates(const Replica& replica);
  bool needs_remount(const Replica& replica) const;
  void update_claims();

  // rollout.cc
  bool is_outdated(const Replica& replica) const;
  void roll_out();
  void replace_broken();

  // report.cc
  void wait(std::string_view reason, std::string message, bool stuck = false);
  void wait_for(const Replica& replica);
  void wait_for_end(const Replica& replica);
  std::string describe(const Replica& replica) const;  // "web-1 (revision web-abc)"
  std::vector<int> initialised() const;
  void count(const Replica& replica);
  void count_created(std::string_view revision);
  void uncount_deleted(const Replica& replica);
  Value status_of(const Counts& counts) const;
  void add_conditions(Value& status, bool refused) const;
  void finish();

  std::string event_text(std::string_view verb, std::string_view pod) const {
    return std::string(verb) + " Pod " + std::string(pod) + " in StatefulSet " + spec_.name;
  }

  const StatefulSetView& view_;
  const Value& set_;
  Time now_;
  SetSpec spec_;
  Plan plan_;
  Revisions revisions_;
  std::string current_name_, update_name_;
  Value current_template_, update_template_;
  Value current_claims_;  // claim templates of the current revision; null if not stored with it
  std::vector<Replica> replicas_;
  std::vector<Replica> surplus_;  // sorted from the last ordinal down
  const Replica* first_unhealthy_ = nullptr;
  bool outage_ = false;
  std::vector<int> initialised_;
  Counts observed_, expected_;
  WaitReason wait_;
  std::string claims_progress_, claims_problem_;  // progress and first problem of changing claim templates
  std::set<std::string> fixed_claims_;            // claims whose owners this plan changes
  std::map<std::string, int> disruptions_used_;   // by PodDisruptionBudget: the disruptions that this plan makes
};

}  // namespace berth::controllers::statefulset

#include <map>
#include <optional>
#include <set>

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using controllers::MemberName;
using controllers::parse_member_name;
using controllers::parse_set_spec;
using controllers::SetSpec;

constexpr int kOrdinals = 60;  // larger than any scenario's sets

class Claims final : public Checker {
 public:
  explicit Claims(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "claims"; }

  void on_change(const ObjectChange& change) override {
    if (change.resource == kStatefulSets) return remember(change);
    if (change.resource != kPersistentVolumeClaims || change.before.is_null()) return;
    const bool starts =
        !change.after.is_null() && !api::is_terminating(change.before) && api::is_terminating(change.after);
    const bool at_once = change.after.is_null() && !api::is_terminating(change.before);
    if (!starts && !at_once) return;
    if (truth_.excused(api::uid_of(change.before))) return;
    const std::string claim(api::name_of(change.before));
    const MemberName member = parse_member_name(claim);
    for (std::size_t dash = member.parent.find('-'); dash != std::string_view::npos;
         dash = member.parent.find('-', dash + 1)) {
      judge({std::string(api::namespace_of(change.before)), std::string(member.parent.substr(dash + 1))},
            member.ordinal, claim);
    }
  }

 private:
  // When the set's desired state last allowed the deletion of its claims.
  struct PolicyHistory {
    std::optional<Duration> may_go_with_set;  // whenDeleted: Delete, and the set is deleted or being deleted
    std::optional<Duration> deleted_policy;   // the last time whenDeleted was Delete
    std::map<int, Duration> may_go_scaled;    // whenScaled: Delete, per ordinal out of range: last time
    // Ordinals out of range when a set was deleted: their claims are deleted with their last pods. Deleted claims, by
    // ordinal.
    std::map<int, std::set<std::string>> given_up;
    Value set;
  };

  void remember(const ObjectChange& change) {
    const Value& set = change.after.is_null() ? change.before : change.after;
    PolicyHistory& policy = policies_[api::name_key(set)];
    record(policy);  // the state up to now
    policy.set = change.after;
    const SetSpec set_spec = parse_set_spec(set);
    if (change.after.is_null() && set_spec.delete_when_scaled) {
      for (int i = 0; i < kOrdinals; ++i) {
        if (!set_spec.in_range(i)) policy.given_up[i].clear();
      }
    }
    const Duration long_ago = truth_.world().elapsed() - truth_.slack();
    const bool set_claims_deleted =
        set_spec.delete_when_deleted || (policy.deleted_policy && *policy.deleted_policy >= long_ago);
    if (set_claims_deleted && (change.after.is_null() || set_spec.terminating)) {
      policy.may_go_with_set = truth_.world().elapsed();
    }
    record(policy);
  }
  void record(PolicyHistory& policy) {
    if (policy.set.is_null()) return;
    const SetSpec set_spec = parse_set_spec(policy.set);
    if (set_spec.delete_when_deleted) policy.deleted_policy = truth_.world().elapsed();
    if (!set_spec.delete_when_scaled) return;
    for (int i = 0; i < kOrdinals; ++i) {
      if (!set_spec.in_range(i)) policy.may_go_scaled[i] = truth_.world().elapsed();
    }
  }
  void judge(const api::Name& set_name, int ordinal, const std::string& claim) {
    auto found = policies_.find(set_name);
    if (found == policies_.end()) return;
    PolicyHistory& policy = found->second;
    record(policy);
    const Duration long_ago = truth_.world().elapsed() - 4 * truth_.slack();
    if (policy.may_go_with_set && *policy.may_go_with_set >= long_ago) return;
    auto scaled = policy.may_go_scaled.find(ordinal);
    if (scaled != policy.may_go_scaled.end() && scaled->second >= long_ago) return;
    auto given_up = policy.given_up.find(ordinal);
    if (given_up != policy.given_up.end() && given_up->second.insert(claim).second) return;
    truth_.violation(name(), "claim " + claim + " was deleted though " + set_name.name + "-" + std::to_string(ordinal) +
                                 " can return");
  }

  Truth& truth_;
  std::map<api::Name, PolicyHistory> policies_;
};

}  // namespace

std::unique_ptr<Checker> check_claims(Truth& truth) { return std::make_unique<Claims>(truth); }

}  // namespace berth::sim

#include <map>
#include <optional>
#include <set>

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using controllers::Member;
using controllers::parse_member;
using controllers::Shape;
using controllers::shape_of;

constexpr int kOrdinals = 60;  // more than any scenario's set has

class Claims final : public Checker {
 public:
  explicit Claims(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "claims"; }

  void on_change(const Change& change) override {
    if (change.resource == kStatefulSets) return remember(change);
    if (change.resource != kPersistentVolumeClaims || change.before.is_null()) return;
    const bool starts =
        !change.after.is_null() && !api::is_terminating(change.before) && api::is_terminating(change.after);
    const bool at_once = change.after.is_null() && !api::is_terminating(change.before);
    if (!starts && !at_once) return;
    if (truth_.excused(api::uid_of(change.before))) return;
    const std::string claim(api::name_of(change.before));
    const Member member = parse_member(claim);
    for (std::size_t dash = member.parent.find('-'); dash != std::string_view::npos;
         dash = member.parent.find('-', dash + 1)) {
      judge({std::string(api::namespace_of(change.before)), std::string(member.parent.substr(dash + 1))},
            member.ordinal, claim);
    }
  }

 private:
  // When the set last wished something under which the claims of these ordinals may go.
  struct ExpectedState {
    std::optional<Duration> may_go_with_set;  // whenDeleted: Delete, and gone or going
    std::optional<Duration> deleted_policy;   // the last time whenDeleted was Delete
    std::map<int, Duration> may_go_scaled;    // whenScaled: Delete, per ordinal out of range: last time
    // Out of range when a set was deleted: their claims go with their last pods. Those that have, by ordinal.
    std::map<int, std::set<std::string>> given_up;
    Value set;
  };

  void remember(const Change& change) {
    const Value& set = change.after.is_null() ? change.before : change.after;
    ExpectedState& wishes = wishes_[api::name_key(set)];
    note(wishes);  // what was true up to now
    wishes.set = change.after;
    const Shape shape = shape_of(set);
    if (change.after.is_null() && shape.delete_when_scaled) {
      for (int i = 0; i < kOrdinals; ++i) {
        if (!shape.in_range(i)) wishes.given_up[i].clear();
      }
    }
    const Duration long_ago = truth_.world().elapsed() - truth_.slack();
    const bool wanted = shape.delete_when_deleted || (wishes.deleted_policy && *wishes.deleted_policy >= long_ago);
    if (wanted && (change.after.is_null() || shape.terminating)) {
      wishes.may_go_with_set = truth_.world().elapsed();
    }
    note(wishes);
  }
  void note(ExpectedState& wishes) {
    if (wishes.set.is_null()) return;
    const Shape shape = shape_of(wishes.set);
    if (shape.delete_when_deleted) wishes.deleted_policy = truth_.world().elapsed();
    if (!shape.delete_when_scaled) return;
    for (int i = 0; i < kOrdinals; ++i) {
      if (!shape.in_range(i)) wishes.may_go_scaled[i] = truth_.world().elapsed();
    }
  }
  void judge(const api::Name& set_name, int ordinal, const std::string& claim) {
    auto found = wishes_.find(set_name);
    if (found == wishes_.end()) return;
    ExpectedState& wishes = found->second;
    note(wishes);
    const Duration long_ago = truth_.world().elapsed() - 4 * truth_.slack();
    if (wishes.may_go_with_set && *wishes.may_go_with_set >= long_ago) return;
    auto scaled = wishes.may_go_scaled.find(ordinal);
    if (scaled != wishes.may_go_scaled.end() && scaled->second >= long_ago) return;
    auto given_up = wishes.given_up.find(ordinal);
    if (given_up != wishes.given_up.end() && given_up->second.insert(claim).second) return;
    truth_.violation(name(), "claim " + claim + " was deleted though " + set_name.name + "-" + std::to_string(ordinal) +
                                 " can return");
  }

  Truth& truth_;
  std::map<api::Name, ExpectedState> wishes_;
};

}  // namespace

std::unique_ptr<Checker> check_claims(Truth& truth) { return std::make_unique<Claims>(truth); }

}  // namespace berth::sim

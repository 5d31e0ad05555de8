#include <map>
#include <set>
#include <tuple>

#include "api/quantity.h"
#include "api/set_options.h"
#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"
#include "sim/checkers/expected_state.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT

std::int64_t bytes(const Value& amounts) {
  const auto parsed = api::Quantity::parse(amounts["storage"].as_string());
  return parsed.ok() ? parsed->value() : 0;
}
std::int64_t asked(const Value& claim_or_template) { return bytes(claim_or_template["spec"]["resources"]["requests"]); }
std::int64_t there(const Value& claim) { return bytes(claim["status"]["capacity"]); }

class Growth final : public Checker {
 public:
  explicit Growth(Truth& truth) : truth_(truth), expected_(truth) {}
  std::string name() const override { return "growth"; }

  void on_change(const ObjectChange& change) override {
    expected_.on_change(change);
    if (change.resource == kStatefulSets) return remember(change);
    if (change.resource != kPersistentVolumeClaims) return;
    if (change.before.is_null()) {
      made_[std::string(api::uid_of(change.after))] = truth_.world().elapsed();
    } else if (deletion_started(change)) {
      if (!truth_.excused(api::uid_of(change.before))) on_claim_deletion(change.before);
    } else if (asked(change.after) > asked(change.before)) {
      grew(change.after);
    }
  }

  void at_rest() override {
    for (const auto& [name, set] : truth_.all(kStatefulSets)) {
      if (api::is_terminating(set) || has_hopeless(truth_, set)) continue;
      const ExpectedVersion version(set);
      // With OnDelete users restart the pods, and the claims of higher ordinals wait for that.
      if (!version.has_option(api::kClaimTemplateUpdates) || version.on_delete) continue;
      const Value& said = api::condition_of(set, "berth.dev/ClaimTemplates");
      if (!said.is_null() && said["status"].as_string() != "True") wrong(name.name + " says " + json::encode(said));
      for (int ordinal : version.ordinals()) {
        if (ordinal < version.first_updated) continue;
        for (const Value& one : set["spec"]["volumeClaimTemplates"]) check(version, one, ordinal);
        check_mounts(version, ordinal);
      }
    }
  }

 private:
  void wrong(const std::string& what) { truth_.violation(name(), what); }
  Duration long_ago() const { return truth_.world().elapsed() - truth_.slack(); }
  static api::Name claim_of(const ExpectedVersion& version, std::string_view claim_template, int ordinal) {
    return {std::string(api::namespace_of(version.set)),
            std::string(claim_template) + "-" + std::string(api::name_of(version.set)) + "-" + std::to_string(ordinal)};
  }

  void check(const ExpectedVersion& version, const Value& claim_template, int ordinal) {
    const api::Name name = claim_of(version, api::name_of(claim_template), ordinal);
    const Value& claim = truth_.get(kPersistentVolumeClaims, name);
    if (api::is_terminating(claim)) return;  // a user deleted it; it is gone together with its pod
    if (asked(claim) < asked(claim_template) || there(claim) < asked(claim_template))
      wrong("claim " + name.name + " asks for " + std::to_string(asked(claim)) + " and has " +
            std::to_string(there(claim)) + ", and its template asks for " + std::to_string(asked(claim_template)));
    const Value& attributes = claim_template["spec"]["volumeAttributesClassName"];
    if (!attributes.is_null() && claim["spec"]["volumeAttributesClassName"] != attributes)
      wrong("claim " + name.name + " has other attributes than its template");
  }
  void check_mounts(const ExpectedVersion& version, int ordinal) {
    const std::string pod = std::string(api::name_of(version.set)) + "-" + std::to_string(ordinal);
    std::set<std::string> mounted, wanted;
    for (const Value& volume :
         truth_.get(kPods, {std::string(api::namespace_of(version.set)), pod})["spec"]["volumes"]) {
      const Value& claim = volume["persistentVolumeClaim"]["claimName"];
      if (!claim.is_null()) mounted.insert(claim.str());
    }
    for (const Value& one : version.set["spec"]["volumeClaimTemplates"])
      wanted.insert(claim_of(version, api::name_of(one), ordinal).name);
    if (mounted != wanted) wrong(pod + " does not mount the claims of its templates");
  }

  // --- From the last to the first, each complete before the next
  void grew(const Value& claim) {
    const auto of_claim = place_of(claim);
    if (!of_claim) return;
    const auto& [set, claim_template, ordinal] = *of_claim;
    std::string behind;
    const bool out_of_turn =
        expected_.all(set, [&, &claim_template = claim_template, &ordinal = ordinal](const ExpectedVersion& version) {
          if (!version.has_option(api::kClaimTemplateUpdates) || !asks_for(version, claim_template, asked(claim)))
            return true;
          for (int other : version.ordinals()) {
            if (other <= ordinal || other < version.first_updated) continue;
            if (is_behind(version, claim_template, other)) {
              behind = claim_of(version, claim_template, other).name;
              return true;
            }
          }
          return false;
        });
    if (out_of_turn)
      wrong("claim " + std::string(api::name_of(claim)) + " was told to grow " +
            (behind.empty() ? "though nobody asked for it" : "before " + behind + " had grown"));
  }
  static bool asks_for(const ExpectedVersion& version, std::string_view claim_template, std::int64_t size) {
    for (const Value& one : version.set["spec"]["volumeClaimTemplates"]) {
      if (api::name_of(one) == claim_template) return asked(one) == size;
    }
    return false;
  }
  bool is_behind(const ExpectedVersion& version, std::string_view claim_template, int ordinal) const {
    const Value& claim = truth_.get(kPersistentVolumeClaims, claim_of(version, claim_template, ordinal));
    if (claim.is_null() || api::is_terminating(claim)) return false;
    const auto made = made_.find(std::string(api::uid_of(claim)));
    if (made != made_.end() && made->second >= long_ago()) return false;
    for (const Value& one : version.set["spec"]["volumeClaimTemplates"]) {
      if (api::name_of(one) != claim_template) continue;
      const bool bound = claim["status"]["phase"].as_string() == "Bound";
      return asked(claim) < asked(one) || (bound && there(claim) < asked(one));
    }
    return false;
  }

  // --- Removed templates
  struct Removed {
    Duration since;
    bool went_before;  // by the retention policy at that time
  };
  void remember(const ObjectChange& change) {
    const Value& set = change.after.is_null() ? change.before : change.after;
    auto& removed = removed_[api::name_key(set)];
    for (const Value& one : change.after["spec"]["volumeClaimTemplates"]) removed.erase(std::string(api::name_of(one)));
    if (change.before.is_null() || change.after.is_null()) return;
    for (const Value& one : change.before["spec"]["volumeClaimTemplates"]) {
      const Value& left = change.after["spec"]["volumeClaimTemplates"];
      if (std::none_of(left.begin(), left.end(),
                       [&](const Value& other) { return api::name_of(other) == api::name_of(one); }))
        removed[std::string(api::name_of(one))] = {truth_.world().elapsed(),
                                                   deletes(change.before) || deletes(change.after)};
    }
  }
  static bool deletes(const Value& set) {
    const Value& policy = set["spec"]["persistentVolumeClaimRetentionPolicy"];
    return policy["whenDeleted"].as_string() == "Delete" || policy["whenScaled"].as_string() == "Delete";
  }
  void on_claim_deletion(const Value& claim) {
    for (const auto& [set, templates] : removed_) {
      for (const auto& [claim_template, removed] : templates) {
        const auto member = controllers::parse_member_name(api::name_of(claim));
        if (set.ns != api::namespace_of(claim) || member.parent != claim_template + "-" + set.name) continue;
        if (removed.since < long_ago() || !removed.went_before)
          wrong("claim " + std::string(api::name_of(claim)) + " was deleted though its template was removed");
      }
    }
  }

  std::optional<std::tuple<Value, std::string, int>> place_of(const Value& claim) const {
    const auto member = controllers::parse_member_name(api::name_of(claim));
    for (const auto& [name, set] : truth_.all(kStatefulSets)) {
      const std::string end = "-" + name.name;
      if (name.ns != api::namespace_of(claim) || !member.parent.ends_with(end)) continue;
      return std::tuple{set, std::string(member.parent.substr(0, member.parent.size() - end.size())), member.ordinal};
    }
    return std::nullopt;
  }

  Truth& truth_;
  ExpectedState expected_;
  std::map<std::string, Duration> made_;                         // by the claim's uid
  std::map<api::Name, std::map<std::string, Removed>> removed_;  // set -> claim template
};

}  // namespace

std::unique_ptr<Checker> check_growth(Truth& truth) { return std::make_unique<Growth>(truth); }

}  // namespace berth::sim

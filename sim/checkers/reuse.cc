#include <map>
#include <set>
#include <string>

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"
#include "sim/checkers/expected_state.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using controllers::kUsedByAnnotation;

class Reuse final : public Checker {
 public:
  explicit Reuse(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "reuse"; }

  void on_change(const ObjectChange& change) override {
    if (change.resource == kPersistentVolumeClaims) {
      if (change.before.is_null() || change.after.is_null()) return;
      const std::string_view had = api::annotation_of(change.before, kUsedByAnnotation),
                             has = api::annotation_of(change.after, kUsedByAnnotation);
      if (had != has) taken_over_[api::name_key(change.after)] = std::string(has);
    } else if (change.resource == kPods && change.before.is_null()) {
      mounted(change.after);
    } else if (change.resource == kEvents && change.after["reason"].as_string() == "ReusedClaim") {
      const Value& pod = change.after["involvedObject"];
      for (const auto& [claim, uid] : silent_) {
        if (uid == pod["uid"].as_string() && change.after["message"].as_string().find(claim) != std::string_view::npos)
          told_.insert(claim);
      }
      for (const std::string& claim : told_) silent_.erase(claim);
      told_.clear();
    }
  }

  void at_rest() override {
    for (const auto& [name, claim] : truth_.all(kPersistentVolumeClaims)) check_user(name, claim);
    // With faults an event may be lost, and of two controllers one may see the annotation that the other wrote.
    if (!truth_.alone()) return;
    for (const auto& [claim, pod] : silent_)
      truth_.violation(name(), "nobody was told that claim " + claim + " was reused");
  }

 private:
  // The event is about the set's first pod that mounts the claim.
  void mounted(const Value& pod) {
    for (const Value& volume : pod["spec"]["volumes"]) {
      const Value& claim = volume["persistentVolumeClaim"]["claimName"];
      const auto found = taken_over_.find({std::string(api::namespace_of(pod)), claim.str()});
      if (claim.is_null() || found == taken_over_.end()) continue;
      if (found->second.find(api::controller_of(pod)["uid"].as_string()) != std::string::npos)
        silent_[claim.str()] = std::string(api::uid_of(pod));
      taken_over_.erase(found);
    }
  }
  // Claims in use are annotated with their set.
  void check_user(const api::Name& name, const Value& claim) {
    const Value& pod = truth_.get(kPods, {name.ns, name.name.substr(name.name.find('-') + 1)});
    const Value& set = owner_of(truth_, pod);
    if (set.is_null() || truth_.history(api::name_key(pod)).owned_since != truth_.history(api::name_key(pod)).since)
      return;  // adopted
    for (const Value& volume : pod["spec"]["volumes"]) {
      if (volume["persistentVolumeClaim"]["claimName"].as_string() != name.name) continue;
      if (api::annotation_of(claim, kUsedByAnnotation) != controllers::user_of_claims(set))
        truth_.violation(this->name(), "claim " + name.name + " says it is used by " +
                                           std::string(api::annotation_of(claim, kUsedByAnnotation)));
    }
  }

  Truth& truth_;
  std::map<api::Name, std::string> taken_over_;  // claims whose annotation has just changed, and its new value
  std::map<std::string, std::string> silent_;    // by claim: uid of the pod that the event must be about
  std::set<std::string> told_;
};

}  // namespace

std::unique_ptr<Checker> check_reuse(Truth& truth) { return std::make_unique<Reuse>(truth); }

}  // namespace berth::sim

#include "controllers/shared/set_identity.h"
#include "sim/checkers/checkers.h"

namespace berth::sim {
namespace {

using namespace api::resources;  // NOLINT
using namespace controllers;     // NOLINT

class StatusAtRest final : public Checker {
 public:
  explicit StatusAtRest(Truth& truth) : truth_(truth) {}
  std::string name() const override { return "status"; }

  void at_rest() override {
    for (const auto& [name, set] : truth_.all(kStatefulSets)) check(set);
    for (const auto& [name, pod] : truth_.all(kPods)) {
      const Value& owner = api::controller_of(pod);
      const Value& set = truth_.get(kStatefulSets, {name.ns, owner["name"].str()});
      if (api::uid_of(set) != owner["uid"].as_string()) wrong("pod " + name.name + " is left without its set");
    }
  }

 private:
  void wrong(const std::string& what) { truth_.violation(name(), what); }

  bool has_unrecoverable(const SetSpec& set_spec) const {
    for (const auto& [name, pod] : truth_.all(kPods)) {
      if (name.ns == set_spec.ns && parse_member_name(name.name).parent == set_spec.name &&
          truth_.is_unrecoverable(pod))
        return true;
    }
    return false;
  }

  // True if the pod matches its ordinal's override and claim templates, and none of its claims waits for a mount.
  bool is_as_asked(const Value& set, const SetSpec& set_spec, const Value& pod, int ordinal) const {
    if (api::annotation_of(pod, kOverrideAnnotation) != override_hash(set_spec, ordinal)) return false;
    if (!set_spec.options.claim_template_updates) return true;
    for (const Value& one : set["spec"]["volumeClaimTemplates"]) {
      const Value& claim =
          truth_.get(kPersistentVolumeClaims, {set_spec.ns, claim_name(set_spec, api::name_of(one), ordinal)});
      if (api::condition_is_true(claim, "FileSystemResizePending")) return false;
    }
    return claims_match(set_spec, pod, set["spec"]["volumeClaimTemplates"], ordinal);
  }

  void check(const Value& set) {
    const SetSpec set_spec = parse_set_spec(set);
    const Value& status = set["status"];
    int replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
    const bool unrecoverable = has_unrecoverable(set_spec);
    for (const auto& [name, pod] : truth_.all(kPods)) {
      const MemberName member = parse_member_name(name.name);
      if (member.parent != set_spec.name || name.ns != set_spec.ns) continue;
      const PodState state = state_of(pod, set_spec.min_ready_seconds, truth_.world().now());
      if (!unrecoverable && !set_spec.in_range(member.ordinal)) wrong(name.name + " should not exist");
      if (state.terminating) wrong(name.name + " is still terminating");
      ++replicas;
      ready += state.ready ? 1 : 0;
      available += state.available ? 1 : 0;
      current += state.revision == status["currentRevision"].as_string() ? 1 : 0;
      updated +=
          state.revision == status["updateRevision"].as_string() && is_as_asked(set, set_spec, pod, member.ordinal) ? 1
                                                                                                                    : 0;
      const bool below = set_spec.on_delete || member.ordinal < set_spec.start + set_spec.partition;
      if (!unrecoverable && !below && state.revision != status["updateRevision"].as_string())
        wrong(name.name + " is of an old revision");
      // Claims of a new template are created when the pod is replaced.
      const bool may_lack = unrecoverable || below || !set_spec.options.claim_template_updates;
      if (may_lack && !claims_match(set_spec, pod, set["spec"]["volumeClaimTemplates"], member.ordinal)) continue;
      for (const Value& one : set["spec"]["volumeClaimTemplates"]) {
        const std::string claim = claim_name(set_spec, api::name_of(one), member.ordinal);
        if (truth_.get(kPersistentVolumeClaims, {set_spec.ns, claim}).is_null())
          wrong("claim " + claim + " is missing");
      }
    }
    if (!unrecoverable &&
        (replicas != set_spec.replicas || ready != set_spec.replicas || available != set_spec.replicas)) {
      wrong(set_spec.name + " wants " + std::to_string(set_spec.replicas) + " members and has " +
            std::to_string(replicas) + ", ready " + std::to_string(ready) + ", available " + std::to_string(available));
    }
    auto expect = [&](std::string_view field, std::int64_t value) {
      if (status[field].as_int(0) != value) {
        wrong(set_spec.name + ": status." + std::string(field) + " is " + json::encode(status[field]) +
              " and should be " + std::to_string(value));
      }
    };
    expect("replicas", replicas);
    expect("readyReplicas", ready);
    expect("availableReplicas", available);
    expect("currentReplicas", current);
    expect("updatedReplicas", updated);
    expect("observedGeneration", set["metadata"]["generation"].as_int());
    const Value& revision = truth_.get(kControllerRevisions, {set_spec.ns, status["updateRevision"].str()});
    if (revision["data"]["spec"]["template"]["spec"]["containers"] != set["spec"]["template"]["spec"]["containers"]) {
      wrong(set_spec.name + ": updateRevision is not the set's template");
    }
  }

  Truth& truth_;
};

}  // namespace

std::unique_ptr<Checker> check_status(Truth& truth) { return std::make_unique<StatusAtRest>(truth); }

}  // namespace berth::sim

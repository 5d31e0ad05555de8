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

  bool has_hopeless(const Shape& shape) const {
    for (const auto& [name, pod] : truth_.all(kPods)) {
      if (name.ns == shape.ns && parse_member(name.name).parent == shape.name && truth_.hopeless(pod)) return true;
    }
    return false;
  }

  // By its ordinal's override and by the claims that it mounts, and none of them waits for the next mount.
  bool is_as_asked(const Value& set, const Shape& shape, const Value& pod, int ordinal) const {
    if (api::annotation_of(pod, kOverrideAnnotation) != override_hash(shape, ordinal)) return false;
    if (!shape.options.claim_template_updates) return true;
    for (const Value& one : set["spec"]["volumeClaimTemplates"]) {
      const Value& claim =
          truth_.get(kPersistentVolumeClaims, {shape.ns, claim_name(shape, api::name_of(one), ordinal)});
      if (api::condition_is_true(claim, "FileSystemResizePending")) return false;
    }
    return claims_match(shape, pod, set["spec"]["volumeClaimTemplates"], ordinal);
  }

  void check(const Value& set) {
    const Shape shape = shape_of(set);
    const Value& status = set["status"];
    int replicas = 0, ready = 0, available = 0, current = 0, updated = 0;
    const bool hopeless = has_hopeless(shape);
    for (const auto& [name, pod] : truth_.all(kPods)) {
      const Member member = parse_member(name.name);
      if (member.parent != shape.name || name.ns != shape.ns) continue;
      const PodState state = state_of(pod, shape.min_ready_seconds, truth_.world().now());
      if (!hopeless && !shape.in_range(member.ordinal)) wrong(name.name + " should not exist");
      if (state.terminating) wrong(name.name + " is still terminating");
      ++replicas;
      ready += state.ready ? 1 : 0;
      available += state.available ? 1 : 0;
      current += state.revision == status["currentRevision"].as_string() ? 1 : 0;
      updated += state.revision == status["updateRevision"].as_string() && is_as_asked(set, shape, pod, member.ordinal)
                     ? 1
                     : 0;
      const bool below = shape.on_delete || member.ordinal < shape.start + shape.partition;
      if (!hopeless && !below && state.revision != status["updateRevision"].as_string())
        wrong(name.name + " is of an old revision");
      // Claims of a new template come as the pod rolls.
      const bool may_lack = hopeless || below || !shape.options.claim_template_updates;
      if (may_lack && !claims_match(shape, pod, set["spec"]["volumeClaimTemplates"], member.ordinal)) continue;
      for (const Value& one : set["spec"]["volumeClaimTemplates"]) {
        const std::string claim = claim_name(shape, api::name_of(one), member.ordinal);
        if (truth_.get(kPersistentVolumeClaims, {shape.ns, claim}).is_null()) wrong("claim " + claim + " is missing");
      }
    }
    if (!hopeless && (replicas != shape.replicas || ready != shape.replicas || available != shape.replicas)) {
      wrong(shape.name + " wants " + std::to_string(shape.replicas) + " members and has " + std::to_string(replicas) +
            ", ready " + std::to_string(ready) + ", available " + std::to_string(available));
    }
    auto expect = [&](std::string_view field, std::int64_t value) {
      if (status[field].as_int(0) != value) {
        wrong(shape.name + ": status." + std::string(field) + " is " + json::encode(status[field]) + " and should be " +
              std::to_string(value));
      }
    };
    expect("replicas", replicas);
    expect("readyReplicas", ready);
    expect("availableReplicas", available);
    expect("currentReplicas", current);
    expect("updatedReplicas", updated);
    expect("observedGeneration", set["metadata"]["generation"].as_int());
    const Value& revision = truth_.get(kControllerRevisions, {shape.ns, status["updateRevision"].str()});
    if (revision["data"]["spec"]["template"]["spec"]["containers"] != set["spec"]["template"]["spec"]["containers"]) {
      wrong(shape.name + ": updateRevision is not the set's template");
    }
  }

  Truth& truth_;
};

}  // namespace

std::unique_ptr<Checker> check_status(Truth& truth) { return std::make_unique<StatusAtRest>(truth); }

}  // namespace berth::sim

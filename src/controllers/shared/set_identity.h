#pragma once
// The identity of a StatefulSet's replica: its ordinal, its names, its pod and its claims. Pure.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "api/set_options.h"
#include "base/json/json.h"
#include "base/runtime.h"

namespace berth::controllers {

inline constexpr std::string_view kPodNameLabel = "statefulset.kubernetes.io/pod-name";
inline constexpr std::string_view kPodIndexLabel = "apps.kubernetes.io/pod-index";
inline constexpr std::string_view kRevisionLabel = "controller-revision-hash";
// On a pod: the hash of the ordinal override that it was created with; absent if there was none.
inline constexpr std::string_view kOverrideAnnotation = "berth.dev/ordinal-override";
// On a claim: "<set> (uid <uid>)", the set whose pod used it last.
inline constexpr std::string_view kUsedByAnnotation = "berth.dev/used-by";
// On a set with ordered teardown: present until its pods are gone.
inline constexpr std::string_view kTeardownFinalizer = "berth.dev/ordered-teardown";

// "web-12" -> {"web", 12}; ordinal -1 if the name does not end in "-<number>".
struct MemberName {
  std::string_view parent;
  int ordinal = -1;
};
MemberName parse_member_name(std::string_view pod_name);

// The fields of a set's spec that determine its replicas, parsed once.
struct SetSpec {
  std::string ns, name;
  int replicas = 1;
  int start = 0;  // spec.ordinals.start
  int end = 1;    // past the last ordinal: start + replicas + skipped ordinals
  int partition = 0;
  int max_unavailable = 1;  // at least 1
  bool on_delete = false;
  bool parallel = false;
  int min_ready_seconds = 0;
  int history_limit = 10;
  bool delete_when_scaled = false, delete_when_deleted = false;  // persistentVolumeClaimRetentionPolicy
  bool terminating = false;
  api::SetOptions options;
  bool in_range(int ordinal) const { return ordinal >= start && ordinal < end && !options.skips(ordinal); }
  // The ordinals in range (at most `most`), and an ordinal's index among them.
  std::vector<int> ordinals(std::size_t most = SIZE_MAX) const;
  std::size_t index_of(int ordinal) const {
    return static_cast<std::size_t>(ordinal - start - options.skipped_between(start, ordinal));
  }
  // Pods with lower ordinals stay at the current revision. OnDelete ignores the stored partition.
  int first_updated() const {
    return on_delete ? start : static_cast<int>(std::min<std::int64_t>(std::int64_t{start} + partition, INT32_MAX));
  }
};
SetSpec parse_set_spec(const Value& set);

std::string pod_name(const SetSpec& set_spec, int ordinal);
std::string claim_name(const SetSpec& set_spec, std::string_view template_name, int ordinal);

// The pod of a replica, from `pod_template` (of the revision named `revision`), with claims from `claim_templates`.
Value make_pod(const Value& set, const SetSpec& set_spec, const Value& pod_template, const Value& claim_templates,
               std::string_view revision, int ordinal);
// The hash of the override for the ordinal; empty if there is none.
std::string override_hash(const SetSpec& set_spec, int ordinal);
// True if the pod mounts the claims of exactly these templates.
bool claims_match(const SetSpec& set_spec, const Value& pod, const Value& claim_templates, int ordinal);
// The value of kUsedByAnnotation for a set's claims.
std::string user_of_claims(const Value& set);
// The claim of a replica, from one of spec.volumeClaimTemplates.
Value make_claim(const Value& set, const SetSpec& set_spec, const Value& claim_template, int ordinal);

// True if the pod's identity labels are correct.
bool identity_matches(const SetSpec& set_spec, const Value& pod, int ordinal);

// The planner's facts about a pod, parsed once.
struct PodState {
  bool terminating = false;
  bool ended = false;  // Failed or Succeeded
  bool pending = false;
  bool ready = false;       // Running, with condition Ready
  bool available = false;   // ready for minReadySeconds
  Duration available_in{};  // if ready and not yet available
  Time unready_since{};     // if not ready: since when, according to the pod
  std::string_view revision;
  bool healthy() const { return ready && !terminating; }
  bool unavailable() const { return !available || terminating; }
};
PodState state_of(const Value& pod, int min_ready_seconds, Time now);

// The owner references that the retention policy requires on a claim; null if they are correct or not this set's to
// change. `pod` may be null (not created yet).
Value required_claim_owners(const Value& claim, const Value& set, const SetSpec& set_spec, const Value& pod,
                            int ordinal);
// True if the claim is owned by an earlier pod of this replica and will be deleted with it.
bool claim_is_stale(const Value& claim, const SetSpec& set_spec, const Value& pod, int ordinal);

}  // namespace berth::controllers

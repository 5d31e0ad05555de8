#pragma once
// Who a member of a StatefulSet is: its ordinal, its names, its pod and its claims. Pure.

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
// On a pod: the hash of the ordinal override it was made with; absent where there was none.
inline constexpr std::string_view kOverrideAnnotation = "berth.dev/ordinal-override";
// On a claim: "<set> (uid <uid>)", the set that a pod used it for last.
inline constexpr std::string_view kUsedByAnnotation = "berth.dev/used-by";
// On a set whose pods are to go in order: held until they are gone.
inline constexpr std::string_view kTeardownFinalizer = "berth.dev/ordered-teardown";

// "web-12" -> {"web", 12}; ordinal -1 where the name does not end in "-<number>".
struct Member {
  std::string_view parent;
  int ordinal = -1;
};
Member parse_member(std::string_view pod_name);

// The part of a set's spec that decides about places, read once.
struct Shape {
  std::string ns, name;
  int replicas = 1;
  int start = 0;  // spec.ordinals.start
  int end = 1;    // behind the last ordinal: start + replicas + those skipped
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
  // The n-th place's ordinal, and back. Only for ordinals in range.
  std::vector<int> ordinals(std::size_t most = SIZE_MAX) const;
  std::size_t index_of(int ordinal) const {
    return static_cast<std::size_t>(ordinal - start - options.skipped_between(start, ordinal));
  }
  // Members below stay at the current revision; with OnDelete there are none, whatever partition is stored.
  int first_updated() const {
    return on_delete ? start : static_cast<int>(std::min<std::int64_t>(std::int64_t{start} + partition, INT32_MAX));
  }
};
Shape shape_of(const Value& set);

std::string pod_name(const Shape& shape, int ordinal);
std::string claim_name(const Shape& shape, std::string_view template_name, int ordinal);

// The pod of a place, out of `pod_template` (of the revision named `revision`), with claims by `claim_templates`.
Value make_pod(const Value& set, const Shape& shape, const Value& pod_template, const Value& claim_templates,
               std::string_view revision, int ordinal);
// The hash of the override that concerns the ordinal; empty where there is none.
std::string override_hash(const Shape& shape, int ordinal);
// The pod mounts the claims of exactly these templates.
bool claims_match(const Shape& shape, const Value& pod, const Value& claim_templates, int ordinal);
// What kUsedByAnnotation says of a set's claims.
std::string user_of_claims(const Value& set);
// The claim of a place, out of one of spec.volumeClaimTemplates.
Value make_claim(const Value& set, const Shape& shape, const Value& claim_template, int ordinal);

// The labels that say who the pod is are right.
bool identity_matches(const Shape& shape, const Value& pod, int ordinal);

// What the planner has to know of a pod, read once.
struct PodState {
  bool terminating = false;
  bool ended = false;  // Failed or Succeeded
  bool pending = false;
  bool ready = false;       // Running, with condition Ready
  bool available = false;   // ready for minReadySeconds
  Duration available_in{};  // where ready and not yet available
  Time unready_since{};     // where not ready: since when, as far as the pod says
  std::string_view revision;
  bool healthy() const { return ready && !terminating; }
  bool unavailable() const { return !available || terminating; }
};
PodState state_of(const Value& pod, int min_ready_seconds, Time now);

// The owner references that the retention policy wants on a claim, or null where they are as they should be (or
// somebody else's). `pod` may be null (not created yet).
Value wanted_claim_owners(const Value& claim, const Value& set, const Shape& shape, const Value& pod, int ordinal);
// The claim belongs to an earlier pod of this place and is about to be deleted with it.
bool claim_is_stale(const Value& claim, const Shape& shape, const Value& pod, int ordinal);

}  // namespace berth::controllers

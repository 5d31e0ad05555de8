#pragma once
// Who a member of a StatefulSet is: its ordinal, its names, its pod and its claims. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/runtime.h"

namespace berth::controllers::statefulset {

inline constexpr std::string_view kPodNameLabel = "statefulset.kubernetes.io/pod-name";
inline constexpr std::string_view kPodIndexLabel = "apps.kubernetes.io/pod-index";
inline constexpr std::string_view kRevisionLabel = "controller-revision-hash";

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
  int partition = 0;
  int max_unavailable = 1;  // at least 1
  bool has_rolling_update = false;
  bool on_delete = false;
  bool parallel = false;
  int min_ready_seconds = 0;
  int history_limit = 10;
  bool delete_when_scaled = false, delete_when_deleted = false;  // persistentVolumeClaimRetentionPolicy
  bool terminating = false;
  bool in_range(int ordinal) const { return ordinal >= start && ordinal - start < replicas; }
};
Shape shape_of(const Value& set);

std::string pod_name(const Shape& shape, int ordinal);
std::string claim_name(const Shape& shape, std::string_view template_name, int ordinal);

// The pod of a place, out of `pod_template` (of the revision named `revision`).
Value make_pod(const Value& set, const Shape& shape, const Value& pod_template, std::string_view revision, int ordinal);
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

}  // namespace berth::controllers::statefulset

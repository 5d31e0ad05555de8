#pragma once
// What a StatefulSet may ask for beyond Kubernetes, by annotations below berth.dev/. Read by validation, which refuses
// what is malformed, and by the controller. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::api {

// "true": spec.volumeClaimTemplates may change; see docs/howto/stateful-sets.md.
inline constexpr std::string_view kClaimTemplateUpdates = "berth.dev/claim-template-updates";
// "true": a deleted set's pods go from the last to the first, each gone before the next.
inline constexpr std::string_view kOrderedTeardown = "berth.dev/ordered-teardown";
// "1,4-6": these ordinals are left out; spec.replicas counts the others.
inline constexpr std::string_view kSkipOrdinals = "berth.dev/skip-ordinals";
// JSON or YAML: {"0": {...}, "2-4": {...}}, each a part of a pod spec (see OrdinalOverride).
inline constexpr std::string_view kOrdinalOverrides = "berth.dev/ordinal-overrides";
// "Recreate": a new template first ends every member that it concerns, then starts the new ones.
inline constexpr std::string_view kUpdateStrategy = "berth.dev/update-strategy";
// "2" or "40%" (of spec.replicas, rounded down, at least one): so many members may be missing during a rolling update.
inline constexpr std::string_view kMaxUnavailable = "berth.dev/max-unavailable";
// On a PodDisruptionBudget, "true": every deletion of a healthy pod it selects draws on it, not evictions alone.
inline constexpr std::string_view kBudgetEverything = "berth.dev/budget-everything";

// Both ends belong to it.
struct OrdinalRange {
  int first = 0, last = 0;
  bool contains(int ordinal) const { return first <= ordinal && ordinal <= last; }
};

// "1,4-6", in any order and overlapping or not; out: sorted and disjoint. Empty text: none. Ordinals go up to
// 1,000,000,000.
Result<std::vector<OrdinalRange>> parse_ordinals(std::string_view text);
// {0, 1, 2, 5} -> "0-2,5". Sorted, no duplicates.
std::string format_ordinals(const std::vector<int>& ordinals);

// The members may have `nodeSelector`, and `containers` and `initContainers` as lists of {name, image, resources, env}.
struct OrdinalOverride {
  OrdinalRange ordinals;
  std::string key;  // as written: "2-4"
  Value spec;
};

struct SetOptions {
  bool claim_template_updates = false;
  bool ordered_teardown = false;
  bool recreate = false;
  Value max_unavailable;           // an int or a percentage, as in a rolling update; null where nothing is said
  std::vector<OrdinalRange> skip;  // sorted, disjoint
  std::vector<OrdinalOverride> overrides;

  bool skips(int ordinal) const;
  // How many ordinals in [first, ordinal) are skipped.
  int skipped_between(int first, int ordinal) const;
  // Those whose range contains it, merged in the order of their keys; null where there is none.
  Value override_of(int ordinal) const;
};

// An annotation that cannot be used, and why.
struct OptionProblem {
  std::string annotation, value, text;
};

// An annotation that cannot be used counts as absent and is told in `problems` (may be null).
SetOptions set_options_of(const Value& set, std::vector<OptionProblem>* problems = nullptr);

// `pod_template` with an override's members put over it: nodeSelector by key, containers by name, their image replaced,
// resources by key and env by name.
Value with_override(Value pod_template, const Value& override_spec);

}  // namespace berth::api

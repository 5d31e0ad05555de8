#pragma once
// A pod's constraints on other pods, parsed once: affinity to pods, and spreading over topologies.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/selector.h"
#include "base/json/json.h"

namespace berth::scheduler {

// One term of pod affinity or anti-affinity: matching pods, in given namespaces, within one domain of a topology.
struct AffinityTerm {
  std::vector<std::string> namespaces;    // by name, sorted
  api::LabelSelector namespace_selector;  // by their labels; matches nothing if not set
  api::LabelSelector selector;
  std::string topology_key;
  std::int64_t weight = 0;  // of preferred terms
  std::string signature;    // equal for equal terms

  bool covers(const std::string& ns, const Value& ns_labels, const Value& labels) const;
};
using AffinityTerms = std::vector<AffinityTerm>;

struct SpreadConstraint {
  std::int64_t max_skew = 1;
  std::int64_t min_domains = 1;
  std::string topology_key;
  api::LabelSelector selector;
  bool honour_affinity = true;  // count only nodes that the pod's node affinity allows
  bool honour_taints = false;   // ... whose taints it tolerates
};
using SpreadConstraints = std::vector<SpreadConstraint>;

struct NeighbourTerms {
  AffinityTerms affinity, anti;  // required
  AffinityTerms preferred_affinity, preferred_anti;
  SpreadConstraints spread;             // DoNotSchedule
  SpreadConstraints soft_spread;        // ScheduleAnyway
  bool has_spread_constraints = false;  // true if the pod has any constraint: the cluster's defaults do not apply
};
// Null if the pod has none of these constraints. Invalid selectors match nothing.
std::shared_ptr<const NeighbourTerms> read_neighbour_terms(const Value& pod);

}  // namespace berth::scheduler

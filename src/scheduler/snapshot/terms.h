#pragma once
// What a pod asks of its neighbours, read once: affinity to other pods, and spreading over topologies.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/selector.h"
#include "base/json/json.h"

namespace berth::scheduler {

// One term of pod affinity or anti-affinity: some pods, in some namespaces, within one domain of a topology.
struct AffinityTerm {
  std::vector<std::string> namespaces;    // by name, sorted
  api::LabelSelector namespace_selector;  // by their labels; matches nothing where not given
  api::LabelSelector selector;
  std::string topology_key;
  std::int64_t weight = 0;  // of preferred terms
  std::string signature;    // the same for terms that ask the same

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
  SpreadConstraints spread;       // DoNotSchedule
  SpreadConstraints soft_spread;  // ScheduleAnyway
  bool asks_for_spread = false;   // either: the cluster's defaults do not apply
};
// Null where the pod asks for nothing of the kind. Selectors that cannot be read match nothing.
std::shared_ptr<const NeighbourTerms> read_neighbour_terms(const Value& pod);

}  // namespace berth::scheduler

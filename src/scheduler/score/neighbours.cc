// Scores that count placed pods.
#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "api/object.h"
#include "scheduler/score/score.h"

namespace berth::scheduler {
namespace {

constexpr std::int64_t kBest = 100;
constexpr std::int64_t kNoScore = -1;          // the node lacks one of the topologies
constexpr std::int64_t kWeightOfRequired = 1;  // weight of placed pods' required affinity that covers the pod
const std::string kHostname = "kubernetes.io/hostname";

// The labels by which services and the owner select the pod.
api::LabelSelector selector_of_siblings(const PodInfo& pod, const ClusterView& view) {
  Value labels = Value::object();
  for (const Value& service : view.services(pod.ns)) {
    const Value& wanted = service["spec"]["selector"];
    bool selects = true;
    for (const auto& [key, value] : wanted.entries()) {
      const Value* found = pod.labels.find(key);
      selects = selects && found && *found == value;
    }
    if (!selects) continue;
    for (const auto& [key, value] : wanted.entries()) labels.set(key, value);
  }
  Value selector = Value::object({{"matchLabels", labels}});
  const Value& owners = view.owner_selector(pod);
  for (const auto& [key, value] : owners["matchLabels"].entries()) selector.mut("matchLabels").set(key, value);
  if (!owners["matchExpressions"].is_null()) selector.set("matchExpressions", owners["matchExpressions"]);
  auto parsed = api::LabelSelector::of_object(selector);
  return parsed.ok() ? std::move(parsed).value() : api::LabelSelector::nothing();
}

// The cluster's defaults for pods without constraints: spread over nodes and zones.
SpreadConstraints default_constraints(const PodInfo& pod, const ClusterView& view) {
  const api::LabelSelector selector = selector_of_siblings(pod, view);
  if (selector.requirements().empty()) return {};
  SpreadConstraint nodes, zones;
  nodes.max_skew = 3;
  nodes.topology_key = kHostname;
  zones.max_skew = 5;
  zones.topology_key = "topology.kubernetes.io/zone";
  nodes.selector = zones.selector = selector;
  return {nodes, zones};
}

// Fewer pods give a higher score; nodes without score get 0.
void invert_spread(Scores& scores) {
  std::int64_t least = std::numeric_limits<std::int64_t>::max(), most = 0;
  for (std::int64_t one : scores) {
    if (one == kNoScore) continue;
    least = std::min(least, one);
    most = std::max(most, one);
  }
  for (std::int64_t& one : scores) {
    if (one == kNoScore) {
      one = 0;
    } else {
      one = most == 0 ? kBest : kBest * (most + least - one) / most;
    }
  }
}

struct WeightedConstraint {
  const Tally* tally;
  int key;
  std::int64_t max_skew;
  double weight;
};

// The more domains a topology has, the more one pod counts (as upstream: log of the size).
double weight_of(int key, bool hostname, const Candidates& candidates, const std::vector<bool>& ignored) {
  std::unordered_set<int> domains;
  std::size_t nodes = 0;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (ignored[i]) continue;
    ++nodes;
    if (!hostname) domains.insert(candidates[i]->domain(key));
  }
  return std::log(static_cast<double>((hostname ? nodes : domains.size()) + 2));
}

}  // namespace

Scores score_spread(const FilterInput& input, const Candidates& candidates, Snapshot& snapshot) {
  const PodInfo& pod = input.pod;
  const bool own = pod.terms && pod.terms->has_spread_constraints;
  const SpreadConstraints constraints = own ? pod.terms->soft_spread : default_constraints(pod, input.view);
  if (constraints.empty()) return {};
  std::vector<int> keys;
  for (const SpreadConstraint& one : constraints) keys.push_back(snapshot.key_of(one.topology_key));
  std::vector<bool> ignored(candidates.size(), false);
  for (std::size_t i = 0; own && i < candidates.size(); ++i) {
    ignored[i] =
        std::any_of(keys.begin(), keys.end(), [&](int key) { return candidates[i]->domain(key) == kNoDomain; });
  }
  std::vector<WeightedConstraint> weighted;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Tally& tally = spread_tally(pod, constraints[i], own ? keys : std::vector<int>{keys[i]}, snapshot);
    weighted.push_back({&tally, keys[i], constraints[i].max_skew,
                        weight_of(keys[i], constraints[i].topology_key == kHostname, candidates, ignored)});
  }
  Scores out(candidates.size(), kNoScore);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (ignored[i]) continue;
    double score = 0;
    for (const WeightedConstraint& one : weighted) {
      const int domain = candidates[i]->domain(one.key);
      if (domain != kNoDomain) score += one.tally->pods_in(domain) * one.weight + static_cast<double>(one.max_skew - 1);
    }
    out[i] = static_cast<std::int64_t>(std::round(score));
  }
  invert_spread(out);
  return out;
}

Scores score_neighbours(const FilterInput& input, const Candidates& candidates, Snapshot& snapshot) {
  const PodInfo& pod = input.pod;
  Scores out;
  auto add = [&](auto pods_in, int key, std::int64_t weight) {
    if (out.empty()) out.resize(candidates.size(), 0);
    for (std::size_t i = 0; i < candidates.size(); ++i) out[i] += weight * pods_in(candidates[i]->domain(key));
  };
  if (pod.terms) {
    auto prefer = [&](const AffinityTerms& terms, int sign) {
      for (const AffinityTerm& term : terms) {
        const int key = snapshot.key_of(term.topology_key);
        const Tally& tally = affinity_tally(pod, {&term}, key, snapshot, input.view);
        if (tally.total() > 0) add([&](int domain) { return tally.pods_in(domain); }, key, sign * term.weight);
      }
    };
    prefer(pod.terms->preferred_affinity, 1);
    prefer(pod.terms->preferred_anti, -1);
  }
  const Census& census = snapshot.census();
  auto others = [&](TermKind kind, int sign) {
    if (!census.any(kind)) return;
    census.visit_covering(kind, pod, api::labels_of(input.view.ns(pod.ns)), [&](const TermGroup& group) {
      const std::int64_t weight = kind == TermKind::kAffinity ? kWeightOfRequired : group.term.weight;
      add([&](int domain) { return group.pods_in(domain); }, group.key, sign * weight);
    });
  };
  others(TermKind::kAffinity, 1);
  others(TermKind::kPreferredAffinity, 1);
  others(TermKind::kPreferredAnti, -1);
  if (out.empty()) return out;
  const auto [least, most] = std::minmax_element(out.begin(), out.end());
  const std::int64_t low = *least, span = *most - *least;
  for (std::int64_t& one : out)
    one = span == 0 ? 0
                    : static_cast<std::int64_t>(static_cast<double>(kBest) * static_cast<double>(one - low) /
                                                static_cast<double>(span));
  return out;
}

}  // namespace berth::scheduler

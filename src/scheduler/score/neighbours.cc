// Scores that look at the pods already placed.
#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include "api/object.h"
#include "scheduler/score/score.h"

namespace berth::scheduler {
namespace {

constexpr std::int64_t kBest = 100;
constexpr std::int64_t kNotAsked = -1;         // the node has not all topologies
constexpr std::int64_t kWeightOfRequired = 1;  // that required affinity of others has for a pod it covers
const std::string kHostname = "kubernetes.io/hostname";

// Labels that services and the owner select the pod by.
api::LabelSelector selector_of_kin(const PodInfo& pod, const View& view) {
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

// What the cluster asks of pods that ask for nothing: nodes apart, and zones.
SpreadConstraints default_constraints(const PodInfo& pod, const View& view) {
  const api::LabelSelector selector = selector_of_kin(pod, view);
  if (selector.requirements().empty()) return {};
  SpreadConstraint nodes, zones;
  nodes.max_skew = 3;
  nodes.topology_key = kHostname;
  zones.max_skew = 5;
  zones.topology_key = "topology.kubernetes.io/zone";
  nodes.selector = zones.selector = selector;
  return {nodes, zones};
}

// Fewer pods: more points; those that were not asked get none.
void turn_round(Scores& scores) {
  std::int64_t least = std::numeric_limits<std::int64_t>::max(), most = 0;
  for (std::int64_t one : scores) {
    if (one == kNotAsked) continue;
    least = std::min(least, one);
    most = std::max(most, one);
  }
  for (std::int64_t& one : scores) {
    if (one == kNotAsked) {
      one = 0;
    } else {
      one = most == 0 ? kBest : kBest * (most + least - one) / most;
    }
  }
}

struct Asked {
  const Tally* tally;
  int key;
  std::int64_t max_skew;
  double weight;
};

// In a topology with many domains one pod more or less says more.
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

Scores score_spread(const Question& question, const Candidates& candidates, Snapshot& snapshot) {
  const PodInfo& pod = question.pod;
  const bool own = pod.terms && pod.terms->asks_for_spread;
  const SpreadConstraints constraints = own ? pod.terms->soft_spread : default_constraints(pod, question.view);
  if (constraints.empty()) return {};
  std::vector<int> keys;
  for (const SpreadConstraint& one : constraints) keys.push_back(snapshot.key_of(one.topology_key));
  std::vector<bool> ignored(candidates.size(), false);
  for (std::size_t i = 0; own && i < candidates.size(); ++i) {
    ignored[i] =
        std::any_of(keys.begin(), keys.end(), [&](int key) { return candidates[i]->domain(key) == kNoDomain; });
  }
  std::vector<Asked> asked;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Tally& tally = spread_tally(pod, constraints[i], own ? keys : std::vector<int>{keys[i]}, snapshot);
    asked.push_back({&tally, keys[i], constraints[i].max_skew,
                     weight_of(keys[i], constraints[i].topology_key == kHostname, candidates, ignored)});
  }
  Scores out(candidates.size(), kNotAsked);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (ignored[i]) continue;
    double score = 0;
    for (const Asked& one : asked) {
      const int domain = candidates[i]->domain(one.key);
      if (domain != kNoDomain) score += one.tally->pods_in(domain) * one.weight + static_cast<double>(one.max_skew - 1);
    }
    out[i] = static_cast<std::int64_t>(std::round(score));
  }
  turn_round(out);
  return out;
}

Scores score_neighbours(const Question& question, const Candidates& candidates, Snapshot& snapshot) {
  const PodInfo& pod = question.pod;
  Scores out;
  auto add = [&](auto pods_in, int key, std::int64_t weight) {
    if (out.empty()) out.resize(candidates.size(), 0);
    for (std::size_t i = 0; i < candidates.size(); ++i) out[i] += weight * pods_in(candidates[i]->domain(key));
  };
  if (pod.terms) {
    auto prefer = [&](const AffinityTerms& terms, int sign) {
      for (const AffinityTerm& term : terms) {
        const int key = snapshot.key_of(term.topology_key);
        const Tally& tally = affinity_tally(pod, {&term}, key, snapshot, question.view);
        if (tally.total() > 0) add([&](int domain) { return tally.pods_in(domain); }, key, sign * term.weight);
      }
    };
    prefer(pod.terms->preferred_affinity, 1);
    prefer(pod.terms->preferred_anti, -1);
  }
  const Census& census = snapshot.census();
  auto others = [&](TermKind kind, int sign) {
    if (!census.any(kind)) return;
    census.covering(kind, pod, api::labels_of(question.view.ns(pod.ns)), [&](const TermGroup& group) {
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

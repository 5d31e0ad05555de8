// Affinity and anti-affinity between pods, in both directions, and topology spreading.
#include <algorithm>

#include "api/object.h"
#include "base/text.h"
#include "scheduler/filter/filter.h"

namespace berth::scheduler {
namespace {

using TermList = std::vector<const AffinityTerm*>;

TermList all_of(const AffinityTerms& terms) {
  TermList out;
  for (const AffinityTerm& term : terms) out.push_back(&term);
  return out;
}

// The names of the namespaces of a term, including those that its selector matches.
std::vector<std::string> namespaces_of(const AffinityTerm& term, const ClusterView& view) {
  std::vector<std::string> out = term.namespaces;
  if (!term.namespace_selector.requirements().empty() || term.namespace_selector.matches_everything()) {
    for (const Value& ns : view.namespaces()) {
      if (term.namespace_selector.matches(api::labels_of(ns))) out.emplace_back(api::name_of(ns));
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
  }
  return out;
}

// A term with its namespaces by name.
struct ResolvedTerm {
  std::vector<std::string> namespaces;
  api::LabelSelector selector;
  bool covers(const PodInfo& pod) const {
    return std::binary_search(namespaces.begin(), namespaces.end(), pod.ns) && selector.matches(pod.labels);
  }
};

// Part of a signature: the fields of the pod that determine which nodes a constraint counts.
std::string node_rules_of(const PodInfo& pod, const SpreadConstraint& constraint) {
  std::string out;
  if (constraint.honour_affinity) out += json::encode(pod.node_selector) + json::encode(pod.node_affinity);
  if (constraint.honour_taints) out += "t" + json::encode(pod.tolerations);
  return out;
}

bool covers_itself(const PodInfo& pod, const AffinityTerms& terms, const Value& ns_labels) {
  return std::all_of(terms.begin(), terms.end(),
                     [&](const AffinityTerm& term) { return term.covers(pod.ns, ns_labels, pod.labels); });
}

void add_affinity(Neighbours& out, const PodInfo& pod, Snapshot& snapshot, const ClusterView& view) {
  for (const AffinityTerm& term : pod.terms->affinity) {
    const int key = snapshot.key_of(term.topology_key);
    out.affinity.push_back({&affinity_tally(pod, all_of(pod.terms->affinity), key, snapshot, view), key});
  }
  out.may_be_first = covers_itself(pod, pod.terms->affinity, api::labels_of(view.ns(pod.ns)));
  for (const AffinityTerm& term : pod.terms->anti) {
    const int key = snapshot.key_of(term.topology_key);
    out.anti.push_back({&affinity_tally(pod, {&term}, key, snapshot, view), key});
  }
}

void add_spread(Neighbours& out, const PodInfo& pod, Snapshot& snapshot) {
  std::vector<int> keys;
  for (const SpreadConstraint& constraint : pod.terms->spread) keys.push_back(snapshot.key_of(constraint.topology_key));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const SpreadConstraint& constraint = pod.terms->spread[i];
    const std::int64_t self = constraint.selector.matches(pod.labels) ? 1 : 0;
    out.spread.push_back(
        {&spread_tally(pod, constraint, keys, snapshot), keys[i], constraint.max_skew, constraint.min_domains, self});
  }
}

}  // namespace

const Tally& affinity_tally(const PodInfo& pod, const TermList& terms, int key, Snapshot& snapshot,
                            const ClusterView& view) {
  std::vector<ResolvedTerm> resolved;
  std::string signature = "a" + std::to_string(key);
  for (const AffinityTerm* term : terms) {
    resolved.push_back({namespaces_of(*term, view), term->selector});
    signature += "|" + join(resolved.back().namespaces, ",") + "|" + term->selector.to_string();
    if (!term->selector.matches_everything() && term->selector.requirements().empty()) signature += "!";
  }
  return snapshot.tally(signature, [&] {
    TallySpec spec;
    spec.signature = signature;
    spec.key = key;
    spec.namespaces = resolved.front().namespaces;
    spec.matches = [resolved](const PodInfo& other) {
      return std::all_of(resolved.begin(), resolved.end(), [&](const ResolvedTerm& one) { return one.covers(other); });
    };
    return spec;
  });
}

const Tally& spread_tally(const PodInfo& pod, const SpreadConstraint& constraint, const std::vector<int>& keys,
                          Snapshot& snapshot) {
  const int key = snapshot.key_of(constraint.topology_key);
  std::string signature = "s" + std::to_string(key);
  for (int one : keys) signature += "," + std::to_string(one);
  signature += "|" + pod.ns + "|" + constraint.selector.to_string() + "|" + node_rules_of(pod, constraint);
  if (!constraint.selector.matches_everything() && constraint.selector.requirements().empty()) signature += "!";
  return snapshot.tally(signature, [&] {
    TallySpec spec;
    spec.signature = signature;
    spec.key = key;
    spec.namespaces = {pod.ns};
    spec.matches = [selector = constraint.selector](const PodInfo& other) {
      return !other.terminating && selector.matches(other.labels);
    };
    // The fields that determine the counted nodes; pods with equal fields share the tally.
    auto node_rules = std::make_shared<PodInfo>();
    node_rules->node_selector = pod.node_selector;
    node_rules->node_affinity = pod.node_affinity;
    node_rules->tolerations = pod.tolerations;
    const bool affinity = constraint.honour_affinity && (!pod.node_selector.is_null() || !pod.node_affinity.is_null());
    const bool taints = constraint.honour_taints;
    spec.counts = [keys, node_rules, affinity, taints](const NodeInfo& node) {
      for (int one : keys) {
        if (node.domain(one) == kNoDomain) return false;
      }
      return (!affinity || allows_node(*node_rules, node.node)) && (!taints || tolerates_node(*node_rules, node));
    };
    return spec;
  });
}

Neighbours gather_neighbours(const PodInfo& pod, Snapshot& snapshot, const ClusterView& view) {
  Neighbours out;
  snapshot.trim();
  if (pod.terms) {
    add_affinity(out, pod, snapshot, view);
    add_spread(out, pod, snapshot);
  }
  if (snapshot.census().any(TermKind::kAnti)) {
    snapshot.census().visit_covering(TermKind::kAnti, pod, api::labels_of(view.ns(pod.ns)),
                                     [&](const TermGroup& group) { out.rejecting_groups.push_back(&group); });
  }
  return out;
}

bool affects(const PodInfo& waiting, const PodInfo& changed, const ClusterView& view) {
  auto covers = [&](const AffinityTerms& terms, const PodInfo& other) {
    const Value& ns_labels = api::labels_of(view.ns(other.ns));
    return std::any_of(terms.begin(), terms.end(),
                       [&](const AffinityTerm& term) { return term.covers(other.ns, ns_labels, other.labels); });
  };
  if (changed.terms && covers(changed.terms->anti, waiting)) return true;
  if (!waiting.terms) return false;
  if (covers(waiting.terms->affinity, changed) || covers(waiting.terms->anti, changed)) return true;
  const SpreadConstraints& spread = waiting.terms->spread;
  return waiting.ns == changed.ns && std::any_of(spread.begin(), spread.end(), [&](const SpreadConstraint& one) {
           return one.selector.matches(changed.labels);
         });
}

FilterResult filter_spread(const FilterInput& input, const NodeInfo& node) {
  for (const Neighbours::SpreadCount& one : input.neighbours.spread) {
    const int domain = node.domain(one.key);
    if (domain == kNoDomain)
      return reject("node(s) didn't match pod topology spread constraints (missing required label)", false,
                    kConcernSpread);
    const std::int64_t least = one.tally->domains() < one.min_domains ? 0 : one.tally->least();
    if (one.tally->pods_in(domain) + one.self - least > one.max_skew) {
      return reject("node(s) didn't match pod topology spread constraints", true, kConcernSpread);
    }
  }
  return {};
}

FilterResult filter_neighbours(const FilterInput& input, const NodeInfo& node) {
  const Neighbours& neighbours = input.neighbours;
  bool near = true, anywhere = false;
  for (const Neighbours::TermCount& one : neighbours.affinity) {
    const int domain = node.domain(one.key);
    if (domain == kNoDomain) return reject("node(s) didn't match pod affinity rules", false, kConcernAffinity);
    near = near && one.tally->pods_in(domain) > 0;
    anywhere = anywhere || one.tally->total() > 0;
  }
  // The first of pods that require each other may go anywhere.
  if (!near && (anywhere || !neighbours.may_be_first))
    return reject("node(s) didn't match pod affinity rules", false, kConcernAffinity);
  for (const Neighbours::TermCount& one : neighbours.anti) {
    if (one.tally->pods_in(node.domain(one.key)) > 0)
      return reject("node(s) didn't match pod anti-affinity rules", true, kConcernAffinity);
  }
  for (const TermGroup* one : neighbours.rejecting_groups) {
    if (one->pods_in(node.domain(one->key)) > 0)
      return reject("node(s) didn't satisfy existing pods anti-affinity rules", true, kConcernAffinity);
  }
  return {};
}

}  // namespace berth::scheduler

// Affinity and anti-affinity between pods, in both directions, and spreading over topologies.
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

// The namespaces a term is about, those its selector finds included.
std::vector<std::string> namespaces_of(const AffinityTerm& term, const View& view) {
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
struct Wanted {
  std::vector<std::string> namespaces;
  api::LabelSelector selector;
  bool covers(const PodInfo& pod) const {
    return std::binary_search(namespaces.begin(), namespaces.end(), pod.ns) && selector.matches(pod.labels);
  }
};

// Part of a signature: which nodes a constraint counts depends on these of the pod's own words.
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

void add_affinity(Neighbours& out, const PodInfo& pod, Snapshot& snapshot, const View& view) {
  for (const AffinityTerm& term : pod.terms->affinity) {
    const int key = snapshot.key_of(term.topology_key);
    out.affinity.push_back({&affinity_tally(pod, all_of(pod.terms->affinity), key, snapshot, view), key});
  }
  out.first_of_its_kind_may = covers_itself(pod, pod.terms->affinity, api::labels_of(view.ns(pod.ns)));
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

const Tally& affinity_tally(const PodInfo& pod, const TermList& terms, int key, Snapshot& snapshot, const View& view) {
  std::vector<Wanted> wanted;
  std::string signature = "a" + std::to_string(key);
  for (const AffinityTerm* term : terms) {
    wanted.push_back({namespaces_of(*term, view), term->selector});
    signature += "|" + join(wanted.back().namespaces, ",") + "|" + term->selector.to_string();
    if (!term->selector.matches_everything() && term->selector.requirements().empty()) signature += "!";
  }
  return snapshot.tally(signature, [&] {
    TallyQuestion question;
    question.signature = signature;
    question.key = key;
    question.namespaces = wanted.front().namespaces;
    question.matches = [wanted](const PodInfo& other) {
      return std::all_of(wanted.begin(), wanted.end(), [&](const Wanted& one) { return one.covers(other); });
    };
    return question;
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
    TallyQuestion question;
    question.signature = signature;
    question.key = key;
    question.namespaces = {pod.ns};
    question.matches = [selector = constraint.selector](const PodInfo& other) {
      return !other.terminating && selector.matches(other.labels);
    };
    // What the pod asks of nodes; another pod that asks the same is counted by the same tally.
    auto asks = std::make_shared<PodInfo>();
    asks->node_selector = pod.node_selector;
    asks->node_affinity = pod.node_affinity;
    asks->tolerations = pod.tolerations;
    const bool affinity = constraint.honour_affinity && (!pod.node_selector.is_null() || !pod.node_affinity.is_null());
    const bool taints = constraint.honour_taints;
    question.counts = [keys, asks, affinity, taints](const NodeInfo& node) {
      for (int one : keys) {
        if (node.domain(one) == kNoDomain) return false;
      }
      return (!affinity || allows_node(*asks, node.node)) && (!taints || tolerates_node(*asks, node));
    };
    return question;
  });
}

Neighbours look_around(const PodInfo& pod, Snapshot& snapshot, const View& view) {
  Neighbours out;
  snapshot.trim();
  if (pod.terms) {
    add_affinity(out, pod, snapshot, view);
    add_spread(out, pod, snapshot);
  }
  if (snapshot.census().any(TermKind::kAnti)) {
    snapshot.census().covering(TermKind::kAnti, pod, api::labels_of(view.ns(pod.ns)),
                               [&](const TermGroup& group) { out.refusing.push_back(&group); });
  }
  return out;
}

bool matters_to(const PodInfo& waiting, const PodInfo& changed, const View& view) {
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

Verdict filter_spread(const Question& question, const NodeInfo& node) {
  for (const Neighbours::Spread& one : question.neighbours.spread) {
    const int domain = node.domain(one.key);
    if (domain == kNoDomain)
      return refuse("node(s) didn't match pod topology spread constraints (missing required label)", false,
                    kConcernSpread);
    const std::int64_t least = one.tally->domains() < one.min_domains ? 0 : one.tally->least();
    if (one.tally->pods_in(domain) + one.self - least > one.max_skew) {
      return refuse("node(s) didn't match pod topology spread constraints", true, kConcernSpread);
    }
  }
  return {};
}

Verdict filter_neighbours(const Question& question, const NodeInfo& node) {
  const Neighbours& around = question.neighbours;
  bool near = true, anywhere = false;
  for (const Neighbours::Place& one : around.affinity) {
    const int domain = node.domain(one.key);
    if (domain == kNoDomain) return refuse("node(s) didn't match pod affinity rules", false, kConcernAffinity);
    near = near && one.tally->pods_in(domain) > 0;
    anywhere = anywhere || one.tally->total() > 0;
  }
  // The first of pods that want each other may go anywhere.
  if (!near && (anywhere || !around.first_of_its_kind_may))
    return refuse("node(s) didn't match pod affinity rules", false, kConcernAffinity);
  for (const Neighbours::Place& one : around.anti) {
    if (one.tally->pods_in(node.domain(one.key)) > 0)
      return refuse("node(s) didn't match pod anti-affinity rules", true, kConcernAffinity);
  }
  for (const TermGroup* one : around.refusing) {
    if (one->pods_in(node.domain(one->key)) > 0)
      return refuse("node(s) didn't satisfy existing pods anti-affinity rules", true, kConcernAffinity);
  }
  return {};
}

}  // namespace berth::scheduler

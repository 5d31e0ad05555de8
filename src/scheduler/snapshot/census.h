#pragma once
// Census: counts of placed pods per topology domain, updated pod by pod, so that the cost of affinity and spreading per
// decision does not grow with the number of pods.
//
// A Tally is the number of matching pods in each domain of a topology. It is created when a decision first reads it,
// and removed when it was not read for long. A TermGroup holds equal affinity terms of placed pods: the number of pods
// with the term in each domain. Owner: one Snapshot.

#include <cstdint>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "scheduler/snapshot/pod_info.h"
#include "scheduler/snapshot/terms.h"
#include "scheduler/snapshot/topology.h"

namespace berth::scheduler {

struct TallySpec {
  std::string signature;                // equal for equal specifications
  int key = 0;                          // of the topology
  std::vector<std::string> namespaces;  // pods of other namespaces do not match
  std::function<bool(const PodInfo&)> matches;
  std::function<bool(const NodeInfo&)> counts;  // nodes to count; empty: every node
};

class Tally {
 public:
  explicit Tally(TallySpec spec) : spec_(std::move(spec)) {}
  const TallySpec& spec() const { return spec_; }

  int pods_in(int domain) const { return has_domain(domain) ? domains_[static_cast<std::size_t>(domain)].pods : 0; }
  int total() const { return total_; }    // pods in any domain
  int domains() const { return count_; }  // domains with a counted node
  // The smallest number of pods in a counted domain.
  int least() const { return by_pods_.empty() ? std::numeric_limits<int>::max() : by_pods_.begin()->first; }

  void add_node(const NodeInfo& node, int sign);
  void add_pod(const PodInfo& pod, const NodeInfo& node, int sign);

 private:
  struct Domain {
    int pods = 0, nodes = 0;
  };
  bool has_domain(int domain) const { return domain >= 0 && static_cast<std::size_t>(domain) < domains_.size(); }
  Domain* domain_of(const NodeInfo& node);  // null if the node is not counted
  void count_domain(int pods, int sign);    // adds one domain (sign 1) with that many pods, or removes one (-1)
  TallySpec spec_;
  std::vector<Domain> domains_;
  std::map<int, int> by_pods_;
  int total_ = 0, count_ = 0;
};

enum class TermKind { kAnti, kAffinity, kPreferredAnti, kPreferredAffinity };

struct TermGroup {
  AffinityTerm term;
  TermKind kind;
  int key = 0;   // of the topology
  int pods = 0;  // pods with the term
  std::vector<int> in_domain;
  int pods_in(int domain) const {
    return domain >= 0 && static_cast<std::size_t>(domain) < in_domain.size()
               ? in_domain[static_cast<std::size_t>(domain)]
               : 0;
  }
};

class Census {
 public:
  // Counts a pod (sign 1), or removes it from the counts (-1).
  void add_pod(const PodInfo& pod, const NodeInfo& node, Topologies& topologies, int sign);
  // Counts a node without its pods.
  void add_node(const NodeInfo& node, int sign);

  // Null if there is no such tally yet.
  const Tally* find_tally(const std::string& signature);
  Tally& add_tally(TallySpec spec);
  // Removes tallies beyond a bound, the least recently used first. Not during a decision: it holds references.
  void trim();

  // Calls `visit` for every group of that kind whose term covers the pod.
  void visit_covering(TermKind kind, const PodInfo& pod, const Value& ns_labels,
                      const std::function<void(const TermGroup&)>& visit) const;
  bool any(TermKind kind) const { return pods_with_[static_cast<std::size_t>(kind)] > 0; }

 private:
  using Tallies = std::list<std::pair<std::string, Tally>>;  // most recently used first
  using Groups = std::vector<TermGroup*>;
  void add_terms(const AffinityTerms& terms, TermKind kind, const NodeInfo& node, Topologies& topologies, int sign);
  TermGroup& group(const AffinityTerm& term, TermKind kind, Topologies& topologies);
  void remove_empty_groups();
  Tallies tallies_;
  std::unordered_map<std::string, Tallies::iterator> by_signature_;
  std::unordered_map<std::string, std::vector<Tally*>> by_namespace_;
  std::unordered_map<std::string, std::unique_ptr<TermGroup>> groups_;
  std::unordered_map<std::string, Groups> by_label_;  // groups whose term only covers pods with this "key=value"
  Groups unlabelled_;                                 // all other groups
  std::size_t pods_with_[4] = {0, 0, 0, 0};
  std::size_t empty_groups_ = 0;
};

}  // namespace berth::scheduler

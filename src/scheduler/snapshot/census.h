#pragma once
// Census: who is where, counted by domain and kept up to date pod by pod, so that affinity and spreading cost a
// decision nothing that grows with the number of pods.
//
// A Tally answers "how many of the pods that match are in each domain of a topology". It is made when a decision first
// asks, and forgotten when nobody has asked for long. A TermGroup holds equal terms of placed pods: "how many pods in
// each domain ask this of newcomers". Owner: one Snapshot.

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

struct TallyQuestion {
  std::string signature;                // the same for the same question
  int key = 0;                          // of the topology
  std::vector<std::string> namespaces;  // no pod of another one matches
  std::function<bool(const PodInfo&)> matches;
  std::function<bool(const NodeInfo&)> counts;  // empty: every node
};

class Tally {
 public:
  explicit Tally(TallyQuestion question) : question_(std::move(question)) {}
  const TallyQuestion& question() const { return question_; }

  int pods_in(int domain) const { return known(domain) ? domains_[static_cast<std::size_t>(domain)].pods : 0; }
  int total() const { return total_; }    // pods in any domain
  int domains() const { return count_; }  // with a node that counts
  // The fewest pods in one of these domains.
  int least() const { return by_pods_.empty() ? std::numeric_limits<int>::max() : by_pods_.begin()->first; }

  void add_node(const NodeInfo& node, int sign);
  void add_pod(const PodInfo& pod, const NodeInfo& node, int sign);

 private:
  struct Domain {
    int pods = 0, nodes = 0;
  };
  bool known(int domain) const { return domain >= 0 && static_cast<std::size_t>(domain) < domains_.size(); }
  Domain* domain_of(const NodeInfo& node);  // null where the node does not count
  void note(int pods, int sign);            // one domain more or less with so many pods
  TallyQuestion question_;
  std::vector<Domain> domains_;
  std::map<int, int> by_pods_;
  int total_ = 0, count_ = 0;
};

enum class TermKind { kAnti, kAffinity, kPreferredAnti, kPreferredAffinity };

struct TermGroup {
  AffinityTerm term;
  TermKind kind;
  int key = 0;   // of the topology
  int pods = 0;  // that have it
  std::vector<int> in_domain;
  int pods_in(int domain) const {
    return domain >= 0 && static_cast<std::size_t>(domain) < in_domain.size()
               ? in_domain[static_cast<std::size_t>(domain)]
               : 0;
  }
};

class Census {
 public:
  // Counts a pod, or takes it back.
  void add_pod(const PodInfo& pod, const NodeInfo& node, Topologies& topologies, int sign);
  // Counts a node without its pods.
  void add_node(const NodeInfo& node, int sign);

  // Null where it has not been asked yet.
  const Tally* find(const std::string& signature);
  Tally& make(TallyQuestion question);
  // Forgets tallies beyond a bound, those that were not asked for longest. Not while a decision holds some.
  void trim();

  // Calls `visit` for every group of that kind whose term covers the pod.
  void covering(TermKind kind, const PodInfo& pod, const Value& ns_labels,
                const std::function<void(const TermGroup&)>& visit) const;
  bool any(TermKind kind) const { return pods_with_[static_cast<std::size_t>(kind)] > 0; }

 private:
  using Tallies = std::list<std::pair<std::string, Tally>>;  // most recently asked first
  using Groups = std::vector<TermGroup*>;
  void add_terms(const AffinityTerms& terms, TermKind kind, const NodeInfo& node, Topologies& topologies, int sign);
  TermGroup& group(const AffinityTerm& term, TermKind kind, Topologies& topologies);
  void drop_empty_groups();
  Tallies tallies_;
  std::unordered_map<std::string, Tallies::iterator> by_signature_;
  std::unordered_map<std::string, std::vector<Tally*>> by_namespace_;
  std::unordered_map<std::string, std::unique_ptr<TermGroup>> groups_;
  std::unordered_map<std::string, Groups> by_label_;  // groups that only pods with this "key=value" are covered by
  Groups unlabelled_;                                 // the others
  std::size_t pods_with_[4] = {0, 0, 0, 0};
  std::size_t empty_groups_ = 0;
};

}  // namespace berth::scheduler

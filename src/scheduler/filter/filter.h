#pragma once
// Filters: whether a pod may run on a node. One function per concern, in upstream's order; the first that rejects gives
// the reason. To add one: a function with this signature, a Concern, an entry in kFilters (filter.cc) with the pods it
// cannot reject, and in Scheduler the changes that wake pods it rejected.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/runtime.h"
#include "scheduler/snapshot/snapshot.h"

namespace berth::scheduler {

// The filter that rejected a pod; a set of bits.
enum Concern : unsigned {
  kConcernNode = 1,  // labels, taints, cordon
  kConcernResources = 2,
  kConcernPorts = 4,
  kConcernVolumes = 8,
  kConcernNoNodes = 16,
  kConcernAffinity = 32,  // to other pods
  kConcernSpread = 64,
};

// The cluster apart from nodes and placed pods, as cached. Returns null Values for missing objects.
class ClusterView {
 public:
  virtual ~ClusterView() = default;
  virtual const Value& claim(const std::string& ns, const std::string& name) const = 0;
  virtual const Value& volume(const std::string& name) const = 0;
  virtual const Value& storage_class(const std::string& name) const = 0;
  // The volumes that match the claim's index keys: reserved for it, or free and of its class.
  virtual std::vector<Value> candidates(const Value& claim) const = 0;
  // True if a binding in flight uses the volume.
  virtual bool is_volume_used(const Value& volume) const = 0;

  virtual const Value& pod(const std::string& ns, const std::string& name) const = 0;  // as cached
  virtual const Value& ns(const std::string& name) const = 0;
  virtual std::vector<Value> namespaces() const = 0;
  // The services of a namespace that select pods.
  virtual std::vector<Value> services(const std::string& ns) const = 0;
  // spec.selector of the ReplicaSet or StatefulSet that controls the pod.
  virtual const Value& owner_selector(const PodInfo& pod) const = 0;
  virtual std::vector<Value> budgets() const = 0;
  virtual Time now() const = 0;
};

// What a pod's claims require of any node; computed once per decision.
struct VolumeNeeds {
  std::string problem;  // not empty: no node can run the pod, for this reason
  struct BoundClaim {
    std::string claim;
    Value volume;
  };
  std::vector<BoundClaim> bound;       // claims with a bound volume
  std::vector<Value> waiting;          // claims to bind for the chosen node
  bool missing_volume = false;         // a claim is bound to a volume that does not exist
  std::vector<std::string> exclusive;  // ReadWriteOncePod claims ("namespace/name") that another pod uses
  const Snapshot* users = nullptr;     // counts the users of `exclusive`
};
VolumeNeeds volume_needs(const PodInfo& pod, const ClusterView& view, const Snapshot& snapshot);

// How the waiting claims would be bound on one node.
struct VolumeChoice {
  struct Binding {
    Value claim, volume;
  };
  std::vector<Binding> bindings;  // free volumes to reserve
  std::vector<Value> provisions;  // claims for which a volume must be created
  bool empty() const { return bindings.empty() && provisions.empty(); }
};
// The reason why not, or "" with the choice.
std::string choose_volumes(const VolumeNeeds& needs, const Value& node, const ClusterView& view, VolumeChoice* choice);

// The placed pods that matter for one unscheduled pod: computed once per decision, valid while the snapshot updates its
// counts.
struct Neighbours {
  struct TermCount {
    const Tally* tally;
    int key;
  };
  struct SpreadCount {
    const Tally* tally;
    int key;
    std::int64_t max_skew, min_domains, self;  // self: 1 if the constraint's selector matches the pod itself
  };
  std::vector<TermCount> affinity;  // each needs a pod in the node's domain that all required terms match
  bool may_be_first = false;        // the pod's own terms match the pod
  std::vector<TermCount> anti;      // none may have a pod in the node's domain
  std::vector<const TermGroup*> rejecting_groups;  // required anti-affinity of placed pods that covers the pod
  std::vector<SpreadCount> spread;
};
Neighbours gather_neighbours(const PodInfo& pod, Snapshot& snapshot, const ClusterView& view);
// True if adding or removing `changed` may change the affinity or spreading of `waiting`.
bool affects(const PodInfo& waiting, const PodInfo& changed, const ClusterView& view);

// The property of pod or node that a filter checks; a set of bits.
enum FilterAspect : unsigned {
  kAspectNode = 1,
  kAspectName = 2,
  kAspectAffinity = 4,
  kAspectPorts = 8,
  kAspectResources = 16,
  kAspectVolumes = 32,
  kAspectSpread = 64,
  kAspectNeighbours = 128,
};

struct FilterInput {
  const PodInfo& pod;
  const VolumeNeeds& volumes;
  const ClusterView& view;
  const Neighbours& neighbours;
  unsigned aspects = ~0u;  // filters of other aspects cannot reject this pod and are skipped
};
FilterInput make_filter_input(const PodInfo& pod, const VolumeNeeds& volumes, const ClusterView& view,
                              const Neighbours& neighbours);

struct FilterResult {
  // Nearly all reasons are literals, and there is one per node: a string_view avoids copying them.
  std::string_view reason;
  std::vector<std::string> more;  // further reasons, and composed ones
  bool resolvable = true;         // fewer pods on the node would help
  unsigned concern = 0;
  bool fits() const { return reason.empty() && more.empty(); }
  template <class Visit>
  void each_reason(Visit visit) const {
    if (!reason.empty()) visit(reason);
    for (const std::string& one : more) visit(std::string_view(one));
  }
};
FilterResult filter(const FilterInput& input, const NodeInfo& node);
// A result with one reason, a literal.
FilterResult reject(std::string_view reason, bool resolvable, Concern concern);

// The filters, exported for their tests.
FilterResult filter_schedulable(const FilterInput& input, const NodeInfo& node);
FilterResult filter_name(const FilterInput& input, const NodeInfo& node);
FilterResult filter_taints(const FilterInput& input, const NodeInfo& node);
FilterResult filter_affinity(const FilterInput& input, const NodeInfo& node);
FilterResult filter_ports(const FilterInput& input, const NodeInfo& node);
FilterResult filter_resources(const FilterInput& input, const NodeInfo& node);
FilterResult filter_volumes(const FilterInput& input, const NodeInfo& node);
FilterResult filter_spread(const FilterInput& input, const NodeInfo& node);
FilterResult filter_neighbours(const FilterInput& input, const NodeInfo& node);

// True if the pod's selector and required node affinity allow the node; true if its tolerations do.
bool allows_node(const PodInfo& pod, const Value& node);
bool tolerates_node(const PodInfo& pod, const NodeInfo& node);
// The tally of the pods that a spread constraint counts. `keys`: topologies that a node must have to be counted.
const Tally& spread_tally(const PodInfo& pod, const SpreadConstraint& constraint, const std::vector<int>& keys,
                          Snapshot& snapshot);
// The tally of the pods that all these terms of the pod match, by the topology `key`.
const Tally& affinity_tally(const PodInfo& pod, const std::vector<const AffinityTerm*>& terms, int key,
                            Snapshot& snapshot, const ClusterView& view);

}  // namespace berth::scheduler

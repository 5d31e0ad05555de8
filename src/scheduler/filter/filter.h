#pragma once
// Filters: may this pod run on this node? One concern a function, in upstream's order; the first that says no speaks.
// To add one: a function with this signature, a Concern, a line in kFilters (filter.cc) that also says which pods it
// cannot refuse, and what may cure it in Scheduler (which changes wake pods that it refused).

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/runtime.h"
#include "scheduler/snapshot/snapshot.h"

namespace berth::scheduler {

// What refused a pod; a set of bits.
enum Concern : unsigned {
  kConcernNode = 1,  // labels, taints, cordon
  kConcernResources = 2,
  kConcernPorts = 4,
  kConcernVolumes = 8,
  kConcernNoNodes = 16,
  kConcernAffinity = 32,  // to other pods
  kConcernSpread = 64,
};

// The rest of the cluster as cached. Null Values for what is not there.
class View {
 public:
  virtual ~View() = default;
  virtual const Value& claim(const std::string& ns, const std::string& name) const = 0;
  virtual const Value& volume(const std::string& name) const = 0;
  virtual const Value& storage_class(const std::string& name) const = 0;
  // The volumes that could serve the claim: reserved for it, or free and of its class.
  virtual std::vector<Value> candidates(const Value& claim) const = 0;
  // Somebody's binding of that volume is under way.
  virtual bool taken(const Value& volume) const = 0;

  virtual const Value& pod(const std::string& ns, const std::string& name) const = 0;  // as last seen
  virtual const Value& ns(const std::string& name) const = 0;
  virtual std::vector<Value> namespaces() const = 0;
  // The services of a namespace that select pods.
  virtual std::vector<Value> services(const std::string& ns) const = 0;
  // spec.selector of the ReplicaSet or StatefulSet that controls the pod.
  virtual const Value& owner_selector(const PodInfo& pod) const = 0;
  virtual std::vector<Value> budgets() const = 0;
  virtual Time now() const = 0;
};

// What a pod's claims ask of any node, found out once a decision.
struct VolumeNeeds {
  std::string problem;  // no node can do: the reason
  struct Bound {
    std::string claim;
    Value volume;
  };
  std::vector<Bound> bound;            // claims that have their volume
  std::vector<Value> waiting;          // claims to be bound for the node chosen
  bool missing_volume = false;         // a claim is bound to a volume that does not exist
  std::vector<std::string> exclusive;  // ReadWriteOncePod claims ("namespace/name") that another pod uses
  const Snapshot* users = nullptr;     // who uses them
};
VolumeNeeds volume_needs(const PodInfo& pod, const View& view, const Snapshot& snapshot);

// How the waiting claims would be served on one node.
struct VolumeChoice {
  struct Binding {
    Value claim, volume;
  };
  std::vector<Binding> bindings;  // free volumes to take
  std::vector<Value> provisions;  // claims to have a volume made for
  bool empty() const { return bindings.empty() && provisions.empty(); }
};
// The reason why not, or "" and the choice.
std::string choose_volumes(const VolumeNeeds& needs, const Value& node, const View& view, VolumeChoice* choice);

// What the pods that are placed mean for one that is not: found out once a decision, good while the snapshot counts on.
struct Neighbours {
  struct Place {
    const Tally* tally;
    int key;
  };
  struct Spread {
    const Tally* tally;
    int key;
    std::int64_t max_skew, min_domains, self;  // self: 1 where the pod itself matches
  };
  std::vector<Place> affinity;             // a pod that all required terms want is needed in each
  bool first_of_its_kind_may = false;      // the pod is wanted by its own terms
  std::vector<Place> anti;                 // none may be in any
  std::vector<const TermGroup*> refusing;  // required anti-affinity of others that covers the pod
  std::vector<Spread> spread;
};
Neighbours look_around(const PodInfo& pod, Snapshot& snapshot, const View& view);
// Whether a pod that comes or goes may change what affinity and spreading mean for one that waits.
bool matters_to(const PodInfo& waiting, const PodInfo& changed, const View& view);

// What a filter looks at; a set of bits.
enum About : unsigned {
  kAboutNode = 1,
  kAboutName = 2,
  kAboutAffinity = 4,
  kAboutPorts = 8,
  kAboutResources = 16,
  kAboutVolumes = 32,
  kAboutSpread = 64,
  kAboutNeighbours = 128,
};

struct Question {
  const PodInfo& pod;
  const VolumeNeeds& volumes;
  const View& view;
  const Neighbours& neighbours;
  unsigned about = ~0u;  // filters about anything else cannot refuse this pod and are left out
};
Question ask(const PodInfo& pod, const VolumeNeeds& volumes, const View& view, const Neighbours& neighbours);

struct Verdict {
  // Nearly all reasons are fixed words, and there are as many as nodes: nothing is copied for them.
  std::string_view reason;
  std::vector<std::string> more;  // further ones, and those put together
  bool curable = true;            // fewer pods on the node would help
  unsigned concern = 0;
  bool fits() const { return reason.empty() && more.empty(); }
  template <class Visit>
  void each_reason(Visit visit) const {
    if (!reason.empty()) visit(reason);
    for (const std::string& one : more) visit(std::string_view(one));
  }
};
Verdict filter(const Question& question, const NodeInfo& node);
// A verdict with one reason, a literal.
Verdict refuse(std::string_view reason, bool curable, Concern concern);

// The filters, for their own tests.
Verdict filter_schedulable(const Question& question, const NodeInfo& node);
Verdict filter_name(const Question& question, const NodeInfo& node);
Verdict filter_taints(const Question& question, const NodeInfo& node);
Verdict filter_affinity(const Question& question, const NodeInfo& node);
Verdict filter_ports(const Question& question, const NodeInfo& node);
Verdict filter_resources(const Question& question, const NodeInfo& node);
Verdict filter_volumes(const Question& question, const NodeInfo& node);
Verdict filter_spread(const Question& question, const NodeInfo& node);
Verdict filter_neighbours(const Question& question, const NodeInfo& node);

// Whether the pod's own selector and required node affinity allow the node; whether its tolerations do.
bool allows_node(const PodInfo& pod, const Value& node);
bool tolerates_node(const PodInfo& pod, const NodeInfo& node);
// The tally of pods that a spread constraint counts. `keys`: topologies that a node must have to be counted at all.
const Tally& spread_tally(const PodInfo& pod, const SpreadConstraint& constraint, const std::vector<int>& keys,
                          Snapshot& snapshot);
// ... of the pods that all these terms of the pod want, by the topology of one of them.
const Tally& affinity_tally(const PodInfo& pod, const std::vector<const AffinityTerm*>& terms, int key,
                            Snapshot& snapshot, const View& view);

}  // namespace berth::scheduler

#pragma once
// Filters: may this pod run on this node? One concern a function, in upstream's order; the first that says no speaks.
// To add one: a function with this signature, a Concern, a line in kFilters (filter.cc), and what may cure it in
// Scheduler (which changes wake pods that it refused).

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/snapshot.h"

namespace berth::scheduler {

// What refused a pod; a set of bits.
enum Concern : unsigned {
  kConcernNode = 1,        // labels, taints, cordon
  kConcernResources = 2,
  kConcernPorts = 4,
  kConcernVolumes = 8,
  kConcernNoNodes = 16,
};

// The claims, volumes and classes as cached. Null Values for what is not there.
class Storage {
 public:
  virtual ~Storage() = default;
  virtual const Value& claim(const std::string& ns, const std::string& name) const = 0;
  virtual const Value& volume(const std::string& name) const = 0;
  virtual const Value& storage_class(const std::string& name) const = 0;
  // The volumes that could serve the claim: reserved for it, or free and of its class.
  virtual std::vector<Value> candidates(const Value& claim) const = 0;
  // Somebody's binding of that volume is under way.
  virtual bool taken(const Value& volume) const = 0;
};

// What a pod's claims ask of any node, found out once a decision.
struct VolumeNeeds {
  std::string problem;            // no node can do: the reason
  std::vector<Value> volumes;     // of bound claims
  std::vector<Value> waiting;     // claims to be bound for the node chosen
  bool missing_volume = false;    // a claim is bound to a volume that does not exist
  std::string exclusive;          // a ReadWriteOncePod claim ("namespace/name") that another pod uses
};
VolumeNeeds volume_needs(const PodInfo& pod, const Storage& storage, const Snapshot& snapshot);

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
std::string choose_volumes(const VolumeNeeds& needs, const Value& node, const Storage& storage, VolumeChoice* choice);

struct Question {
  const PodInfo& pod;
  const VolumeNeeds& volumes;
  const Storage& storage;
  const Snapshot& snapshot;
};

struct Verdict {
  std::vector<std::string> reasons;  // empty: it fits
  bool curable = true;               // fewer pods on the node would help
  unsigned concern = 0;
  bool fits() const { return reasons.empty(); }
};
Verdict filter(const Question& question, const NodeInfo& node);

// The filters, for their own tests.
Verdict filter_schedulable(const Question& question, const NodeInfo& node);
Verdict filter_name(const Question& question, const NodeInfo& node);
Verdict filter_taints(const Question& question, const NodeInfo& node);
Verdict filter_affinity(const Question& question, const NodeInfo& node);
Verdict filter_ports(const Question& question, const NodeInfo& node);
Verdict filter_resources(const Question& question, const NodeInfo& node);
Verdict filter_volumes(const Question& question, const NodeInfo& node);

}  // namespace berth::scheduler

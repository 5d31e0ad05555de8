#pragma once
// Whether a pod that has been bound to this node fits: enough room, the right labels, free ports, no taint that would
// drive it out again. The scheduler has checked all of that for the pods that it binds, but not for those whose spec
// names the node. Pure; the order of the checks and the texts are kubelet 1.36's.

#include <memory>
#include <optional>
#include <vector>

#include "agent/pod/pod_admission.h"
#include "api/resource_list.h"
#include "base/json/json.h"

namespace berth::agent {

// What one pod takes of a node.
struct PodRoom {
  api::ResourceList requests;
  std::vector<Value> host_ports;  // those of its containers' ports that have a hostPort
};
PodRoom room_of(const Value& pod);

// The node as a new pod finds it.
struct NodeRoom {
  Value node;  // the object: its labels and taints; null: not known yet
  api::ResourceList allocatable;
  std::vector<std::shared_ptr<const PodRoom>> pods;  // the others, with what they have been granted

  api::ResourceList used() const;
};

std::optional<PodRejection> reject_unfit(const Value& pod, const NodeRoom& room);

}  // namespace berth::agent

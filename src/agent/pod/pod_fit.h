#pragma once
// reject_unfit(): whether a pod that is bound to this node fits: resources, node affinity, host ports, taints with
// effect NoExecute. The scheduler checks all of that for the pods that it binds; a pod whose spec names the node comes
// without. Pure; the order of the checks and the texts are kubelet 1.36's.

#include <memory>
#include <optional>
#include <vector>

#include "agent/pod/pod_admission.h"
#include "api/resource_list.h"
#include "base/json/json.h"

namespace berth::agent {

// What one pod takes of its node.
struct PodRoom {
  api::ResourceList requests;
  std::vector<Value> host_ports;  // the ports of its containers that have a hostPort
};
PodRoom room_of(const Value& pod);

// The node without the pod that is checked.
struct NodeRoom {
  Value node;  // the Node object, for labels and taints; null: not known yet
  api::ResourceList allocatable;
  std::vector<std::shared_ptr<const PodRoom>> pods;  // the node's other pods, as granted

  api::ResourceList used() const;
};

std::optional<PodRejection> reject_unfit(const Value& pod, const NodeRoom& room);

}  // namespace berth::agent

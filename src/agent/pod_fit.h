#pragma once
// Whether a pod that has been bound to this node fits: enough room, the right labels, free ports, no taint that would drive it
// out again. A scheduler has looked at all of that; who names the node in the pod's spec has not. Pure; the order of the checks
// and the texts are kubelet 1.36's.

#include <cstdint>
#include <optional>
#include <vector>

#include "agent/pod_admission.h"
#include "api/resource_list.h"
#include "base/json/json.h"

namespace berth::agent {

// The node as a new pod finds it.
struct NodeRoom {
  Value node;                    // the object: its labels and taints; null: not known yet
  api::ResourceList allocatable;
  std::vector<Value> pods;       // that are here, with what they have been granted
};

std::optional<PodRejection> reject_unfit(const Value& pod, const NodeRoom& room);

}  // namespace berth::agent

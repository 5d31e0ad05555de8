#pragma once
// Requests and limits of containers and pods as the kernel's control groups take them. Pure.

#include <string>

#include "agent/runtime/container_runtime.h"
#include "base/json/json.h"

namespace berth::agent {

std::string pod_cgroup(const std::string& parent, const std::string& pod_uid);
Limits container_limits(const Value& container);
// Limits of the pod's control group: none of a resource that some container has no limit of.
Limits pod_limits(const Value& pod);
// oom_score_adj by kubelet's rule: 1000 for BestEffort, -997 for Guaranteed, in between for Burstable by the memory
// request.
int oom_score(const Value& pod, const Value& container, std::int64_t node_memory);
std::int64_t node_memory_bytes();
// The node's memory without the 100Mi that kubelet reserves for eviction.
std::int64_t allocatable_memory(std::int64_t node_memory);

}  // namespace berth::agent

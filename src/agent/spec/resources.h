#pragma once
// Requests and limits as the kernel takes them. Pure.

#include <string>

#include "agent/runtime/container_runtime.h"
#include "base/json/json.h"

namespace berth::agent {

std::string pod_cgroup(const std::string& parent, const std::string& pod_uid);
Limits container_limits(const Value& container);
// Of the whole pod: nothing where a container may use what it likes.
Limits pod_limits(const Value& pod);
// kubelet's rule: 1000 for BestEffort, -997 for Guaranteed, between for Burstable by the memory asked for.
int oom_score(const Value& pod, const Value& container, std::int64_t node_memory);
std::int64_t node_memory_bytes();
// What pods may take of the node's memory: all but the 100Mi that kubelet holds back.
std::int64_t allocatable_memory(std::int64_t node_memory);

}  // namespace berth::agent

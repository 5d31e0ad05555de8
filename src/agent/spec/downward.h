#pragma once
// The downward API: fields of a pod and resources of a container as text. Pure.

#include <string>

#include "agent/pod/pod_hook.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

// The value at a fieldPath: "metadata.name", "metadata.labels['a']", "status.podIP", ... Error: kubelet's text.
Result<std::string> field_value(const PodContext& pod, const std::string& path);
// A resourceFieldRef (limits.cpu, ...) of a container, divided by the divisor and rounded up; the node's capacity where
// the container has no limit.
Result<std::string> resource_value(const PodContext& pod, const Value& selector, const std::string& default_container);

}  // namespace berth::agent

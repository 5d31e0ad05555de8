#pragma once
// The downward API: what a pod may be told about itself. Pure.

#include <string>

#include "agent/pod/pod_hook.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

// The value at a fieldPath: "metadata.name", "metadata.labels['a']", "status.podIP", ... Error: kubelet's text.
Result<std::string> field_value(const PodContext& pod, const std::string& path);
// limits.cpu and the like of a container, divided by the divisor, rounded up; the node's size where there is no limit.
Result<std::string> resource_value(const PodContext& pod, const Value& selector, const std::string& default_container);

}  // namespace berth::agent

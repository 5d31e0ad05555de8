#pragma once
// Parts of a pod that this node does not support. Such a pod waits, with an event that names the part, as with kubelet.
// Pure.

#include <optional>
#include <string>

#include "agent/pod/pod_hook.h"
#include "base/json/json.h"

namespace berth::agent {

// In the pod's spec: kinds of volumes, raw block devices, resource claims.
std::optional<HookFailure> unsupported_part(const Value& pod);
// `runtime_class`: the RuntimeClass that the pod names; null where it does not exist.
std::optional<HookFailure> unsupported_runtime(const std::string& name, const Value& runtime_class);

}  // namespace berth::agent

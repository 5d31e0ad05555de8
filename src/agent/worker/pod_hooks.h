#pragma once
// The list of hooks, each of which prepares one concern of a pod's surroundings and cleans it up.

#include <memory>
#include <vector>

#include "agent/pod/pod_hook.h"

namespace berth::agent {

// All hooks, in the order in which they prepare a pod.
std::vector<std::unique_ptr<PodHook>> make_pod_hooks();

}  // namespace berth::agent

#pragma once

namespace berth::agent {

// The lists of containers in a pod's spec, in the order in which kubelet goes through them.
inline constexpr const char* kContainerLists[] = {"initContainers", "containers", "ephemeralContainers"};

}  // namespace berth::agent

#pragma once
// Containers by their names in a pod's spec.

#include <string>
#include <string_view>

#include "base/json/json.h"

namespace berth::agent {

// The lists of containers in a pod's spec, in the order in which kubelet goes through them.
inline constexpr const char* kContainerLists[] = {"initContainers", "containers", "ephemeralContainers"};

// The container's object in the pod's spec; null where the spec has none of that name.
const Value& container_spec(const Value& pod, std::string_view container);
// Which of kContainerLists names the container; "containers" where none does.
std::string_view container_list(const Value& pod, std::string_view container);

inline bool is_init_container(const Value& pod, std::string_view container) {
  return container_list(pod, container) == "initContainers";
}
inline bool is_ephemeral_container(const Value& pod, std::string_view container) {
  return container_list(pod, container) == "ephemeralContainers";
}

}  // namespace berth::agent

#pragma once
// A container's user, groups, capabilities and the like, from its security context, the pod's and the image.

#include <string>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

// Fills the security part of `spec`. `layers`: the image's unpacked directories, lowest first, where users are looked
// up by name (reads small files). Errors: kubelet's words for CreateContainerConfigError; kInternal: for
// CreateContainerError.
Status resolve_security(const Value& pod, const Value& container, const Value& image_config,
                        const std::vector<std::string>& layers, const std::string& pod_in_messages,
                        ContainerSpec& spec);

// The content of a file of the image, as the layers above each other show it. Empty where there is none.
std::string image_file(const std::vector<std::string>& layers, const std::string& path);

// defaults plus `add`, minus `drop`; "ALL" means all that this kernel has. kInternal: a name that is no capability.
Result<std::vector<std::string>> resolve_capabilities(const Value& capabilities);

}  // namespace berth::agent

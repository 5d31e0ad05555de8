#pragma once
// A container's user, groups, capabilities and so on, from its security context, the pod's and the image.

#include <string>
#include <vector>

#include "agent/runtime/container_runtime.h"
#include "base/json/json.h"
#include "base/result.h"

namespace berth::agent {

// The texts of /etc/passwd and /etc/group of an image; empty where the image has no such file.
struct ImageUsers {
  std::string passwd, group;
};
// `layers`: the image's unpacked directories, lowest first. Links are followed inside of them only. kInvalid: a file of
// more than 1 MiB. Reads from disk: to be called on the pool.
Result<ImageUsers> read_image_users(const std::vector<std::string>& layers);
// Whether resolve_security() needs an image's users and groups.
bool needs_image_users(const Value& pod, const Value& container, const Value& image_config);

// Fills the security fields of `spec`. Errors have kubelet's texts for CreateContainerConfigError; kInternal: for
// CreateContainerError.
Status resolve_security(const Value& pod, const Value& container, const Value& image_config, const ImageUsers& users,
                        const std::string& pod_in_messages, ContainerSpec& spec);

// defaults plus `add`, minus `drop`; "ALL" means all that this kernel has. kInternal: a name that is no capability.
Result<std::vector<std::string>> resolve_capabilities(const Value& capabilities);

}  // namespace berth::agent

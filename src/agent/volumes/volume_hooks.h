#pragma once
// The hooks that prepare a pod's volumes (agent/pod/pod_hook.h).

#include <memory>

#include "agent/pod/pod_hook.h"

namespace berth::agent {

std::unique_ptr<PodHook> make_claims_hook();
std::unique_ptr<PodHook> make_config_volumes_hook();  // configMap, secret, downwardAPI, projected
std::unique_ptr<PodHook> make_empty_dirs_hook();
std::unique_ptr<PodHook> make_host_paths_hook();
std::unique_ptr<PodHook> make_image_volumes_hook();
std::unique_ptr<PodHook> make_shared_volumes_hook();  // mountPropagation
std::unique_ptr<PodHook> make_sub_paths_hook();

}  // namespace berth::agent

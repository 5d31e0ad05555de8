#include "agent/worker/pod_hooks.h"

#include "agent/hooks/hooks.h"
#include "agent/volumes/volume_hooks.h"

namespace berth::agent {

std::vector<std::unique_ptr<PodHook>> make_pod_hooks() {
  std::vector<std::unique_ptr<PodHook>> hooks;
  hooks.push_back(make_node_support_hook());
  hooks.push_back(make_data_directories_hook());
  hooks.push_back(make_user_namespace_hook());  // before the namespaces that it owns
  hooks.push_back(make_names_hook());
  hooks.push_back(make_network_hook());  // before volumes: the downward API may need the address
  hooks.push_back(make_claims_hook());
  hooks.push_back(make_empty_dirs_hook());
  hooks.push_back(make_host_paths_hook());
  hooks.push_back(make_config_volumes_hook());
  hooks.push_back(make_image_volumes_hook());
  hooks.push_back(make_shared_volumes_hook());
  hooks.push_back(make_etc_files_hook());
  hooks.push_back(make_sandbox_hook());
  hooks.push_back(make_sub_paths_hook());  // last, so that its mounts are removed before their volumes
  return hooks;
}

}  // namespace berth::agent

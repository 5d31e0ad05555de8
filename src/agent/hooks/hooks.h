#pragma once
// The hooks that prepare a pod's surroundings (agent/pod/pod_hook.h), without those of its volumes
// (agent/volumes/volume_hooks.h).

#include <memory>

#include "agent/pod/pod_hook.h"

namespace berth::agent {

std::unique_ptr<PodHook> make_node_support_hook();  // fails for pods that need what this node does not support
std::unique_ptr<PodHook> make_data_directories_hook();
std::unique_ptr<PodHook> make_user_namespace_hook();  // hostUsers
std::unique_ptr<PodHook> make_names_hook();           // hostname, subdomain, fqdn
std::unique_ptr<PodHook> make_network_hook();
std::unique_ptr<PodHook> make_etc_files_hook();  // hosts, resolv.conf, hostname
std::unique_ptr<PodHook> make_sandbox_hook();

}  // namespace berth::agent

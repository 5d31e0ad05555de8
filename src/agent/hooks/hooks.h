#pragma once
// The hooks of a pod's surroundings, but for its volumes (agent/volumes/volume_hooks.h). The interface is
// agent/pod/pod_hook.h.

#include <memory>

#include "agent/pod/pod_hook.h"

namespace berth::agent {

std::unique_ptr<PodHook> make_node_support_hook();  // refuses what this node has not got
std::unique_ptr<PodHook> make_data_directories_hook();
std::unique_ptr<PodHook> make_user_namespace_hook();  // hostUsers
std::unique_ptr<PodHook> make_names_hook();           // hostname, subdomain, fqdn
std::unique_ptr<PodHook> make_network_hook();
std::unique_ptr<PodHook> make_etc_files_hook();  // hosts, resolv.conf, hostname
std::unique_ptr<PodHook> make_sandbox_hook();

}  // namespace berth::agent

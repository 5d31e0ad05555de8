#pragma once
// The surroundings of a node on this machine: a network and a mount namespace of its own, pinned in the cluster's run
// directory, and its cgroups. Nothing of the host's network is touched; no route leads out.
//
// The calls fork, mount and wait: for a process that has no threads yet (the command line), not for a loop.

#include <string>
#include <vector>

#include "base/result.h"
#include "host/cluster_dir.h"

namespace berth::host {

struct NodeAddresses {
  std::string api_service = "10.96.0.1";  // the kubernetes Service
  std::string dns_service = "10.96.0.10";
};

// Makes both namespaces and pins them; existing ones are left as they are. In the mount namespace a hybrid cgroup
// version 2 tree is hidden, because crun refuses hybrid machines. The service addresses are put on its loopback.
Status make_node_space(const ClusterDir& dir, const NodeAddresses& addresses);
bool node_space_exists(const ClusterDir& dir);

// The calling process (it must be single-threaded) moves into the node's namespaces.
Status enter_node_space(const ClusterDir& dir);

// A listening TCP socket inside the node's network namespace, made from outside it. Any thread; uses one of its own.
Result<int> listen_in_node(const ClusterDir& dir, const std::string& ip, int port);

// Processes of the node's cgroups (containers, conmon), and those that live in its mount namespace.
std::vector<int> node_processes(const ClusterDir& dir);
// Kills those that are left (SIGKILL), removes the cgroups, unpins the namespaces: with them go all mounts, loop
// devices, interfaces and rules made inside. Idempotent. The error names what would not go.
Status destroy_node_space(const ClusterDir& dir);

}  // namespace berth::host

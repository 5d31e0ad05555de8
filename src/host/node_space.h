#pragma once
// The isolation of a node on this machine: its own network and mount namespace, pinned in the cluster's run directory,
// and its cgroups. The host's network is not modified; no route leads out of the namespace.
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

// Creates and pins both namespaces; existing ones are kept. In the mount namespace the version 2 tree of a hybrid
// cgroup setup is hidden, because crun refuses hybrid machines. The service addresses are added to the loopback
// interface.
Status make_node_space(const ClusterDir& dir, const NodeAddresses& addresses);
bool node_space_exists(const ClusterDir& dir);

// Moves the calling process, which must be single-threaded, into the node's namespaces.
Status enter_node_space(const ClusterDir& dir);

// A listening TCP socket inside the node's network namespace, created from outside. Any thread; starts one of its own.
Result<int> listen_in_node(const ClusterDir& dir, const std::string& ip, int port);

// Processes in the node's cgroups (containers, conmon) and in its mount or network namespace.
std::vector<int> node_processes(const ClusterDir& dir);
// Kills the remaining processes (SIGKILL), removes the cgroups and unpins the namespaces, which removes all mounts,
// loop devices, interfaces and rules inside. Idempotent. The error names what remains.
Status destroy_node_space(const ClusterDir& dir);

}  // namespace berth::host

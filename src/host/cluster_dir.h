#pragma once
// Where a cluster on this machine keeps its things: one directory, given to `berth up --data-dir`.

#include <string>

#include "base/result.h"

namespace berth::host {

inline constexpr const char* kDefaultRoot = "/var/lib/berth";  // where no other is named

struct ClusterDir {
  std::string root;  // absolute, without links

  std::string reserve() const { return root + "/reserve"; }  // disk space for up and down
  std::string kubeconfig() const { return root + "/kubeconfig"; }
  std::string settings() const { return root + "/cluster.json"; }  // what `up` was told; kept between runs
  std::string pki() const { return root + "/pki"; }
  std::string store() const { return root + "/store/berth.db"; }
  std::string store_witness() const {
    return root + "/store.json";
  }                                                    // how far the store was, to tell an older copy of it
  std::string node() const { return root + "/node"; }  // the agent's images, volumes and pods
  std::string logs() const { return root + "/logs"; }
  std::string run() const { return root + "/run"; }  // sockets, pids, namespaces: gone after `down`
  std::string accepted_losses() const {
    return run() + "/accept-loss";
  }  // of the store: names, given to the next server
  std::string api_socket() const { return run() + "/api.sock"; }
  std::string agent_socket() const { return run() + "/agent.sock"; }
  std::string server_pid() const { return run() + "/server.pid"; }
  std::string agent_pid() const { return run() + "/agent.pid"; }
  std::string supervisor_pid() const { return run() + "/supervisor.pid"; }
  std::string restarts() const {
    return run() + "/restarts.json";
  }                                                       // how often each daemon was restarted, and why last
  std::string grace() const { return run() + "/grace"; }  // the most seconds that `down` gives a pod
  std::string shutdown_progress() const {
    return run() + "/ending";
  }  // which pods the agent waits for (agent/node/pod_shutdown.h)
  std::string namespaces() const { return run() + "/ns"; }
  std::string network_namespace() const { return namespaces() + "/net"; }
  std::string mount_namespace() const { return namespaces() + "/mnt"; }

  // The command that brings this cluster up, as a shell takes it.
  std::string up() const;

  // A short name that is the same for the same directory: used for cgroups, which are the machine's.
  std::string id() const;
  std::string cgroup() const { return "berth-" + id(); }
};

// Makes the path absolute and resolves symbolic links, so that `root` is the same whatever the directory is called by.
// It need not exist. kInvalid: a link to nothing, no directory, control characters, or too long for a Unix socket.
Result<ClusterDir> open_cluster_dir(const std::string& path);

}  // namespace berth::host

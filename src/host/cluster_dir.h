#pragma once
// The directory that contains everything of one cluster on this machine: `berth up --data-dir`.

#include <string>

#include "base/result.h"

namespace berth::host {

inline constexpr const char* kDefaultRoot = "/var/lib/berth";  // used if no other is named

struct ClusterDir {
  std::string root;  // absolute, without links

  std::string reserve() const { return root + "/reserve"; }  // disk space for up and down
  std::string kubeconfig() const { return root + "/kubeconfig"; }
  std::string settings() const { return root + "/cluster.json"; }  // options of `up`; kept between runs
  std::string pki() const { return root + "/pki"; }
  std::string store() const { return root + "/store/berth.db"; }
  std::string store_witness() const { return root + "/store.json"; }  // see store/witness.h
  std::string node() const { return root + "/node"; }                 // the agent's images, volumes and pods
  std::string logs() const { return root + "/logs"; }
  std::string run() const { return root + "/run"; }  // sockets, pids, namespaces; removed by `down`
  std::string accepted_losses() const { return run() + "/accept-loss"; }  // names of store losses, for the next server
  std::string api_socket() const { return run() + "/api.sock"; }
  std::string agent_socket() const { return run() + "/agent.sock"; }
  std::string server_pid() const { return run() + "/server.pid"; }
  std::string agent_pid() const { return run() + "/agent.pid"; }
  std::string supervisor_pid() const { return run() + "/supervisor.pid"; }
  std::string restarts() const { return run() + "/restarts.json"; }  // see restarts.h
  std::string grace() const { return run() + "/grace"; }  // upper limit of pods' grace periods, written by `down`
  std::string shutdown_progress() const { return run() + "/ending"; }  // see agent/node/pod_shutdown.h
  std::string namespaces() const { return run() + "/ns"; }
  std::string network_namespace() const { return namespaces() + "/net"; }
  std::string mount_namespace() const { return namespaces() + "/mnt"; }

  // The shell command that brings this cluster up.
  std::string up() const;

  // A short name derived from the directory: names the cluster's cgroups on this machine.
  std::string id() const;
  std::string cgroup() const { return "berth-" + id(); }
};

// Makes the path absolute and resolves symbolic links, so that `root` is the same for every path of the directory. The
// directory need not exist. kInvalid: a dangling link, not a directory, control characters, or too long for a Unix
// socket.
Result<ClusterDir> open_cluster_dir(const std::string& path);

}  // namespace berth::host

#pragma once
// AgentConfig: settings of an agent, of its node and of its cluster.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/runtime.h"

namespace berth::agent {

struct AgentConfig {
  std::string node_name;
  std::string node_ip;
  std::string data_dir;  // absolute; the agent makes pods/, memory/ (a tmpfs) and logs/ below it
  std::string cluster_dns = "10.96.0.10";
  std::string cluster_domain = "cluster.local";
  std::string zone, region;  // topology labels, where not empty
  std::map<std::string, std::string> labels;
  std::string cgroup = "berth";     // parent of the pods' control groups, relative
  std::string resolver_file;        // for dnsPolicy Default; empty: no servers
  std::string version = "v1.36.0";  // nodeInfo.kubeletVersion
  int max_pods = 110;
  std::vector<std::string> allowed_unsafe_sysctls;  // names, or prefixes followed by *
  int kubelet_port = 10250;                         // status.daemonEndpoints
  std::int64_t log_max_bytes = 10 << 20;
  int log_files = 5;
  Duration lease_renewal = 10s;
  Duration status_heartbeat = 300s;
  Duration log_check = 10s;       // how often the logs of running containers are measured, only while some run
  Duration garbage_check = 300s;  // how often unused images are collected; only while the node has pods

  std::string pods() const { return data_dir + "/pods"; }
  std::string memory() const { return data_dir + "/memory"; }
  std::string records() const { return memory() + "/records"; }
  std::string ends() const { return data_dir + "/ends.json"; }  // container_ends.h
  std::string logs() const { return data_dir + "/logs"; }
};

}  // namespace berth::agent

#pragma once
// What `berth up` was told about a cluster, kept in its directory so that the next `up` brings the same one back.

#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"
#include "host/cluster_dir.h"

namespace berth::host {

struct Settings {
  int api_port = 6443;
  std::string node_name = "berth-1";
  std::string pod_cidr = "10.244.0.0/24";
  std::string service_cidr = "10.96.0.0/16";
  std::string cluster_domain = "cluster.local";
  std::string api_service_ip = "10.96.0.1";
  std::string dns_service_ip = "10.96.0.10";
  std::string node_ip = "10.244.0.1";
  std::string feature_gates;                        // "Name=true,Other=false"
  std::vector<std::string> allowed_unsafe_sysctls;  // that pods of this node may set, beside the safe ones
};

// The defaults where there is no file yet.
Result<Settings> load_settings(const ClusterDir& dir);
Status save_settings(const ClusterDir& dir, const Settings& settings);

}  // namespace berth::host

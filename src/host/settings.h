#pragma once
// A cluster's settings: the options of `berth up`, stored in its directory so that the next `up` uses them again.

#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"
#include "host/cluster_dir.h"

namespace berth::host {

struct ClusterSettings {
  int api_port = 6443;
  std::string node_name = "berth-1";
  std::string pod_cidr = "10.244.0.0/24";
  std::string service_cidr = "10.96.0.0/16";
  std::string cluster_domain = "cluster.local";
  std::string api_service_ip = "10.96.0.1";
  std::string dns_service_ip = "10.96.0.10";
  std::string node_ip = "10.244.0.1";
  std::string feature_gates;                        // "Name=true,Other=false"
  std::vector<std::string> allowed_unsafe_sysctls;  // that pods of this node may set in addition to the safe ones
};

// The defaults if there is no file yet.
Result<ClusterSettings> load_settings(const ClusterDir& dir);
Status save_settings(const ClusterDir& dir, const ClusterSettings& settings);

}  // namespace berth::host

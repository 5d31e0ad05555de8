#pragma once
// The contents of /etc/hosts and /etc/resolv.conf. Pure.

#include <string>

#include "base/json/json.h"

namespace berth::agent {

struct ResolverSettings {
  std::string cluster_dns, cluster_domain;
  std::string node_resolver;  // the node's own resolv.conf
};
std::string resolver_content(const Value& pod, const ResolverSettings& settings);
std::string hosts_content(const Value& pod, const std::string& ip, const std::string& hostname,
                          const std::string& fqdn);

}  // namespace berth::agent

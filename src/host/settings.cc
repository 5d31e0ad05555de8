#include "host/settings.h"

#include "base/files.h"

namespace berth::host {

Result<ClusterSettings> load_settings(const ClusterDir& dir) {
  ClusterSettings settings;
  Result<std::string> text = read_file(dir.settings());
  if (text.failed_with(Code::kNotFound)) return settings;
  if (!text.ok()) return text.error();
  Result<Value> value = json::parse(*text);
  if (!value.ok()) return value.error().in("reading " + dir.settings());
  settings.api_port = static_cast<int>((*value)["apiPort"].as_int(settings.api_port));
  auto read_field = [&](const char* key, std::string& into) { into = (*value)[key].str(into); };
  read_field("nodeName", settings.node_name);
  read_field("podCIDR", settings.pod_cidr);
  read_field("serviceCIDR", settings.service_cidr);
  read_field("clusterDomain", settings.cluster_domain);
  read_field("apiServiceIP", settings.api_service_ip);
  read_field("dnsServiceIP", settings.dns_service_ip);
  read_field("nodeIP", settings.node_ip);
  read_field("featureGates", settings.feature_gates);
  for (const Value& one : (*value)["allowedUnsafeSysctls"]) settings.allowed_unsafe_sysctls.push_back(one.str());
  return settings;
}

Status save_settings(const ClusterDir& dir, const ClusterSettings& settings) {
  Value sysctls = Value::array();
  for (const auto& one : settings.allowed_unsafe_sysctls) sysctls.push(one);
  Value value = Value::object({{"apiPort", settings.api_port},
                               {"nodeName", settings.node_name},
                               {"podCIDR", settings.pod_cidr},
                               {"serviceCIDR", settings.service_cidr},
                               {"clusterDomain", settings.cluster_domain},
                               {"apiServiceIP", settings.api_service_ip},
                               {"dnsServiceIP", settings.dns_service_ip},
                               {"nodeIP", settings.node_ip},
                               {"featureGates", settings.feature_gates},
                               {"allowedUnsafeSysctls", std::move(sysctls)}});
  const std::string text = json::encode_pretty(value) + "\n";
  if (Result<std::string> now = read_file(dir.settings()); now.ok() && *now == text)
    return ok_status();  // skip the write: the disk may be full
  return write_file_durably(dir.settings(), text, 0600);
}

}  // namespace berth::host

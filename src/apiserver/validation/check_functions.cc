#include "apiserver/validation/check_functions.h"

#include <algorithm>

namespace berth::apiserver::validation {
namespace {

struct Named {
  std::string_view name;
  CheckFunction function;
};
constexpr Named kFunctions[] = {
    {"apparmor_profile", check_apparmor_profile},
    {"azure_disk_uri", check_azure_disk_uri},
    {"azure_namespace", check_azure_namespace},
    {"claim_spec", check_claim_spec},
    {"csi_driver_name", check_csi_driver_name},
    {"csi_publish_secret", check_csi_publish_secret},
    {"dns_lists", check_dns_lists},
    {"dns_options", check_dns_options},
    {"downward_items", check_downward_items},
    {"empty_dir_size", check_empty_dir_size},
    {"endpoint_ip", check_endpoint_ip},
    {"endpoint_subset", check_endpoint_subset},
    {"fc", check_fc},
    {"flex_option", check_flex_option},
    {"flocker", check_flocker},
    {"gluster_namespace", check_gluster_namespace},
    {"gmsa_credential_spec", check_gmsa_credential_spec},
    {"host_path", check_host_path},
    {"http_headers", check_http_headers},
    {"iscsi_initiator", check_iscsi_initiator},
    {"iscsi_name", check_iscsi_name},
    {"iscsi_secret", check_iscsi_secret},
    {"overhead", check_overhead},
    {"pod_resource_claim", check_pod_resource_claim},
    {"preemption_policy", check_preemption_policy},
    {"privilege_escalation", check_privilege_escalation},
    {"projected_sources", check_projected_sources},
    {"quobyte", check_quobyte},
    {"runtime_overhead", check_runtime_overhead},
    {"seccomp_profile", check_seccomp_profile},
    {"slice_ports", check_slice_ports},
    {"spread_min_domains", check_spread_min_domains},
    {"template_metadata", check_template_metadata},
    {"tolerations", check_tolerations},
    {"volume_iscsi", check_volume_iscsi},
    {"windows_user_name", check_windows_user_name},
};

}  // namespace

CheckFunction check_function(std::string_view name) {
  const auto at =
      std::find_if(std::begin(kFunctions), std::end(kFunctions), [&](const Named& one) { return one.name == name; });
  return at == std::end(kFunctions) ? nullptr : at->function;
}

}  // namespace berth::apiserver::validation

#pragma once
// The functions that `call(NAME)` in schema/*.checks names, and what they share with the rest. Internal to validation/.

#include "apiserver/validation/checks.h"

namespace berth::apiserver::validation {

// --- volume_sources.cc: the value is the source, unless said otherwise
void check_empty_dir_size(Report& report, const Path& path, const Value& limit);
void check_host_path(Report& report, const Path& path, const Value& source);
void check_iscsi_name(Report& report, const Path& path, const Value& name);
void check_iscsi_initiator(Report& report, const Path& path, const Value& name);
void check_iscsi_secret(Report& report, const Path& path, const Value& source);
void check_fc(Report& report, const Path& path, const Value& source);
void check_quobyte(Report& report, const Path& path, const Value& source);
void check_flocker(Report& report, const Path& path, const Value& source);
void check_flex_option(Report& report, const Path& path, const Value& key);
void check_azure_disk_uri(Report& report, const Path& path, const Value& source);
void check_csi_driver_name(Report& report, const Path& path, const Value& name);
bool is_iscsi_name(std::string_view name);  // with one of the prefixes, and formed as that one asks
void check_csi_publish_secret(Report& report, const Path& path, const Value& source);

// --- projections.cc
void check_downward_items(Report& report, const Path& path, const Value& source);
void check_projected_sources(Report& report, const Path& path, const Value& source);
enum class FieldRefPlace { kEnvironment, kVolume };
void validate_field_ref(Report& report, const Path& path, const Value& ref, FieldRefPlace place);
void validate_resource_field_ref(Report& report, const Path& path, const Value& ref, FieldRefPlace place);

// --- pod_spec.cc, containers.cc, resources.cc
void check_dns_lists(Report& report, const Path& path, const Value& config);
void check_dns_options(Report& report, const Path& path, const Value& options);
void check_pod_resource_claim(Report& report, const Path& path, const Value& claim);
void check_preemption_policy(Report& report, const Path& path, const Value& policy);
void check_http_headers(Report& report, const Path& path, const Value& headers);
void check_overhead(Report& report, const Path& path, const Value& overhead);

// --- scheduling.cc
void check_spread_min_domains(Report& report, const Path& path, const Value& constraint);

// --- security.cc
void check_seccomp_profile(Report& report, const Path& path, const Value& profile);
void check_apparmor_profile(Report& report, const Path& path, const Value& profile);
void check_gmsa_credential_spec(Report& report, const Path& path, const Value& text);
void check_windows_user_name(Report& report, const Path& path, const Value& name);
void check_privilege_escalation(Report& report, const Path& path, const Value& context);

// --- storage.cc, metadata.cc
void check_volume_iscsi(Report& report, const Path& path, const Value& source);
void check_gluster_namespace(Report& report, const Path& path, const Value& name);
void check_azure_namespace(Report& report, const Path& path, const Value& name);
void check_claim_spec(Report& report, const Path& path, const Value& spec);
void check_template_metadata(Report& report, const Path& path, const Value& metadata);

// --- endpoints.cc
void check_endpoint_ip(Report& report, const Path& path, const Value& address);
void check_endpoint_subset(Report& report, const Path& path, const Value& subset);
void check_slice_ports(Report& report, const Path& path, const Value& ports);

// --- config.cc
void check_runtime_overhead(Report& report, const Path& path, const Value& overhead);
void check_tolerations(Report& report, const Path& path, const Value& tolerations);

}  // namespace berth::apiserver::validation

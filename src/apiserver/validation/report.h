#pragma once
// Report: collects the causes of one validation, and offers the checks that many fields share. Internal to validation/.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "api/status.h"
#include "apiserver/validation/path.h"
#include "base/json/json.h"

namespace berth::apiserver::validation {

// "spec.containers" + [0] + ".name".
inline std::string at(const std::string& path, std::size_t index) { return path + "[" + std::to_string(index) + "]"; }
inline std::string at_key(const std::string& path, std::string_view key) { return path + "[" + std::string(key) + "]"; }

class Report {
 public:
  std::vector<Cause> take() { return std::move(causes_); }
  std::size_t size() const { return causes_.size(); }

  void add(Cause cause) { causes_.push_back(std::move(cause)); }
  void required(const Path& path, std::string_view detail = {}) { add(api::required(path.text(), detail)); }
  void invalid(const Path& path, const Value& value, std::string_view detail) {
    add(api::invalid_value(path.text(), value, detail));
  }
  // For values that Go prints as a struct or map: `shown` is taken as it is.
  void invalid_shown(const Path& path, std::string_view shown, std::string_view detail);
  void forbidden(const Path& path, std::string_view detail) { add(api::forbidden_field(path.text(), detail)); }
  void duplicate(const Path& path, const Value& value) { add(api::duplicate(path.text(), value)); }
  void not_found(const Path& path, const Value& value) { add(api::not_found_field(path.text(), value)); }
  // Unsupported value: the supported ones are printed in the order given.
  void not_supported(const Path& path, const Value& value, std::initializer_list<std::string_view> supported);

  // One invalid_value for each complaint.
  void complaints(const Path& path, const Value& value, const std::vector<std::string>& texts);
  // The value is one of these; an absent or empty one is `Required value` where `must` is set, and fine elsewhere.
  void one_of(const Path& path, const Value& value, std::initializer_list<std::string_view> supported,
              bool must = false);
  void not_negative(const Path& path, const Value& value);
  void in_range(const Path& path, const Value& value, std::int64_t low, std::int64_t high);
  void port(const Path& path, const Value& value);  // 1 to 65535
  void port_or_name(const Path& path, const Value& value);
  void mode(const Path& path, const Value& value);        // file mode bits
  void local_path(const Path& path, const Value& value);  // relative, inside: no leading /, no ..
  void no_backsteps(const Path& path, const Value& value);
  void ip(const Path& path, const Value& value);
  void quantity_not_negative(const Path& path, const Value& value);

 private:
  std::vector<Cause> causes_;
};

// --- names.cc
std::vector<std::string> is_port_name(std::string_view text);
std::vector<std::string> is_env_name(std::string_view text);
std::vector<std::string> is_config_key(std::string_view text);
std::vector<std::string> is_http_header_name(std::string_view text);
std::vector<std::string> is_dns1123_subdomain_with_underscore(std::string_view text);
std::vector<std::string> is_valid_ip(std::string_view text);

std::vector<std::string> is_absolute_path(std::string_view text);
std::vector<std::string> has_no_backsteps(std::string_view text);  // no part of it is ..
std::vector<std::string> is_relative_path(std::string_view text);  // and no backsteps
std::vector<std::string> is_local_path(std::string_view text);     // and does not start with ..
bool is_ip(std::string_view text);

class PodScope;

// --- metadata.cc
enum class NameRule {
  kSubdomain,
  kLongName,
  kLabel,
  kSet,
  kLabel1035,
  kPathSegment
};  // kLongName: a subdomain, counted in bytes
void validate_metadata(Report& report, const Value& metadata, bool namespaced, NameRule rule);
void validate_metadata_update(Report& report, const Value& before, const Value& after);
// "kubernetes", "orphan", "foregroundDeletion", or a name with a domain.
void validate_finalizer_name(Report& report, const Path& path, std::string_view name);
void validate_labels(Report& report, const Path& path, const Value& labels);
void validate_annotations(Report& report, const Path& path, const Value& annotations);
void validate_label_selector(Report& report, const Path& path, const Value& selector);
// A field that may not change; upstream prints the new value.
void validate_immutable(Report& report, const Path& path, const Value& before, const Value& after);

// --- pods
// `metadata` is the pod's own, and null for the spec of a template.
void validate_pod_spec(Report& report, const Path& path, const Value& spec, const Value* metadata);  // pod_spec.cc
// Statuses of workloads: workload_status.cc; of other objects, and what is written to a namespace's finalizers:
// object_status.cc.
void validate_controller_status(Report& report, const Value& before, const Value& after);
void validate_replica_set_status(Report& report, const Value& before, const Value& after);
void validate_deployment_status(Report& report, const Value& before, const Value& after);
void validate_stateful_set_status(Report& report, const Value& before, const Value& after);
void validate_daemon_set_status(Report& report, const Value& before, const Value& after);
void validate_pod_status(Report& report, const Value& before, const Value& after);
void validate_service_status(Report& report, const Value& before, const Value& after);
void validate_node_status(Report& report, const Value& before, const Value& after);
void validate_claim_status(Report& report, const Value& before, const Value& after);
void validate_budget_status(Report& report, const Value& before, const Value& after);
void validate_autoscaler_status(Report& report, const Value& before, const Value& after);
void validate_namespace_finalizers(Report& report, const Value& after);
void validate_pod(Report& report, const Value& pod);
void validate_pod_create(Report& report, const Value& pod);
void validate_pod_template(Report& report, const Path& path, const Value& pod_template);
void validate_pod_update(Report& report, const Value& before, const Value& after);
void validate_ephemeral_update(Report& report, const Value& before, const Value& after);  // pod_parts.cc
void validate_resize(Report& report, const Value& before, const Value& after);            // pod_parts.cc
void validate_containers(Report& report, const Path& path, const PodScope& scope);  // containers.cc; path is the spec's
void validate_volumes(Report& report, const Path& path, const Value& volumes, PodScope& scope);  // volumes.cc
void validate_affinity(Report& report, const Path& path, const Value& affinity);                 // scheduling.cc
void validate_tolerations(Report& report, const Path& path, const Value& tolerations);
void validate_topology_spread(Report& report, const Path& path, const Value& constraints);
void validate_node_selector(Report& report, const Path& path, const Value& selector);
// resources.cc. `scope` is null where there are no claims to refer to.
enum class ResourcesOf { kContainer, kPod };
void validate_resources(Report& report, const Path& path, const Value& resources, ResourcesOf of,
                        const PodScope* scope);
void validate_pod_resources(Report& report, const Path& path, const PodScope& scope);
// security.cc; paths of the last two are the spec's
void validate_security_context(Report& report, const Path& path, const Value& context, const PodScope& scope);
void validate_pod_security(Report& report, const Path& path, const PodScope& scope);
void validate_pod_os(Report& report, const Path& path, const Value& spec);

// --- the other kinds
void validate_stateful_set(Report& report, const Value& object);  // workloads.cc
void validate_stateful_set_update(Report& report, const Value& before, const Value& after);
void validate_set_template(Report& report, const Value& spec);
std::vector<std::string> is_set_name(std::string_view name);  // set_options.cc
void validate_set_options(Report& report, const Value& set);
void validate_claim_template_changes(Report& report, const Value& before, const Value& after);
void validate_deployment(Report& report, const Value& object);  // workloads.cc
void validate_replica_set(Report& report, const Value& object);
void validate_selector_update(Report& report, const Value& before, const Value& after);
void validate_daemon_set(Report& report, const Value& object);
void validate_replication_controller(Report& report, const Value& object);
void validate_stored_template(Report& report, const Value& object);  // kind PodTemplate
void validate_budget(Report& report, const Value& object);
void validate_priority_class(Report& report, const Value& object);  // scheduling.cc
void validate_priority_class_update(Report& report, const Value& before, const Value& after);
// endpoints.cc. Addresses of the endpoints `old` may stay what they are.
void validate_slice_endpoints(Report& report, const Value& old, const Value& slice);
void validate_service(Report& report, const Value& object);  // services.cc
void validate_service_update(Report& report, const Value& before, const Value& after);
// Addresses and families alone, as they are looked at before any are given. Addresses of the list `old` may stay what
// they are.
void validate_cluster_ips(Report& report, const Value& spec, const Value& old = {});
void validate_claim(Report& report, const Value& object);  // storage.cc
void validate_claim_spec(Report& report, const Path& path, const Value& spec);
void validate_claim_update(Report& report, const Value& before, const Value& after);
void validate_volume(Report& report, const Value& object);
void validate_volume_update(Report& report, const Value& before, const Value& after);
void validate_storage_class(Report& report, const Value& object);
void validate_runtime_class_update(Report& report, const Value& before, const Value& after);
void validate_storage_class_update(Report& report, const Value& before, const Value& after);
void validate_config_map(Report& report, const Value& object);  // config.cc
void validate_config_map_update(Report& report, const Value& before, const Value& after);
void validate_secret(Report& report, const Value& object);
void validate_secret_update(Report& report, const Value& before, const Value& after);
void validate_container_resource_name(Report& report, const Path& path, std::string_view name);  // quota.cc
void validate_limit_range(Report& report, const Value& object);                                  // quota.cc
void validate_quota(Report& report, const Value& object);
void validate_quota_update(Report& report, const Value& before, const Value& after);
void validate_quota_status(Report& report, const Value& before, const Value& after);
void validate_job(Report& report, const Value& job);  // batch.cc
// With the checks of a new job.
void validate_job_update(Report& report, const Value& before, const Value& after);
void validate_job_status_update(Report& report, const Value& before, const Value& after);
void validate_cron_job(Report& report, const Value& cron_job);
void validate_cron_job_update(Report& report, const Value& before, const Value& after);
void validate_autoscaler(Report& report, const Value& object);  // autoscaling.cc
void validate_autoscaler_update(Report& report, const Value& before, const Value& after);
void validate_node(Report& report, const Value& object);  // config.cc
void validate_namespace(Report& report, const Value& object);
void validate_revision(Report& report, const Value& object);
void validate_event(Report& report, const Value& object);  // events.cc: core/v1
void validate_event_update(Report& report, const Value& before, const Value& after);
void validate_new_event(Report& report, const Value& object);  // events.k8s.io/v1
void validate_new_event_update(Report& report, const Value& before, const Value& after);

}  // namespace berth::apiserver::validation

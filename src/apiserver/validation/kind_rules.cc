#include "apiserver/validation/kind_rules.h"

#include "api/schema/kind_map.h"
#include "apiserver/validation/checks.h"
#include "apiserver/validation/kind_warnings.h"

namespace berth::apiserver::validation {
namespace {

void validate_revision_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_immutable(report, "data", before["data"], after["data"]);
}

void validate_endpoint_slice(Report& report, const Value& object) { validate_slice_endpoints(report, Value(), object); }

void validate_endpoint_slice_update(Report& report, const Value& before, const Value& after) {
  if (const CheckBlock* block = builtin_checks().find("discovery.EndpointSlice")) run_checks(report, {}, *block, after);
  validate_slice_endpoints(report, before["endpoints"], after);
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  validate_immutable(report, "addressType", before["addressType"], after["addressType"]);
}

void validate_node_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  const Value &old = before["spec"], &spec = after["spec"];
  if (!old["podCIDRs"].empty() && old["podCIDRs"] != spec["podCIDRs"]) {
    report.forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid");
  }
  if (!old["providerID"].as_string().empty() && old["providerID"] != spec["providerID"]) {
    report.forbidden("spec.providerID", "node updates may not change providerID except from \"\" to valid");
  }
  if (old["externalID"].as_string() != spec["externalID"].as_string())
    report.forbidden("spec.externalID", "may not be updated");
}

void validate_finalizers(Report& report, const Value&, const Value& after) {
  validate_namespace_finalizers(report, after);
}

constexpr SubresourceRule kPodSubresources[] = {{"ephemeralcontainers", validate_ephemeral_update},
                                                {"resize", validate_resize}};
constexpr SubresourceRule kNamespaceSubresources[] = {{"finalize", validate_finalizers}};

std::span<const KindRules> all_rules() {
  static const KindRules kRows[] = {
      {.group = "",
       .kind = "Pod",
       .create = validate_pod_create,
       .update = validate_pod_update,
       .subresources = kPodSubresources,
       .status = validate_pod_status,
       .warn_change = warn_of_pod_change},
      {.group = "",
       .kind = "PodTemplate",
       .create = validate_stored_template,
       .update_checks_all = true,
       .pod_template = "template"},
      {.group = "",
       .kind = "ReplicationController",
       .name = NameRule::kLongName,
       .create = validate_replication_controller,
       .update_checks_all = true,
       .repeats = {2, 3},
       .status = validate_controller_status,
       .pod_template = "spec.template",
       .names_pods = true},
      {.group = "",
       .kind = "Service",
       .name = NameRule::kLabel,
       .create = validate_service,
       .update = validate_service_update,
       .update_checks_all = true,
       .repeats = {2, 3},
       .status = validate_service_status,
       .warn = warn_of_service},
      {.group = "", .kind = "Endpoints", .update_checks_all = true},
      {.group = "",
       .kind = "ConfigMap",
       .create = validate_config_map,
       .update = validate_config_map_update,
       .update_checks_all = true},
      {.group = "",
       .kind = "Secret",
       .create = validate_secret,
       .update = validate_secret_update,
       .update_checks_all = true,
       .warn = warn_of_secret},
      {.group = "", .kind = "LimitRange", .create = validate_limit_range, .update_checks_all = true, .repeats = {1, 3}},
      {.group = "",
       .kind = "ResourceQuota",
       .create = validate_quota,
       .update = validate_quota_update,
       .update_checks_all = true,
       .repeats = {2, 3},
       .status = validate_quota_status},
      {.group = "",
       .kind = "Namespace",
       .name = NameRule::kLabel,
       .create = validate_namespace,
       .subresources = kNamespaceSubresources},
      {.group = "",
       .kind = "Node",
       .create = validate_node,
       .update = validate_node_update,
       .update_checks_all = true,
       .status = validate_node_status,
       .warn = warn_of_node},
      {.group = "", .kind = "ServiceAccount", .warn = warn_of_account},
      {.group = "",
       .kind = "Event",
       .name = NameRule::kPathSegment,
       .create = validate_event,
       .update = validate_event_update,
       .repeats = {1, 2}},
      {.group = "",
       .kind = "PersistentVolume",
       .create = validate_volume,
       .update = validate_volume_update,
       .update_checks_all = true,
       .repeats = {1, 4},
       .warn = warn_of_volume},
      {.group = "",
       .kind = "PersistentVolumeClaim",
       .create = validate_claim,
       .update = validate_claim_update,
       .status = validate_claim_status,
       .warn = warn_of_claim},
      {.group = "apps",
       .kind = "StatefulSet",
       .name = NameRule::kSet,
       .create = validate_stateful_set,
       .update = validate_stateful_set_update,
       .repeats = {2, 3},
       .status = validate_stateful_set_status,
       .pod_template = "spec.template",
       .warn_change = warn_of_set_change},
      {.group = "apps",
       .kind = "DaemonSet",
       .create = validate_daemon_set,
       .update = validate_selector_update,
       .update_checks_all = true,
       .repeats = {2, 3},
       .status = validate_daemon_set_status,
       .pod_template = "spec.template"},
      {.group = "apps",
       .kind = "Deployment",
       .create = validate_deployment,
       .update = validate_selector_update,
       .update_checks_all = true,
       .repeats = {2, 3},
       .status = validate_deployment_status,
       .pod_template = "spec.template",
       .names_pods = true},
      {.group = "apps",
       .kind = "ReplicaSet",
       .create = validate_replica_set,
       .update = validate_selector_update,
       .update_checks_all = true,
       .repeats = {2, 3},
       .status = validate_replica_set_status,
       .pod_template = "spec.template",
       .names_pods = true},
      {.group = "apps", .kind = "ControllerRevision", .create = validate_revision, .update = validate_revision_update},
      {.group = "batch",
       .kind = "CronJob",
       .create = validate_cron_job,
       .update = validate_cron_job_update,
       .repeats = {2, 3},
       .pod_template = "spec.jobTemplate.spec.template",
       .names_pods = true},
      {.group = "batch",
       .kind = "Job",
       .create = validate_job,
       .update = validate_job_update,
       .status = validate_job_status_update,
       .pod_template = "spec.template",
       .names_pods = true},
      {.group = "autoscaling",
       .kind = "HorizontalPodAutoscaler",
       .create = validate_autoscaler,
       .update = validate_autoscaler_update,
       .update_checks_all = true,
       .repeats = {2, 3},
       .status = validate_autoscaler_status},
      {.group = "policy",
       .kind = "PodDisruptionBudget",
       .name = NameRule::kPathSegment,
       .create = validate_budget,
       .update_checks_all = true,
       .repeats = {1, 2},
       .status = validate_budget_status},
      {.group = "scheduling.k8s.io",
       .kind = "PriorityClass",
       .create = validate_priority_class,
       .update = validate_priority_class_update,
       .update_checks_all = true},
      {.group = "storage.k8s.io",
       .kind = "StorageClass",
       .create = validate_storage_class,
       .update = validate_storage_class_update,
       .update_checks_all = true,
       .warn = warn_of_class},
      {.group = "node.k8s.io",
       .kind = "RuntimeClass",
       .update = validate_runtime_class_update,
       .update_checks_all = true,
       .warn = warn_of_runtime_class},
      {.group = "coordination.k8s.io", .kind = "Lease", .update_checks_all = true, .repeats = {2, 3}},
      {.group = "discovery.k8s.io",
       .kind = "EndpointSlice",
       .create = validate_endpoint_slice,
       .update = validate_endpoint_slice_update,
       .repeats = {1, 3},
       .warn = warn_of_slice,
       .warns_of_new = true},
      {.group = "events.k8s.io",
       .kind = "Event",
       .create = validate_new_event,
       .update = validate_new_event_update,
       .repeats = {2, 3}}};
  return kRows;
}

}  // namespace

void validate_nothing(Report&, const Value&) {}

void validate_plain_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
}

const KindRules& rules_of(const api::schema::Kind& kind) {
  static const KindRules kPlain;
  static const api::schema::KindMap<const KindRules*> kRules(
      api::schema::builtin(), [](const api::schema::Kind& one) { return api::schema::row_of(all_rules(), one); });
  const KindRules* const* known = kRules.find(kind);
  const KindRules* row = known != nullptr ? *known : api::schema::row_of(all_rules(), kind);
  return row == nullptr ? kPlain : *row;
}

}  // namespace berth::apiserver::validation

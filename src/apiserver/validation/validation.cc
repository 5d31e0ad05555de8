#include "apiserver/validation/validation.h"

#include "apiserver/validation/checks.h"
#include "apiserver/validation/report.h"

namespace berth::apiserver::validation {
namespace {

using Check = void (*)(Report&, const Value&);
using UpdateCheck = void (*)(Report&, const Value&, const Value&);

void validate_nothing(Report&, const Value&) {}

void validate_plain_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
}

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

struct KindRules {
  std::string_view group, kind;
  NameRule name;
  Check create;
  UpdateCheck update;
  bool update_checks_whole;  // whether the create checks apply to the new object too
};

const KindRules kRules[] = {
    {"", "Pod", NameRule::kSubdomain, validate_pod_create, validate_pod_update, false},
    {"", "PodTemplate", NameRule::kSubdomain, validate_stored_template, validate_plain_update, true},
    {"", "ReplicationController", NameRule::kLongName, validate_replication_controller, validate_plain_update, true},
    {"", "Service", NameRule::kLabel, validate_service, validate_service_update, true},
    {"", "Endpoints", NameRule::kSubdomain, validate_nothing, validate_plain_update, true},
    {"", "ConfigMap", NameRule::kSubdomain, validate_config_map, validate_config_map_update, true},
    {"", "Secret", NameRule::kSubdomain, validate_secret, validate_secret_update, true},
    {"", "LimitRange", NameRule::kSubdomain, validate_limit_range, validate_plain_update, true},
    {"", "ResourceQuota", NameRule::kSubdomain, validate_quota, validate_quota_update, true},
    {"", "Namespace", NameRule::kLabel, validate_namespace, validate_plain_update, false},
    {"", "Node", NameRule::kSubdomain, validate_node, validate_node_update, true},
    {"", "ServiceAccount", NameRule::kSubdomain, validate_nothing, validate_plain_update, false},
    {"", "Event", NameRule::kPathSegment, validate_event, validate_event_update, false},
    {"", "PersistentVolume", NameRule::kSubdomain, validate_volume, validate_volume_update, true},
    {"", "PersistentVolumeClaim", NameRule::kSubdomain, validate_claim, validate_claim_update, false},
    {"apps", "StatefulSet", NameRule::kSet, validate_stateful_set, validate_stateful_set_update, false},
    {"apps", "DaemonSet", NameRule::kSubdomain, validate_daemon_set, validate_selector_update, true},
    {"apps", "Deployment", NameRule::kSubdomain, validate_deployment, validate_selector_update, true},
    {"apps", "ReplicaSet", NameRule::kSubdomain, validate_replica_set, validate_selector_update, true},
    {"apps", "ControllerRevision", NameRule::kSubdomain, validate_revision, validate_revision_update, false},
    {"batch", "CronJob", NameRule::kSubdomain, validate_cron_job, validate_cron_job_update, false},
    {"batch", "Job", NameRule::kSubdomain, validate_job, validate_job_update, false},
    {"autoscaling", "HorizontalPodAutoscaler", NameRule::kSubdomain, validate_autoscaler, validate_autoscaler_update,
     true},
    {"policy", "PodDisruptionBudget", NameRule::kPathSegment, validate_budget, validate_plain_update, true},
    {"scheduling.k8s.io", "PriorityClass", NameRule::kSubdomain, validate_priority_class,
     validate_priority_class_update, true},
    {"storage.k8s.io", "StorageClass", NameRule::kSubdomain, validate_storage_class, validate_storage_class_update,
     true},
    {"node.k8s.io", "RuntimeClass", NameRule::kSubdomain, validate_nothing, validate_runtime_class_update, true},
    {"coordination.k8s.io", "Lease", NameRule::kSubdomain, validate_nothing, validate_plain_update, true},
    {"discovery.k8s.io", "EndpointSlice", NameRule::kSubdomain, validate_endpoint_slice, validate_endpoint_slice_update,
     false},
    {"events.k8s.io", "Event", NameRule::kSubdomain, validate_new_event, validate_new_event_update, false},
};

const KindRules& rules_of(const api::schema::Kind& kind) {
  static const KindRules kPlain{"", "", NameRule::kSubdomain, validate_nothing, validate_plain_update, false};
  for (const KindRules& rules : kRules) {
    if (rules.group == kind.group && rules.kind == kind.kind) return rules;
  }
  return kPlain;
}

void validate_finalizer_names(Report& report, const Value& finalizers) {
  const Path path("metadata.finalizers");
  for (std::size_t i = 0; i < finalizers.size(); ++i)
    validate_finalizer_name(report, path.at(i), finalizers[i].as_string());
}

// How often upstream validates the metadata of an update, and so how often each cause is in its answer: causes of
// fields that may not change, and of labels, annotations and owners.
struct CauseRepeats {
  std::string_view group, kind;
  int unchanged, content;
};
constexpr CauseRepeats kCauseRepeats[] = {
    {"", "Event", 1, 2},
    {"", "LimitRange", 1, 3},
    {"", "PersistentVolume", 1, 4},
    {"", "ReplicationController", 2, 3},
    {"", "ResourceQuota", 2, 3},
    {"", "Service", 2, 3},
    {"apps", "DaemonSet", 2, 3},
    {"apps", "Deployment", 2, 3},
    {"apps", "ReplicaSet", 2, 3},
    {"apps", "StatefulSet", 2, 3},
    {"batch", "CronJob", 2, 3},
    {"autoscaling", "HorizontalPodAutoscaler", 2, 3},
    {"policy", "PodDisruptionBudget", 1, 2},
    {"coordination.k8s.io", "Lease", 2, 3},
    {"discovery.k8s.io", "EndpointSlice", 1, 3},
    {"events.k8s.io", "Event", 2, 3},
};

std::vector<Cause> with_repeats(const api::schema::Kind& kind, std::vector<Cause> causes) {
  CauseRepeats repeats{"", "", 2, 4};
  for (const CauseRepeats& other : kCauseRepeats) {
    if (other.group == kind.group && other.kind == kind.kind) repeats = other;
  }
  std::vector<Cause> out;
  for (Cause& cause : causes) {
    int times = 1;
    // Below single annotations are the kinds' own rules.
    const bool content = cause.field == "metadata.labels" || cause.field == "metadata.annotations" ||
                         cause.field.starts_with("metadata.ownerReferences");
    if (content) times = repeats.content;
    for (const char* field : {"uid", "name", "namespace", "creationTimestamp", "deletionTimestamp",
                              "deletionGracePeriodSeconds", "finalizers"}) {
      if (cause.field == std::string("metadata.") + field) times = repeats.unchanged;
    }
    for (int i = 0; i < times; ++i) out.push_back(cause);
  }
  return out;
}

}  // namespace

std::vector<Cause> validate_create(const api::schema::Kind& kind, const Value& object) {
  const KindRules& rules = rules_of(kind);
  Report report;
  // A kind without a rule for names of its own has its metadata looked at only when everything else is right; so have
  // events of the old form.
  const bool old_event = kind.kind == "Event" && kind.group.empty() && object["eventTime"].is_null();
  if (rules.name == NameRule::kPathSegment || old_event) {
    rules.create(report, object);
    if (report.size() == 0) validate_metadata(report, object["metadata"], kind.namespaced, NameRule::kPathSegment);
    return report.take();
  }
  validate_metadata(report, object["metadata"], kind.namespaced, rules.name);
  if (const CheckBlock* block = builtin_checks().find(*kind.type)) run_checks(report, {}, *block, object);
  rules.create(report, object);
  return report.take();
}

std::vector<Cause> validate_update(const api::schema::Kind& kind, const Value& before, const Value& after,
                                   std::string_view subresource) {
  const KindRules& rules = rules_of(kind);
  Report report;
  if (rules.name != NameRule::kPathSegment) validate_finalizer_names(report, after["metadata"]["finalizers"]);
  if (!subresource.empty()) {
    // What a subresource may not touch is not taken from it in the first place.
    validate_metadata_update(report, before["metadata"], after["metadata"]);
    if (rules.update == validate_pod_update && subresource == "ephemeralcontainers")
      validate_ephemeral_update(report, before, after);
    if (rules.update == validate_pod_update && subresource == "resize") validate_resize(report, before, after);
    if (rules.update == validate_job_update && subresource == "status")
      validate_job_status_update(report, before, after);
    if (subresource == "status" && (kind.group == "apps" || kind.group.empty())) {
      validate_workload_status(report, kind.kind, before["status"], after["status"]);
    }
    if (subresource == "status") validate_object_status(report, kind.group, kind.kind, before, after);
    if (subresource == "finalize") validate_namespace_finalizers(report, after);
    return report.take();
  }
  // Labels and annotations are checked anew; a name that was good once stays good.
  validate_labels(report, "metadata.labels", after["metadata"]["labels"]);
  validate_annotations(report, "metadata.annotations", after["metadata"]["annotations"]);
  if (rules.update_checks_whole) {
    if (const CheckBlock* block = builtin_checks().find(*kind.type)) run_checks(report, {}, *block, after);
    rules.create(report, after);
  }
  rules.update(report, before, after);
  return with_repeats(kind, report.take());
}

}  // namespace berth::apiserver::validation

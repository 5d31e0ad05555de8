// What each kind does to its objects when they are written: upstream's strategies.
#include <algorithm>

#include "api/qos.h"
#include "apiserver/registry/state.h"
#include "base/ids.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

bool is_kind(const api::schema::Kind& kind, std::string_view group, std::string_view name) {
  return kind.group == group && kind.kind == name;
}

// Kinds whose status may only be written through the status subresource.
bool keeps_status(const api::schema::Kind& kind) { return kind.has_subresource("status"); }

// Kinds whose metadata.generation counts changes of the spec.
bool counts_generation(const api::schema::Kind& kind) {
  if (kind.group == "batch" || is_kind(kind, "", "ReplicationController") || is_kind(kind, "", "PodTemplate"))
    return true;
  if (is_kind(kind, "apps", "ControllerRevision")) return false;
  return kind.group == "apps" || kind.group == "policy" || kind.group == "scheduling.k8s.io" ||
         is_kind(kind, "", "Pod") || is_kind(kind, "discovery.k8s.io", "EndpointSlice");
}

// What a change of means a new generation.
const Value& generation_part(const api::schema::Kind& kind, const Value& object, Value& scratch) {
  if (is_kind(kind, "discovery.k8s.io", "EndpointSlice")) {
    scratch = object;
    scratch.set("metadata", object["metadata"]["labels"]);
    return scratch;
  }
  return is_kind(kind, "", "PodTemplate") ? object["template"] : object["spec"];
}

// The status sub-strategies that also let metadata through, as upstream's do.
bool status_takes_metadata(const api::schema::Kind& kind) {
  if (kind.group.empty() || is_kind(kind, "networking.k8s.io", "Ingress")) return true;
  return kind.group == "apps" || kind.group == "batch" || kind.group == "autoscaling" || kind.group == "policy" ||
         kind.group == "certificates.k8s.io";
}

// Daemon sets count the changes of their template in an annotation that only the server writes.
constexpr const char* kTemplateGeneration = "deprecated.daemonset.template.generation";

std::int64_t template_generation(const Value& object) {
  Result<long> number = parse_int(api::annotation_of(object, kTemplateGeneration));
  return number.ok() ? *number : 0;
}
void set_template_generation(Value& object, std::int64_t number) {
  object.mut("metadata").mut("annotations").set(kTemplateGeneration, std::to_string(number));
}

// The older form of an autoscaler has parts of its status in annotations.
void keep_annotated_status(const Value& before, Value& after) {
  for (const char* key :
       {"autoscaling.alpha.kubernetes.io/conditions", "autoscaling.alpha.kubernetes.io/current-metrics"}) {
    const Value& present = before["metadata"]["annotations"][key];
    if (!present.is_null()) {
      after.mut("metadata").mut("annotations").set(key, present);
    } else if (after["metadata"]["annotations"].contains(key)) {
      after.mut("metadata").mut("annotations").erase(key);
    }
  }
}

// stringData is a way to write data; it is never kept.
void fill_secret(Value& object) {
  const Value plain = object["stringData"];
  for (auto [key, text] : plain.entries()) object.mut("data").set(key, base64_encode(text.as_string()));
  object.erase("stringData");
}

// A claim's old data source may only be another claim or a snapshot; then the old and the new form of it say the same.
// `before`: of the claim that is there, or null; what it has is not taken away.
void settle_data_source(const api::schema::FeatureGates& gates, const Value& before, Value& spec) {
  // Of another namespace: as if it were not there.
  const bool crosses = gates.enabled("CrossNamespaceVolumeDataSource") || before["dataSourceRef"].is_object();
  if (!crosses && !spec["dataSourceRef"]["namespace"].as_string().empty()) spec.erase("dataSourceRef");
  const Value& source = spec["dataSource"];
  if (source.is_object() && !spec["dataSourceRef"].is_object() && !before["dataSource"].is_object()) {
    const std::string_view group = source["apiGroup"].as_string(), kind = source["kind"].as_string();
    const bool known = (group.empty() && kind == "PersistentVolumeClaim") ||
                       (group == "snapshot.storage.k8s.io" && kind == "VolumeSnapshot");
    if (!known) spec.erase("dataSource");
  }
  const Value old_form = spec["dataSource"], new_form = spec["dataSourceRef"];
  if (!new_form["namespace"].as_string().empty()) return;
  auto same = [](const Value& of) {
    return Value::object({{"apiGroup", of["apiGroup"]}, {"kind", of["kind"]}, {"name", of["name"]}});
  };
  if (old_form.is_object() && !new_form.is_object()) spec.set("dataSourceRef", same(old_form));
  if (!old_form.is_object() && new_form.is_object()) spec.set("dataSource", same(new_form));
}

// When a volume came into its phase is told by the server, unless the client tells.
void time_phase(const Value& before, Value& after, Time now) {
  const Value &old = before["lastPhaseTransitionTime"], &fresh = after["lastPhaseTransitionTime"];
  if (before["phase"] != after["phase"]) {
    if (fresh.is_null() || fresh == old) after.set("lastPhaseTransitionTime", format_time(now));
  } else if (fresh.is_null() && !old.is_null()) {
    after.set("lastPhaseTransitionTime", old);
  }
}

// Of the secrets of an account only names count.
void keep_secret_names(Value& account) {
  if (account["secrets"].empty()) return;
  Value names = Value::array();
  for (const Value& secret : account["secrets"]) {
    names.push(secret["name"].as_string().empty() ? Value::object() : Value::object({{"name", secret["name"]}}));
  }
  account.set("secrets", std::move(names));
}

}  // namespace

void add_namespace_finalizer(Value& spec) {
  for (const Value& finalizer : spec["finalizers"]) {
    if (finalizer.as_string() == "kubernetes") return;
  }
  spec.mut("finalizers").push("kubernetes");
}

bool has_status(const api::schema::Kind& kind) { return keeps_status(kind); }

bool returns_deleted_object(const api::schema::Kind& kind) {
  static const char* const kReturned[] = {
      "Pod", "Service", "PersistentVolumeClaim", "PersistentVolume", "ServiceAccount", "PodTemplate", "ResourceQuota"};
  if (is_kind(kind, "storage.k8s.io", "StorageClass")) return true;
  return kind.group.empty() && std::find(std::begin(kReturned), std::end(kReturned), kind.kind) != std::end(kReturned);
}

bool creates_on_update(const api::schema::Kind& kind) {
  return is_kind(kind, "coordination.k8s.io", "Lease") || is_kind(kind, "", "Endpoints") ||
         is_kind(kind, "", "Event") || is_kind(kind, "events.k8s.io", "Event");
}

void prepare_create(Registry::State& state, const api::schema::Kind& kind, Value& object) {
  Value& metadata = object.mut("metadata");
  for (const char* field : {"deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"})
    metadata.erase(field);
  if (counts_generation(kind)) metadata.set("generation", 1);
  // A node brings its own first status.
  if (keeps_status(kind) && !is_kind(kind, "", "Node")) object.erase("status");
  if (is_kind(kind, "", "Pod")) {
    object.set("status", Value::object({{"phase", "Pending"}, {"qosClass", api::qos_class(object)}}));
    prepare_pod(object, state.runtime.now());
  } else if (is_kind(kind, "", "Namespace")) {
    object.set("status", Value::object({{"phase", "Active"}}));
  } else if (is_kind(kind, "", "PersistentVolumeClaim")) {
    object.set("status", Value::object({{"phase", "Pending"}}));
    settle_data_source(state.config.gates, Value(), object.mut("spec"));
  } else if (is_kind(kind, "", "PersistentVolume")) {
    object.set("status",
               Value::object({{"phase", "Pending"}, {"lastPhaseTransitionTime", format_time(state.runtime.now())}}));
  } else if (is_kind(kind, "", "Service")) {
    object.set("status", Value::object({{"loadBalancer", Value::object()}}));
  } else if (is_kind(kind, "apps", "StatefulSet") || is_kind(kind, "apps", "ReplicaSet") ||
             is_kind(kind, "", "ReplicationController")) {
    object.set("status", Value::object({{"replicas", 0}}));
    if (kind.kind == "StatefulSet") object.mut("status").set("availableReplicas", 0);
  } else if (is_kind(kind, "apps", "Deployment") || kind.group == "batch") {
    object.set("status", Value::object());
  } else if (is_kind(kind, "apps", "DaemonSet")) {
    object.set("status", Value::object({{"currentNumberScheduled", 0},
                                        {"numberMisscheduled", 0},
                                        {"desiredNumberScheduled", 0},
                                        {"numberReady", 0}}));
    set_template_generation(object, std::max<std::int64_t>(1, template_generation(object)));
  } else if (is_kind(kind, "autoscaling", "HorizontalPodAutoscaler")) {
    object.set("status", Value::object({{"desiredReplicas", 0}}));
    object.mut("status").set(kind.version == "v1" ? "currentReplicas" : "currentMetrics",
                             kind.version == "v1" ? Value(0) : Value());
  } else if (is_kind(kind, "", "ResourceQuota")) {
    object.set("status", Value::object());
  } else if (is_kind(kind, "policy", "PodDisruptionBudget")) {
    object.set(
        "status",
        Value::object({{"disruptionsAllowed", 0}, {"currentHealthy", 0}, {"desiredHealthy", 0}, {"expectedPods", 0}}));
  } else if (is_kind(kind, "", "Secret")) {
    fill_secret(object);
  } else if (is_kind(kind, "", "ServiceAccount")) {
    keep_secret_names(object);
  } else if (is_kind(kind, "", "LimitRange") && metadata["name"].as_string().empty() &&
             metadata["generateName"].as_string().empty()) {
    object.mut("metadata").set("name", new_uid(state.runtime));
  }
}

Value prepare_update(Registry::State& state, const api::schema::Kind& kind, const Value& before, Value incoming,
                     std::string_view subresource) {
  Value after = std::move(incoming);
  if (subresource == "status") {
    Value status = after["status"];
    Value metadata = after["metadata"];
    after = before;
    if (status.is_null()) {
      after.erase("status");
    } else {
      after.set("status", std::move(status));
    }
    if (status_takes_metadata(kind)) {
      Value owners = before["metadata"]["ownerReferences"];
      after.set("metadata", std::move(metadata));
      if (!owners.is_null()) after.mut("metadata").set("ownerReferences", owners);
    } else if (metadata.contains("managedFields")) {
      after.mut("metadata").set("managedFields", metadata["managedFields"]);
    }
    if (is_kind(kind, "apps", "Deployment")) {
      const Value& labels = before["metadata"]["labels"];
      if (labels.is_null()) {
        after.mut("metadata").erase("labels");
      } else {
        after.mut("metadata").set("labels", labels);
      }
    }
    // status.qosClass and status.observedGeneration stay where a write leaves them out.
    if (is_kind(kind, "", "Pod")) {
      for (const char* field : {"qosClass", "observedGeneration"}) {
        const Value &old = before["status"][field], &fresh = after["status"][field];
        const bool named = field == std::string_view("qosClass") ? !fresh.as_string().empty() : fresh.as_int() != 0;
        if (!old.is_null() && !named) after.mut("status").set(field, old);
      }
    }
  } else if (is_kind(kind, "", "Pod") && (subresource == "ephemeralcontainers" || subresource == "resize")) {
    after = with_pod_part(before, std::move(after), subresource);
  } else if (subresource.empty() && keeps_status(kind)) {
    if (before["status"].is_null()) {
      after.erase("status");
    } else {
      after.set("status", before["status"]);
    }
  }
  if (is_kind(kind, "autoscaling", "HorizontalPodAutoscaler") && subresource.empty())
    keep_annotated_status(before, after);
  if (is_kind(kind, "", "Secret")) fill_secret(after);
  if (is_kind(kind, "", "ServiceAccount")) keep_secret_names(after);
  if (is_kind(kind, "", "PersistentVolumeClaim") && subresource.empty())
    settle_data_source(state.config.gates, before["spec"], after.mut("spec"));
  if (is_kind(kind, "", "PersistentVolume") && subresource == "status")
    time_phase(before["status"], after.mut("status"), state.runtime.now());
  if (is_kind(kind, "", "Pod") && subresource.empty()) {
    if (after["spec"]["terminationGracePeriodSeconds"].as_int() < 0)
      after.mut("spec").set("terminationGracePeriodSeconds", 1);
    // What the server worked out at creation need not be repeated.
    for (const char* field : {"priority", "preemptionPolicy"}) {
      if (after["spec"][field].is_null() && !before["spec"][field].is_null())
        after.mut("spec").set(field, before["spec"][field]);
    }
  }
  if (is_kind(kind, "", "Namespace") && subresource != "finalize")
    after.mut("spec").set("finalizers", before["spec"]["finalizers"]);
  Value& metadata = after.mut("metadata");
  const Value& old = before["metadata"];
  for (const char* field : {"uid", "creationTimestamp", "generation", "name", "namespace"}) {
    if (old[field].is_null()) {
      metadata.erase(field);
    } else {
      metadata.set(field, old[field]);
    }
  }
  // These are never taken back; that nobody sets them validation sees to.
  if (!old["deletionTimestamp"].is_null()) metadata.set("deletionTimestamp", old["deletionTimestamp"]);
  if (metadata["deletionGracePeriodSeconds"].is_null() && !old["deletionGracePeriodSeconds"].is_null()) {
    metadata.set("deletionGracePeriodSeconds", old["deletionGracePeriodSeconds"]);
  }
  Value scratch_before, scratch_after;
  // A Deployment's annotations count too: its controller copies them to its ReplicaSets.
  const bool annotated = is_kind(kind, "apps", "Deployment") && old["annotations"] != metadata["annotations"];
  if (counts_generation(kind) && subresource != "status" &&
      (annotated || generation_part(kind, before, scratch_before) != generation_part(kind, after, scratch_after))) {
    metadata.set("generation", static_cast<long>(old["generation"].as_int() + 1));
  }
  return after;
}

void count_template(const api::schema::Kind& kind, const Value& before, Value& after) {
  if (!is_kind(kind, "apps", "DaemonSet")) return;
  const bool changed = before["spec"]["template"] != after["spec"]["template"];
  const std::int64_t number = template_generation(before) + (changed ? 1 : 0);
  if (number != template_generation(after)) set_template_generation(after, number);
}

bool is_heartbeat(const api::schema::Kind& kind, const Value& before, const Value& after) {
  if (is_kind(kind, "coordination.k8s.io", "Lease")) {
    Value renewed = before;
    renewed.mut("spec").set("renewTime", after["spec"]["renewTime"]);
    if (after["metadata"]["managedFields"].is_null()) {
      renewed.mut("metadata").erase("managedFields");
    } else {
      renewed.mut("metadata").set("managedFields", after["metadata"]["managedFields"]);
    }
    renewed.mut("metadata").set("resourceVersion", after["metadata"]["resourceVersion"]);
    return before["spec"]["renewTime"] != after["spec"]["renewTime"] && renewed == after;
  }
  if (!is_kind(kind, "", "Node")) return false;
  auto without_beats = [](Value node) {
    node.mut("metadata").erase("managedFields");
    node.mut("metadata").erase("resourceVersion");
    if (!node["status"]["conditions"].is_array()) return node;
    Value& conditions = node.mut("status").mut("conditions");
    for (std::size_t i = 0; i < conditions.size(); ++i) conditions.mut(i).erase("lastHeartbeatTime");
    return node;
  };
  return before["status"]["conditions"] != after["status"]["conditions"] &&
         without_beats(before) == without_beats(after);
}

}  // namespace berth::apiserver::registry

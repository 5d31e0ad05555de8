// The list of printers, in alphabetical order of kinds within each group.
#include "apiserver/table/printers.h"

#include "api/object.h"
#include "api/quantity.h"
#include "api/schema/kind_map.h"
#include "base/text.h"

namespace berth::apiserver::table {
namespace {

const Column kName{"Name", "string", "name", 0, "The object's name."};
const Column kAge{"Age", "string", "", 0, "Time since it was created."};
const Column kContainers{"Containers", "string", "", 1, "Names of the containers in the template."};
const Column kImages{"Images", "string", "", 1, "Images of the containers in the template."};
const Column kSelector{"Selector", "string", "", 1, "Labels by which pods are selected."};

Value count_of(const Value& number) { return static_cast<long>(number.as_int()); }
std::string number_text(const Value& number) { return std::to_string(number.as_int()); }

Value template_containers(const Value& object) {
  return names_of(object["spec"]["template"]["spec"]["containers"], "name");
}
Value template_images(const Value& object) {
  return names_of(object["spec"]["template"]["spec"]["containers"], "image");
}

Value stateful_set_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o),
                       number_text(o["status"]["readyReplicas"]) + "/" + number_text(o["spec"]["replicas"]),
                       age_of(o, now), template_containers(o), template_images(o)});
}

Value deployment_cells(const Value& o, Time now) {
  const Value& status = o["status"];
  return Value::array({api::name_of(o), number_text(status["readyReplicas"]) + "/" + number_text(o["spec"]["replicas"]),
                       count_of(status["updatedReplicas"]), count_of(status["availableReplicas"]), age_of(o, now),
                       template_containers(o), template_images(o), selector_text(o["spec"]["selector"])});
}

Value daemon_set_cells(const Value& o, Time now) {
  const Value& status = o["status"];
  return Value::array({api::name_of(o), count_of(status["desiredNumberScheduled"]),
                       count_of(status["currentNumberScheduled"]), count_of(status["numberReady"]),
                       count_of(status["updatedNumberScheduled"]), count_of(status["numberAvailable"]),
                       map_text(o["spec"]["template"]["spec"]["nodeSelector"]), age_of(o, now), template_containers(o),
                       template_images(o), selector_text(o["spec"]["selector"])});
}

Value replica_set_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), count_of(o["spec"]["replicas"]), count_of(o["status"]["replicas"]),
                       count_of(o["status"]["readyReplicas"]), age_of(o, now), template_containers(o),
                       template_images(o), selector_text(o["spec"]["selector"])});
}

Value replication_controller_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), count_of(o["spec"]["replicas"]), count_of(o["status"]["replicas"]),
                       count_of(o["status"]["readyReplicas"]), age_of(o, now), template_containers(o),
                       template_images(o), map_text(o["spec"]["selector"])});
}

Value pod_template_cells(const Value& o, Time) {
  const Value& containers = o["template"]["spec"]["containers"];
  return Value::array({api::name_of(o), names_of(containers, "name"), names_of(containers, "image"),
                       map_text(o["template"]["metadata"]["labels"])});
}

// "statefulset.apps/web" for the controlling owner.
std::string controller_text(const Value& object) {
  const Value& owner = api::controller_of(object);
  if (!owner.is_object()) return "<none>";
  std::string group = api::GroupVersion::parse(owner["apiVersion"].as_string()).group;
  return lower(owner["kind"].as_string()) + (group.empty() ? "" : "." + group) + "/" + owner["name"].str();
}

Value controller_revision_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), controller_text(o), count_of(o["revision"]), age_of(o, now)});
}

Value config_map_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), static_cast<long>(o["data"].size() + o["binaryData"].size()), age_of(o, now)});
}

Value secret_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), o["type"].as_string(), static_cast<long>(o["data"].size()), age_of(o, now)});
}

Value namespace_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), o["status"]["phase"].as_string(), age_of(o, now)});
}

Value component_status_cells(const Value& o, Time) {
  for (const Value& condition : o["conditions"]) {
    if (condition["type"].as_string() != "Healthy") continue;
    const std::string_view status = condition["status"].as_string();
    return Value::array({api::name_of(o),
                         status == "True"    ? "Healthy"
                         : status == "False" ? "Unhealthy"
                                             : "Unknown",
                         condition["message"].str(), condition["error"].str()});
  }
  return Value::array({api::name_of(o), "Unknown", "", ""});
}

Value service_account_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), std::to_string(o["secrets"].size()), age_of(o, now)});
}

std::string claim_capacity(const Value& o) {
  return o["spec"]["volumeName"].as_string().empty() ? "" : o["status"]["capacity"]["storage"].str();
}

Value claim_cells(const Value& o, Time now) {
  std::string phase = api::is_terminating(o) ? "Terminating" : o["status"]["phase"].str();
  bool bound = !o["spec"]["volumeName"].as_string().empty();
  std::string storage_class = o["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].str(
      o["spec"]["storageClassName"].as_string());
  std::string attributes = o["status"]["currentVolumeAttributesClassName"].str();
  return Value::array({api::name_of(o), phase, o["spec"]["volumeName"].as_string(), claim_capacity(o),
                       bound ? access_modes_text(o["status"]["accessModes"]) : "", storage_class,
                       attributes.empty() ? "<unset>" : attributes, age_of(o, now),
                       o["spec"]["volumeMode"].is_null() ? "<unset>" : o["spec"]["volumeMode"].str()});
}

Value volume_cells(const Value& o, Time now) {
  const Value& spec = o["spec"];
  std::string phase = api::is_terminating(o) ? "Terminating" : o["status"]["phase"].str();
  const Value& claim = spec["claimRef"];
  std::string claim_text = claim.is_object() ? claim["namespace"].str() + "/" + claim["name"].str() : "";
  std::string attributes = spec["volumeAttributesClassName"].str();
  return Value::array({api::name_of(o), spec["capacity"]["storage"].as_string(), access_modes_text(spec["accessModes"]),
                       spec["persistentVolumeReclaimPolicy"].as_string(), phase, claim_text,
                       spec["storageClassName"].as_string(), attributes.empty() ? "<unset>" : attributes,
                       o["status"]["reason"].as_string(), age_of(o, now),
                       spec["volumeMode"].is_null() ? "<unset>" : spec["volumeMode"].str()});
}

Value storage_class_cells(const Value& o, Time now) {
  std::string name(api::name_of(o));
  bool is_default = api::annotation_of(o, "storageclass.kubernetes.io/is-default-class") == "true" ||
                    api::annotation_of(o, "storageclass.beta.kubernetes.io/is-default-class") == "true";
  if (is_default) name += " (default)";
  return Value::array({name, o["provisioner"].as_string(), o["reclaimPolicy"].as_string("Delete"),
                       o["volumeBindingMode"].as_string("Immediate"), o["allowVolumeExpansion"].as_bool(),
                       age_of(o, now)});
}

Value runtime_class_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), o["handler"].str(), age_of(o, now)});
}

Value priority_class_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), count_of(o["value"]), o["globalDefault"].as_bool(), age_of(o, now),
                       o["preemptionPolicy"].as_string()});
}

std::string event_seen(const Value& event, const char* stamp, Time now) {
  if (std::string_view time = event[stamp].as_string(); !time.empty()) return age_text(time, now);
  return age_text(event["eventTime"].as_string(), now);
}

Value event_cells(const Value& o, Time now) {
  const Value& object = o["involvedObject"].is_null() ? o["regarding"] : o["involvedObject"];
  std::string first = event_seen(o, "firstTimestamp", now), last = event_seen(o, "lastTimestamp", now);
  if (o["series"].is_object()) {
    last = age_text(o["series"]["lastObservedTime"].as_string(), now);
  }
  std::int64_t count = o["series"].is_object() ? o["series"]["count"].as_int() : o["count"].as_int(1);
  std::string component = o["source"]["component"].str(o["reportingComponent"].as_string());
  std::string host = o["source"]["host"].str(o["reportingInstance"].as_string());
  std::string source = host.empty() ? component : component + ", " + host;
  std::string target = lower(object["kind"].as_string());
  if (!object["name"].as_string().empty()) target += "/" + object["name"].str();
  return Value::array({last, o["type"].as_string(), o["reason"].as_string(), target, object["fieldPath"].as_string(),
                       source, trim(o["message"].as_string(o["note"].as_string())), first,
                       static_cast<long>(count == 0 ? 1 : count), api::name_of(o)});
}

Value lease_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), o["spec"]["holderIdentity"].as_string(), age_of(o, now)});
}

std::string int_or_string_text(const Value& value) {
  if (value.is_null()) return "N/A";
  return value.is_int() ? std::to_string(value.as_int()) : value.str();
}

Value budget_cells(const Value& o, Time now) {
  return Value::array({api::name_of(o), int_or_string_text(o["spec"]["minAvailable"]),
                       int_or_string_text(o["spec"]["maxUnavailable"]), count_of(o["status"]["disruptionsAllowed"]),
                       age_of(o, now)});
}

Value plain_cells(const Value& o, Time) {
  return Value::array({api::name_of(o), o["metadata"]["creationTimestamp"].as_string()});
}

const Printer kPlain{"", "", {kName, {"Created At", "date", "", 0, "When it was created."}}, plain_cells};

const std::vector<Column> kEventColumns = {{"Last Seen", "string", "", 0, "Time since it last happened."},
                                           {"Type", "string", "", 0, "Normal or Warning."},
                                           {"Reason", "string", "", 0, "The event in one word."},
                                           {"Object", "string", "", 0, "What it is about."},
                                           {"Subobject", "string", "", 1, "The part of the object it is about."},
                                           {"Source", "string", "", 1, "Who reported it."},
                                           {"Message", "string", "", 0, "What happened."},
                                           {"First Seen", "string", "", 1, "Time since it first happened."},
                                           {"Count", "string", "", 1, "How often it happened."},
                                           {"Name", "string", "name", 1, "The event's name."}};

const std::vector<Column> kMetricsColumns = {kName,
                                             {"cpu", "string", "quantity", 0, "Processors in use."},
                                             {"memory", "string", "quantity", 0, "Memory in use."},
                                             {"Window", "string", "duration", 0, "Over how long it was measured."}};

const std::vector<Printer>& printers() {
  static const std::vector<Printer> kAll = {
      {"", "ConfigMap", {kName, {"Data", "string", "", 0, "Number of entries."}, kAge}, config_map_cells},
      {"", "Endpoints", {kName, {"Endpoints", "string", "", 0, "Addresses and ports."}, kAge}, endpoints_cells},
      {"", "Event", kEventColumns, event_cells},
      {"", "Namespace", {kName, {"Status", "string", "", 0, "Active or Terminating."}, kAge}, namespace_cells},
      {"",
       "Node",
       {kName,
        {"Status", "string", "", 0, "Whether it is ready, and schedulable."},
        {"Roles", "string", "", 0, "From its labels."},
        kAge,
        {"Version", "string", "", 0, "Version of its agent."},
        {"Internal-IP", "string", "", 1, "Address inside the cluster."},
        {"External-IP", "string", "", 1, "Address outside the cluster."},
        {"OS-Image", "string", "", 1, "Operating system."},
        {"Kernel-Version", "string", "", 1, "Kernel."},
        {"Container-Runtime", "string", "", 1, "Runtime and its version."}},
       node_cells},
      {"",
       "PersistentVolume",
       {kName,
        {"Capacity", "string", "", 0, "Size."},
        {"Access Modes", "string", "", 0, "How it may be mounted."},
        {"Reclaim Policy", "string", "", 0, "What happens when its claim goes."},
        {"Status", "string", "", 0, "Phase of its life."},
        {"Claim", "string", "", 0, "Who holds it."},
        {"StorageClass", "string", "", 0, "Its class."},
        {"VolumeAttributesClass", "string", "", 0, "Its class of attributes."},
        {"Reason", "string", "", 0, "Why it is in this phase."},
        kAge,
        {"VolumeMode", "string", "", 1, "File system or block device."}},
       volume_cells},
      {"",
       "PersistentVolumeClaim",
       {kName,
        {"Status", "string", "", 0, "Phase of its life."},
        {"Volume", "string", "", 0, "The volume it is bound to."},
        {"Capacity", "string", "", 0, "Size of the volume."},
        {"Access Modes", "string", "", 0, "How it may be mounted."},
        {"StorageClass", "string", "", 0, "Its class."},
        {"VolumeAttributesClass", "string", "", 0, "Its class of attributes."},
        kAge,
        {"VolumeMode", "string", "", 1, "File system or block device."}},
       claim_cells},
      {"",
       "Pod",
       {kName,
        {"Ready", "string", "", 0, "Ready containers of all."},
        {"Status", "string", "", 0, "Where it is in its life."},
        {"Restarts", "string", "", 0, "Restarts of its containers, and when the last was."},
        kAge,
        {"IP", "string", "", 1, "Its address."},
        {"Node", "string", "", 1, "Where it runs."},
        {"Nominated Node", "string", "", 1, "Where room is being made for it."},
        {"Readiness Gates", "string", "", 1, "Gates passed of all."}},
       pod_cells,
       pod_conditions},
      {"",
       "ResourceQuota",
       {kName,
        {"Request", "string", "", 0, "What is used of what may be requested."},
        {"Limit", "string", "", 0, "What is used of the limits."},
        kAge},
       quota_cells},
      {"",
       "PodTemplate",
       {kName,
        {"Containers", "string", "", 0, "Names of the containers."},
        {"Images", "string", "", 0, "Images of the containers."},
        {"Pod Labels", "string", "", 0, "Labels of the pods."}},
       pod_template_cells},
      {"",
       "ReplicationController",
       {kName,
        {"Desired", "integer", "", 0, "Pods wanted."},
        {"Current", "integer", "", 0, "Pods there are."},
        {"Ready", "integer", "", 0, "Pods that are ready."},
        kAge,
        kContainers,
        kImages,
        kSelector},
       replication_controller_cells},
      {"",
       "Secret",
       {kName,
        {"Type", "string", "", 0, "What kind of secret."},
        {"Data", "string", "", 0, "Number of entries."},
        kAge},
       secret_cells},
      {"",
       "Service",
       {kName,
        {"Type", "string", "", 0, "How it is exposed."},
        {"Cluster-IP", "string", "", 0, "Its address in the cluster."},
        {"External-IP", "string", "", 0, "Its address outside."},
        {"Port(s)", "string", "", 0, "Ports, node ports and protocols."},
        kAge,
        kSelector},
       service_cells},
      {"",
       "ComponentStatus",
       {kName,
        {"Status", "string", "", 0, "Whether it is healthy."},
        {"Message", "string", "", 0, "What was found."},
        {"Error", "string", "", 0, "Why nothing could be found."}},
       component_status_cells},
      {"", "ServiceAccount", {kName, {"Secrets", "string", "", 0, "Number of secrets."}, kAge}, service_account_cells},
      {"apps",
       "ControllerRevision",
       {kName,
        {"Controller", "string", "", 0, "Whose revision it is."},
        {"Revision", "string", "", 0, "Its number."},
        kAge},
       controller_revision_cells},
      {"apps",
       "DaemonSet",
       {kName,
        {"Desired", "integer", "", 0, "Nodes that should run a pod."},
        {"Current", "integer", "", 0, "Nodes of those that have one."},
        {"Ready", "integer", "", 0, "Nodes of those whose pod is ready."},
        {"Up-to-date", "integer", "", 0, "Nodes whose pod is of the newest template."},
        {"Available", "integer", "", 0, "Nodes whose pod has been ready long enough."},
        {"Node Selector", "string", "", 0, "Labels by which nodes are chosen."},
        kAge,
        kContainers,
        kImages,
        kSelector},
       daemon_set_cells},
      {"apps",
       "Deployment",
       {kName,
        {"Ready", "string", "", 0, "Ready pods of those wanted."},
        {"Up-to-date", "string", "", 0, "Pods of the newest template."},
        {"Available", "string", "", 0, "Pods that have been ready long enough."},
        kAge,
        kContainers,
        kImages,
        kSelector},
       deployment_cells},
      {"apps",
       "ReplicaSet",
       {kName,
        {"Desired", "integer", "", 0, "Pods wanted."},
        {"Current", "integer", "", 0, "Pods there are."},
        {"Ready", "integer", "", 0, "Pods that are ready."},
        kAge,
        kContainers,
        kImages,
        kSelector},
       replica_set_cells},
      {"apps",
       "StatefulSet",
       {kName, {"Ready", "string", "", 0, "Ready pods of those wanted."}, kAge, kContainers, kImages},
       stateful_set_cells},
      {"batch",
       "CronJob",
       {kName,
        {"Schedule", "string", "", 0, "When its jobs start."},
        {"Timezone", "string", "", 0, "Zone of the schedule."},
        {"Suspend", "boolean", "", 0, "Whether no further jobs are started."},
        {"Active", "integer", "", 0, "Jobs that are running."},
        {"Last Schedule", "string", "", 0, "Time since a job was started last."},
        kAge,
        kContainers,
        kImages,
        kSelector},
       cron_job_cells},
      {"batch",
       "Job",
       {kName,
        {"Status", "string", "", 0, "Where it is in its life."},
        {"Completions", "string", "", 0, "Pods that succeeded of those wanted."},
        {"Duration", "string", "", 0, "How long it took, or takes so far."},
        kAge,
        kContainers,
        kImages,
        kSelector},
       job_cells},
      {"autoscaling",
       "HorizontalPodAutoscaler",
       {kName,
        {"Reference", "string", "", 0, "What is scaled."},
        {"Targets", "string", "", 0, "What was measured, and what it should be."},
        {"MinPods", "string", "", 0, "The fewest pods."},
        {"MaxPods", "string", "", 0, "The most pods."},
        {"Replicas", "string", "", 0, "How many pods there are."},
        kAge},
       autoscaler_cells},
      {"coordination.k8s.io", "Lease", {kName, {"Holder", "string", "", 0, "Who holds it."}, kAge}, lease_cells},
      {"discovery.k8s.io",
       "EndpointSlice",
       {kName,
        {"AddressType", "string", "", 0, "Kind of addresses."},
        {"Ports", "string", "", 0, "Ports."},
        {"Endpoints", "string", "", 0, "Addresses."},
        kAge},
       endpoint_slice_cells},
      {"events.k8s.io", "Event", kEventColumns, event_cells},
      {"metrics.k8s.io", "NodeMetrics", kMetricsColumns, metrics_cells},
      {"metrics.k8s.io", "PodMetrics", kMetricsColumns, metrics_cells},
      {"node.k8s.io",
       "RuntimeClass",
       {kName, {"Handler", "string", "", 0, "Which runtime runs its pods."}, kAge},
       runtime_class_cells},
      {"policy",
       "PodDisruptionBudget",
       {kName,
        {"Min Available", "string", "", 0, "Pods that must stay available."},
        {"Max Unavailable", "string", "", 0, "Pods that may be missing."},
        {"Allowed Disruptions", "integer", "", 0, "Evictions that are possible now."},
        kAge},
       budget_cells},
      {"scheduling.k8s.io",
       "PriorityClass",
       {kName,
        {"Value", "integer", "", 0, "Priority of its pods."},
        {"Global-Default", "boolean", "", 0, "Whether pods without a class get it."},
        kAge,
        {"PreemptionPolicy", "string", "", 0, "Whether its pods may take the place of others."}},
       priority_class_cells},
      {"storage.k8s.io",
       "StorageClass",
       {kName,
        {"Provisioner", "string", "", 0, "Who makes its volumes."},
        {"ReclaimPolicy", "string", "", 0, "What happens when a claim goes."},
        {"VolumeBindingMode", "string", "", 0, "When a claim is bound."},
        {"AllowVolumeExpansion", "string", "", 0, "Whether claims may grow."},
        kAge},
       storage_class_cells},
  };
  return kAll;
}

}  // namespace

const Printer& printer_of(const api::schema::Kind& kind) {
  static const api::schema::KindMap<const Printer*> kPrinters(
      api::schema::builtin(), [](const api::schema::Kind& one) { return api::schema::row_of(printers(), one); });
  const Printer* const* known = kPrinters.find(kind);
  const Printer* row = known != nullptr ? *known : api::schema::row_of(printers(), kind);
  return row == nullptr ? kPlain : *row;
}

}  // namespace berth::apiserver::table

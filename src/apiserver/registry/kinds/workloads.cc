// Kinds with a pod template and replicas: Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers;
// and PodTemplates. ControllerRevisions need no row. Jobs are in jobs.cc.
#include <algorithm>

#include "api/object.h"
#include "apiserver/admission/pod_security.h"
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/registry/kinds/generation.h"
#include "apiserver/registry/kinds/scale.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

// DaemonSets count changes of their template in an annotation that only the server writes.
constexpr const char* kTemplateGeneration = "deprecated.daemonset.template.generation";

std::int64_t template_generation(const Value& object) {
  Result<long> number = parse_int(api::annotation_of(object, kTemplateGeneration));
  return number.ok() ? *number : 0;
}
void set_template_generation(Value& object, std::int64_t number) {
  object.mut("metadata").mut("annotations").set(kTemplateGeneration, std::to_string(number));
}

void count_template(const Value& before, Value& after) {
  const bool changed = before["spec"]["template"] != after["spec"]["template"];
  const std::int64_t number = template_generation(before) + (changed ? 1 : 0);
  if (number != template_generation(after)) set_template_generation(after, number);
}

void prepare_daemon_set(const CreateContext&, Value& object) {
  object.set("status", Value::object({{"currentNumberScheduled", 0},
                                      {"numberMisscheduled", 0},
                                      {"desiredNumberScheduled", 0},
                                      {"numberReady", 0}}));
  set_template_generation(object, std::max<std::int64_t>(1, template_generation(object)));
}

void prepare_deployment(const CreateContext&, Value& object) { object.set("status", Value::object()); }

void prepare_replicas(const CreateContext&, Value& object) { object.set("status", Value::object({{"replicas", 0}})); }

void prepare_stateful_set(const CreateContext&, Value& object) {
  object.set("status", Value::object({{"replicas", 0}, {"availableReplicas", 0}}));
}

// A Deployment's annotations count too: its controller copies them to its ReplicaSets.
bool deployment_changes(const Value& before, const Value& after) {
  return spec_changes(before, after) || before["metadata"]["annotations"] != after["metadata"]["annotations"];
}

bool template_changes(const Value& before, const Value& after) { return before["template"] != after["template"]; }

void retain_labels(Registry::State&, const Value& before, Value& after) {
  const Value& labels = before["metadata"]["labels"];
  if (labels.is_null()) {
    after.mut("metadata").erase("labels");
  } else {
    after.mut("metadata").set("labels", labels);
  }
}

Status check_spec_template(const admission::Change& change) {
  admission::warn_of_template_security(change, change.after["spec"]["template"]);
  return ok_status();
}

Status check_template(const admission::Change& change) {
  admission::warn_of_template_security(change, change.after["template"]);
  return ok_status();
}

constexpr admission::Check kChecks[] = {check_spec_template};
constexpr admission::Check kTemplateChecks[] = {check_template};
constexpr SubresourceStrategy kScale[] = {kScaleSubresource};
constexpr std::string_view kReplicaFields[] = {"status.replicas"};

}  // namespace

std::span<const KindStrategy> workload_rows() {
  static const KindStrategy kRows[] = {{.group = "apps",
                                        .kind = "DaemonSet",
                                        .prepare_create = prepare_daemon_set,
                                        .status_takes_metadata = true,
                                        .changes_generation = spec_changes,
                                        .complete_update = count_template,
                                        .checks = kChecks},
                                       {.group = "apps",
                                        .kind = "Deployment",
                                        .prepare_create = prepare_deployment,
                                        .prepare_status = retain_labels,
                                        .status_takes_metadata = true,
                                        .changes_generation = deployment_changes,
                                        .checks = kChecks,
                                        .subresources = kScale},
                                       {.group = "apps",
                                        .kind = "ReplicaSet",
                                        .selectable_fields = kReplicaFields,
                                        .prepare_create = prepare_replicas,
                                        .status_takes_metadata = true,
                                        .changes_generation = spec_changes,
                                        .checks = kChecks,
                                        .subresources = kScale},
                                       {.group = "apps",
                                        .kind = "StatefulSet",
                                        .prepare_create = prepare_stateful_set,
                                        .status_takes_metadata = true,
                                        .changes_generation = spec_changes,
                                        .checks = kChecks,
                                        .subresources = kScale},
                                       {.group = "",
                                        .kind = "ReplicationController",
                                        .upstream_path = "controllers",
                                        .selectable_fields = kReplicaFields,
                                        .prepare_create = prepare_replicas,
                                        .status_takes_metadata = true,
                                        .changes_generation = spec_changes,
                                        .checks = kChecks,
                                        .orphans_dependents = true,
                                        .subresources = kScale},
                                       {.group = "",
                                        .kind = "PodTemplate",
                                        .changes_generation = template_changes,
                                        .checks = kTemplateChecks,
                                        .delete_answer = DeleteAnswer::kLastVersion}};
  return kRows;
}

}  // namespace berth::apiserver::registry

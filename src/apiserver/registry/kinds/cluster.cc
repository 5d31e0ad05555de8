// Namespaces, Nodes and Leases; ComponentStatuses.
#include "apiserver/admission/namespaces.h"
#include "apiserver/admission/nodes.h"
#include "apiserver/admission/pod_security.h"
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/registry/state.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {
namespace {

// --- Namespaces

void prepare_namespace(const CreateContext&, Value& object) {
  object.set("status", Value::object({{"phase", "Active"}}));
}

// The namespace controller removes the finalizer when the namespace's content is deleted.
void add_namespace_finalizer(const CreateContext&, Value& object) {
  for (const Value& finalizer : object["spec"]["finalizers"]) {
    if (finalizer.as_string() == "kubernetes") return;
  }
  object.mut("spec").mut("finalizers").push("kubernetes");
}

// Only the subresource "finalize" changes spec.finalizers.
void retain_spec_finalizers(Registry::State&, const Value& before, Value& after) {
  after.mut("spec").set("finalizers", before["spec"]["finalizers"]);
}

bool mark_namespace_deleted(Registry::State& state, Value& object, std::int64_t) {
  Value& metadata = object.mut("metadata");
  if (!metadata["deletionTimestamp"].is_null()) return false;
  metadata.set("deletionTimestamp", format_time(state.runtime.now()));
  if (metadata["generation"].as_int() > 0)
    metadata.set("generation", static_cast<long>(metadata["generation"].as_int() + 1));
  object.mut("status").set("phase", "Terminating");
  return true;
}

bool is_namespace_released(const Value& object) { return object["spec"]["finalizers"].empty(); }

// --- Nodes and leases

bool is_lease_renewal(const Value& before, const Value& after) {
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

bool is_node_heartbeat(const Value& before, const Value& after) {
  auto without_heartbeats = [](Value node) {
    node.mut("metadata").erase("managedFields");
    node.mut("metadata").erase("resourceVersion");
    if (!node["status"]["conditions"].is_array()) return node;
    Value& conditions = node.mut("status").mut("conditions");
    for (std::size_t i = 0; i < conditions.size(); ++i) conditions.mut(i).erase("lastHeartbeatTime");
    return node;
  };
  return before["status"]["conditions"] != after["status"]["conditions"] &&
         without_heartbeats(before) == without_heartbeats(after);
}

// A node with spec.unschedulable = false does not have the field.
void rewrite_unschedulable(api::FieldSelector::Requirement& requirement) {
  if (requirement.field != "spec.unschedulable" || requirement.value != "false") return;
  requirement.value = "true";
  requirement.equal = !requirement.equal;
}

constexpr std::string_view kNamespaceFields[] = {"status.phase"};
constexpr std::string_view kNodeFields[] = {"spec.unschedulable"};
constexpr admission::Check kNamespaceChecks[] = {admission::check_namespace_security};

}  // namespace

std::span<const KindStrategy> cluster_rows() {
  static const KindStrategy kRows[] = {
      {.group = "", .kind = "ComponentStatus", .deprecation = "v1 ComponentStatus is deprecated in v1.19+"},
      {.group = "",
       .kind = "Namespace",
       .selectable_fields = kNamespaceFields,
       .prepare_create = prepare_namespace,
       .complete_create = add_namespace_finalizer,
       .admit_create = admission::admit_namespace,
       .prepare_update = retain_spec_finalizers,
       .prepare_status = retain_spec_finalizers,
       .status_takes_metadata = true,
       .checks = kNamespaceChecks,
       .check_deletion = admission::check_namespace_deletion,
       .mark_deleted = mark_namespace_deleted,
       .is_released = is_namespace_released},
      {.group = "",
       .kind = "Node",
       .upstream_path = "minions",
       .is_heartbeat = is_node_heartbeat,
       .selectable_fields = kNodeFields,
       .rewrite_requirement = rewrite_unschedulable,
       .keeps_sent_status = true,
       .admit_create = admission::admit_node,
       .status_takes_metadata = true},
      {.group = "coordination.k8s.io",
       .kind = "Lease",
       .is_heartbeat = is_lease_renewal,
       .creates_on_update = true,
       .needs_version = true}};
  return kRows;
}

}  // namespace berth::apiserver::registry

// Pods: fields that the server adds to a new one, or retains in an update; their subresources. Bindings.
#include "apiserver/admission/pods.h"

#include "api/qos.h"
#include "api/status.h"
#include "apiserver/admission/limit_ranges.h"
#include "apiserver/admission/pod_resize.h"
#include "apiserver/admission/pod_security.h"
#include "apiserver/admission/runtime_class.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/kind_strategy.h"
#include "apiserver/registry/kinds/generation.h"
#include "apiserver/registry/kinds/pod_conditions.h"
#include "apiserver/registry/kinds/pod_deletion.h"
#include "apiserver/registry/kinds/pod_subresources.h"
#include "apiserver/registry/state.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {

namespace {

// Adds requirements for the pod's own values of the label keys in `field`.
void merge_label_keys(Value& owner, const char* field, const char* op, const Value& labels) {
  if (owner["labelSelector"].is_null()) return;
  const Value keys = owner[field];
  for (const Value& key : keys) {
    const Value* value = labels.find(key.as_string());
    if (value == nullptr) continue;
    owner.mut("labelSelector")
        .mut("matchExpressions")
        .push(Value::object({{"key", key}, {"operator", op}, {"values", Value::array({*value})}}));
  }
}

void merge_term_keys(Value& spec, const char* side, const Value& labels) {
  const char* const kRequired = "requiredDuringSchedulingIgnoredDuringExecution";
  const char* const kPreferred = "preferredDuringSchedulingIgnoredDuringExecution";
  auto merge = [&](Value& term) {
    merge_label_keys(term, "matchLabelKeys", "In", labels);
    merge_label_keys(term, "mismatchLabelKeys", "NotIn", labels);
  };
  for (const char* list : {kRequired, kPreferred}) {
    for (std::size_t i = 0; i < spec["affinity"][side][list].size(); ++i) {
      Value& entry = spec.mut("affinity").mut(side).mut(list).mut(i);
      merge(list == kPreferred ? entry.mut("podAffinityTerm") : entry);
    }
  }
}

// null: the text names no profile.
Value annotated_profile(std::string_view text) {
  constexpr std::string_view kLocal = "localhost/";
  if (text == "runtime/default") return Value::object({{"type", "RuntimeDefault"}});
  if (text == "unconfined") return Value::object({{"type", "Unconfined"}});
  if (!text.starts_with(kLocal)) return Value();
  return Value::object({{"type", "Localhost"}, {"localhostProfile", text.substr(kLocal.size())}});
}

// Adds the condition that names the scheduling gates, and the label keys of affinity terms and spread constraints as
// requirements of their selectors.
void complete_pod_spec(Value& pod, Time now) {
  const Value labels = pod["metadata"]["labels"];
  Value& spec = pod.mut("spec");
  if (spec["terminationGracePeriodSeconds"].as_int() < 0) spec.set("terminationGracePeriodSeconds", 1);
  for (const char* side : {"podAffinity", "podAntiAffinity"}) merge_term_keys(spec, side, labels);
  for (std::size_t i = 0; i < spec["topologySpreadConstraints"].size(); ++i) {
    if (spec["topologySpreadConstraints"][i]["matchLabelKeys"].empty()) continue;
    merge_label_keys(spec.mut("topologySpreadConstraints").mut(i), "matchLabelKeys", "In", labels);
  }
  if (spec["schedulingGates"].empty()) return;
  set_scheduled(pod, "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates", now);
}

// Copies AppArmor profiles that a new pod names in (deprecated) annotations to the fields.
void adopt_annotated_profiles(Value& pod, std::vector<std::string>& warnings) {
  const Value annotations = pod["metadata"]["annotations"];
  if (annotations.empty() || pod["spec"]["os"]["name"].as_string() == "windows") return;
  for (const char* list : {"initContainers", "containers"}) {
    for (std::size_t i = 0; i < pod["spec"][list].size(); ++i) {
      const Value& container = pod["spec"][list][i];
      const std::string key = "container.apparmor.security.beta.kubernetes.io/" + container["name"].str();
      if (!annotations.contains(key) || container["securityContext"]["appArmorProfile"].is_object()) continue;
      const Value profile = annotated_profile(annotations[key].as_string());
      if (profile.is_null() || profile == pod["spec"]["securityContext"]["appArmorProfile"]) continue;
      warnings.push_back("metadata.annotations[" + key +
                         "]: deprecated since v1.30; use the \"appArmorProfile\" field instead");
      pod.mut("spec").mut(list).mut(i).mut("securityContext").set("appArmorProfile", profile);
    }
  }
}

void prepare_pod(const CreateContext& context, Value& pod) {
  pod.set("status", Value::object({{"phase", "Pending"}, {"qosClass", api::qos_class(pod)}}));
  complete_pod_spec(pod, context.state.runtime.now());
  adopt_annotated_profiles(pod, context.warnings);
}

void prepare_pod_update(Registry::State&, const Value& before, Value& after) {
  if (after["spec"]["terminationGracePeriodSeconds"].as_int() < 0)
    after.mut("spec").set("terminationGracePeriodSeconds", 1);
  // The server computed these at creation; a client need not repeat them.
  for (const char* field : {"priority", "preemptionPolicy"}) {
    if (after["spec"][field].is_null() && !before["spec"][field].is_null())
      after.mut("spec").set(field, before["spec"][field]);
  }
}

// status.qosClass and status.observedGeneration stay where a write leaves them out.
void prepare_pod_status(Registry::State&, const Value& before, Value& after) {
  for (const char* field : {"qosClass", "observedGeneration"}) {
    const Value &old = before["status"][field], &fresh = after["status"][field];
    const bool named = field == std::string_view("qosClass") ? !fresh.as_string().empty() : fresh.as_int() != 0;
    if (!old.is_null() && !named) after.mut("status").set(field, old);
  }
}

// POST of a Binding to its own collection: the pod's subresource "binding", by the Binding's name.
void create_binding(const StatePtr& state, const Call& call, Value object, std::string_view json_text, Done done) {
  Call pod = call;
  pod.kind = &state->kind(api::resources::kPods);
  pod.name = api::name_of(object);
  pod.subresource = "binding";
  std::vector<std::string> warnings;
  Result<Value> binding = decode_subresource(state->schema, pod, std::move(object), warnings, json_text);
  if (!binding.ok()) return answer_later(*state, std::move(done), binding.error());
  bind_pod(state, pod, std::move(*binding), with_warnings(std::move(warnings), std::move(done)));
}

constexpr std::string_view kPodFields[] = {
    "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
    "status.phase",  "status.podIP",       "status.podIPs",      "status.nominatedNodeName"};
constexpr admission::Check kPodChecks[] = {admission::check_overhead, admission::check_pod_security,
                                           admission::check_pod_limits, admission::check_resize};
constexpr SubresourceStrategy kPodSubresources[] = {
    {.name = "binding", .create = bind_pod},
    {.name = "ephemeralcontainers", .merge = merge_ephemeral_containers},
    {.name = "eviction", .former_version = "policy/v1beta1", .create = evict_pod},
    {.name = "resize", .merge = merge_resize}};

}  // namespace

void set_scheduled(Value& pod, std::string_view status, std::string_view reason, std::string_view message, Time now) {
  Value& conditions = pod.mut("status").mut("conditions");
  api::set_condition(conditions, "PodScheduled", status, reason, message, now);
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (!conditions[i].contains("lastProbeTime")) conditions.mut(i).set("lastProbeTime", Value());
  }
}

std::span<const KindStrategy> pod_rows() {
  static const KindStrategy kRows[] = {{.group = "",
                                        .kind = "Pod",
                                        .selectable_fields = kPodFields,
                                        .prepare_create = prepare_pod,
                                        .admit_create = admission::admit_pod,
                                        .admit_update = admission::admit_pod_update,
                                        .prepare_update = prepare_pod_update,
                                        .prepare_status = prepare_pod_status,
                                        .status_takes_metadata = true,
                                        .changes_generation = spec_changes,
                                        .checks = kPodChecks,
                                        .delete_answer = DeleteAnswer::kMarkedVersion,
                                        .mark_deleted = mark_pod_deleted,
                                        .remove = remove_within_budgets,
                                        .subresources = kPodSubresources},
                                       {.group = "", .kind = "Binding", .create = create_binding}};
  return kRows;
}

}  // namespace berth::apiserver::registry

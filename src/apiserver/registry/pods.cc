// What only pods have: a class of service, and a binding to a node.
#include "api/plain_error.h"
#include "api/status.h"
#include "apiserver/registry/state.h"
#include "base/text.h"
#include "base/time/time.h"

namespace berth::apiserver::registry {

namespace {

// Label keys stand for the pod's own values of those labels.
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

// null: it names none.
Value annotated_profile(std::string_view text) {
  constexpr std::string_view kLocal = "localhost/";
  if (text == "runtime/default") return Value::object({{"type", "RuntimeDefault"}});
  if (text == "unconfined") return Value::object({{"type", "Unconfined"}});
  if (!text.starts_with(kLocal)) return Value();
  return Value::object({{"type", "Localhost"}, {"localhostProfile", text.substr(kLocal.size())}});
}

// Upstream has no type for these refusals but the first.
Status check_binding(const Call& call, const Value& binding) {
  if (std::string_view name = api::name_of(binding); !name.empty() && name != call.name) {
    return error(Code::kBadRequest, "name in URL does not match name in Binding object");
  }
  const Value& target = binding["target"];
  if (std::string_view kind = target["kind"].as_string(); !kind.empty() && kind != "Node") {
    return api::plain_error("target.kind: Unsupported value: " + quoted(kind) +
                            ": supported values: \"Node\", \"<empty>\"");
  }
  if (target["name"].as_string().empty()) return api::plain_error("target.name: Required value");
  return ok_status();
}

void set_scheduled(Value& pod, std::string_view status, std::string_view reason, std::string_view message, Time now) {
  Value& conditions = pod.mut("status").mut("conditions");
  api::set_condition(conditions, "PodScheduled", status, reason, message, now);
  for (std::size_t i = 0; i < conditions.size(); ++i) {
    if (!conditions[i].contains("lastProbeTime")) conditions.mut(i).set("lastProbeTime", Value());
  }
}

}  // namespace

void prepare_pod(Value& pod, Time now) {
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

void bind_pod(const std::shared_ptr<Registry::State>& state, const Call& call, const Value& binding, Done done) {
  auto refuse = [&](Error e) { answer_later(*state, std::move(done), std::move(e)); };
  if (Status valid = check_binding(call, binding); !valid.ok()) return refuse(valid.error());
  std::string node = binding["target"]["name"].str();
  store::RecordPtr head = state->find(api::resources::kPods, call.ns, call.name);
  if (!head) return refuse(api::not_found(api::resources::kPods, call.name));
  const Value& before = head->value;
  if (std::string_view uid = binding["metadata"]["uid"].as_string(); !uid.empty() && uid != api::uid_of(before)) {
    return refuse(api::conflict({"", "v1", "pods/binding"}, call.name,
                                "Precondition failed: UID in precondition: " + std::string(uid) +
                                    ", UID in object meta: " + std::string(api::uid_of(before))));
  }
  if (api::is_terminating(before)) {
    return refuse(api::conflict({"", "v1", "pods/binding"}, call.name,
                                "pod " + call.name + " is being deleted, cannot be assigned to a host"));
  }
  if (!before["spec"]["schedulingGates"].empty()) {
    return refuse(api::conflict({"", "v1", "pods/binding"}, call.name,
                                "pod " + call.name + " has non-empty .spec.schedulingGates"));
  }
  if (std::string_view present = before["spec"]["nodeName"].as_string(); !present.empty()) {
    return refuse(api::conflict({"", "v1", "pods/binding"}, call.name,
                                "pod " + call.name + " is already assigned to node \"" + std::string(present) + "\""));
  }
  Value after = before;
  after.mut("spec").set("nodeName", node);
  const Value annotations = binding["metadata"]["annotations"];
  for (auto [key, value] : annotations.entries()) after.mut("metadata").mut("annotations").set(key, value);
  set_scheduled(after, "True", "", "", state->runtime.now());
  after.mut("status").erase("nominatedNodeName");
  Commit commit{call, head->key, head->mod_revision, 201, {}};
  commit_put(state, std::move(commit), std::move(after), false, [done = std::move(done)](Result<Answer> answer) {
    if (!answer.ok()) return done(answer.error());
    Answer success;
    success.http = 201;
    success.object = Value::object({{"kind", "Status"},
                                    {"apiVersion", "v1"},
                                    {"metadata", Value::object()},
                                    {"status", "Success"},
                                    {"code", 201}});
    done(std::move(success));
  });
}

}  // namespace berth::apiserver::registry

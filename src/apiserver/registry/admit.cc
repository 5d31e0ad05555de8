// Admission: what the cluster adds to new objects, and what it refuses whatever their content.
#include "api/qos.h"
#include "api/quantity.h"
#include "api/status.h"
#include "apiserver/registry/state.h"
#include "apiserver/validation/validation.h"
#include "base/ids.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

constexpr const char* kTokenPath = "/var/run/secrets/kubernetes.io/serviceaccount";

Status admit_into_namespace(Registry::State& state, const Call& call, const api::schema::Kind& kind) {
  if (!kind.namespaced) return ok_status();
  const api::schema::Kind& namespaces = state.kind(api::resources::kNamespaces);
  store::RecordPtr ns = state.store.head(store_key(namespaces, "", call.ns));
  if (!ns) return api::not_found(api::resources::kNamespaces, call.ns);
  // Events may still be told of what goes on in a namespace that is going.
  bool terminating = ns->value["status"]["phase"].as_string() == "Terminating" || api::is_terminating(ns->value);
  if (!terminating || kind.kind == "Event") return ok_status();
  Error e = api::forbidden(kind.resource(), call.name,
                           "unable to create new content in namespace " + call.ns + " because it is being terminated");
  auto details = std::make_shared<ErrorDetails>(e.details ? *e.details : ErrorDetails{});
  details->causes.push_back(
      {"NamespaceTerminating", "namespace " + call.ns + " is being terminated", "metadata.namespace"});
  e.details = details;
  return e;
}

// Of pods whose tolerations say nothing of nodes that do not answer.
void add_default_tolerations(Value& spec) {
  for (const char* key : {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}) {
    bool tolerated = false;
    for (const Value& toleration : spec["tolerations"]) {
      bool any_key = toleration["key"].as_string().empty() && toleration["operator"].as_string() == "Exists";
      bool this_key = toleration["key"].as_string() == key;
      std::string_view effect = toleration["effect"].as_string();
      tolerated = tolerated || ((any_key || this_key) && (effect.empty() || effect == "NoExecute"));
    }
    if (tolerated) continue;
    spec.mut("tolerations")
        .push(
            Value::object({{"key", key}, {"operator", "Exists"}, {"effect", "NoExecute"}, {"tolerationSeconds", 300}}));
  }
}

Value token_volume(const std::string& name) {
  Value token =
      Value::object({{"serviceAccountToken", Value::object({{"expirationSeconds", 3607}, {"path", "token"}})}});
  Value ca = Value::object(
      {{"configMap",
        Value::object({{"name", "kube-root-ca.crt"},
                       {"items", Value::array({Value::object({{"key", "ca.crt"}, {"path", "ca.crt"}})})}})}});
  Value field = Value::object({{"apiVersion", "v1"}, {"fieldPath", "metadata.namespace"}});
  Value ns = Value::object(
      {{"downwardAPI",
        Value::object({{"items", Value::array({Value::object({{"path", "namespace"}, {"fieldRef", field}})})}})}});
  return Value::object(
      {{"name", name},
       {"projected", Value::object({{"defaultMode", 420}, {"sources", Value::array({token, ca, ns})}})}});
}

// Every container that has nothing of its own there gets its service account's token.
void mount_token(Registry::State& state, Value& spec) {
  auto wants = [](const Value& container) {
    for (const Value& mount : container["volumeMounts"]) {
      if (mount["mountPath"].as_string() == kTokenPath) return false;
    }
    return true;
  };
  std::string name = "kube-api-access-" + random_suffix(state.runtime, 5);
  bool used = false;
  for (const char* list : {"initContainers", "containers"}) {
    for (std::size_t i = 0; i < spec[list].size(); ++i) {
      if (!wants(spec[list][i])) continue;
      used = true;
      spec.mut(list)
          .mut(i)
          .mut("volumeMounts")
          .push(Value::object({{"name", name}, {"readOnly", true}, {"mountPath", kTokenPath}}));
    }
  }
  if (used) spec.mut("volumes").push(token_volume(name));
}

Status admit_pod(Registry::State& state, const Call& call, Value& pod) {
  Value& spec = pod.mut("spec");
  if (spec["serviceAccountName"].as_string().empty()) spec.set("serviceAccountName", "default");
  std::string account_name = spec["serviceAccountName"].str();
  spec.set("serviceAccount", account_name);
  store::RecordPtr account = state.find(api::resources::kServiceAccounts, call.ns, account_name);
  if (const std::vector<std::string> problems = validation::is_path_segment(account_name);
      !account && !problems.empty()) {
    return api::forbidden(api::resources::kPods, api::name_of(pod),
                          "error looking up service account " + call.ns + "/" + account_name +
                              ": invalid resource name " + quoted(account_name) + ": [" + join(problems, " ") + "]");
  }
  if (!account && account_name != "default") {
    return api::forbidden(api::resources::kPods, api::name_of(pod),
                          "error looking up service account " + call.ns + "/" + account_name + ": serviceaccount \"" +
                              account_name + "\" not found");
  }
  bool automount = account ? account->value["automountServiceAccountToken"].as_bool(true) : true;
  automount = spec["automountServiceAccountToken"].as_bool(automount);
  if (automount) mount_token(state, spec);
  if (account && spec["imagePullSecrets"].empty() && !account->value["imagePullSecrets"].empty()) {
    spec.set("imagePullSecrets", account->value["imagePullSecrets"]);
  }
  apply_limit_defaults(state, call.ns, pod);
  add_default_tolerations(spec);
  BERTH_TRY(admit_priority(state, pod));
  return admit_runtime_class(state, pod);
}

void add_finalizer(Value& object, std::string_view finalizer) {
  for (const Value& present : object["metadata"]["finalizers"]) {
    if (present.as_string() == finalizer) return;
  }
  object.mut("metadata").mut("finalizers").push(finalizer);
}

void admit_claim(Registry::State& state, Value& claim) {
  add_finalizer(claim, "kubernetes.io/pvc-protection");
  if (!claim["spec"]["storageClassName"].is_null()) return;
  if (!claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].is_null()) return;
  // The default class; of several, the newest.
  const api::schema::Kind& classes = state.kind(api::resources::kStorageClasses);
  std::string chosen, created;
  for (const store::RecordPtr& record : state.store.list(store_key(classes, "", "")).records) {
    const Value& annotations = record->value["metadata"]["annotations"];
    if (annotations["storageclass.kubernetes.io/is-default-class"].as_string() != "true") continue;
    std::string when = record->value["metadata"]["creationTimestamp"].str();
    if (chosen.empty() || when > created) {
      chosen = api::name_of(record->value);
      created = when;
    }
  }
  if (!chosen.empty()) claim.mut("spec").set("storageClassName", chosen);
}

// Nothing is placed on a new node before the controller of taints has seen that it is ready.
void admit_node(Value& node) {
  constexpr const char* kNotReady = "node.kubernetes.io/not-ready";
  for (const Value& taint : node["spec"]["taints"]) {
    if (taint["key"].as_string() == kNotReady && taint["effect"].as_string() == "NoSchedule") return;
  }
  node.mut("spec").mut("taints").push(Value::object({{"key", kNotReady}, {"effect", "NoSchedule"}}));
}

}  // namespace

void admit_update(const api::schema::Kind& kind, const Call& call, Value& after) {
  if (kind.group.empty() && kind.kind == "Pod" && call.subresource.empty()) add_default_tolerations(after.mut("spec"));
}

Status check_growth(const Registry::State& state, const Call& call, const Value& before, const Value& after) {
  if (!call.kind->group.empty() || call.kind->kind != "PersistentVolumeClaim" || !call.subresource.empty())
    return ok_status();
  const auto size_of = [](const Value& claim) {
    return api::Quantity::parse(claim["spec"]["resources"]["requests"]["storage"].as_string());
  };
  const Result<api::Quantity> old_size = size_of(before), size = size_of(after);
  if (!old_size.ok() || !size.ok() || *size <= *old_size) return ok_status();
  auto refuse = [&](std::string_view why) {
    return api::forbidden(api::resources::kPersistentVolumeClaims, api::name_of(after), why);
  };
  if (before["status"]["phase"].as_string() != "Bound")
    return refuse("Only bound persistent volume claims can be expanded");
  const auto class_of = [](const Value& claim) {
    const Value& annotated = claim["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"];
    return annotated.is_null() ? claim["spec"]["storageClassName"].str() : annotated.str();
  };
  const std::string name = class_of(after);
  const store::RecordPtr found =
      name.empty() || name != class_of(before) ? nullptr : state.find(api::resources::kStorageClasses, "", name);
  if (found && found->value["allowVolumeExpansion"].as_bool()) return ok_status();
  return refuse(
      "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize");
}

Status admit_create(Registry::State& state, const Call& call, const api::schema::Kind& kind, Value& object) {
  BERTH_TRY(admit_into_namespace(state, call, kind));
  if (kind.group == "scheduling.k8s.io" && kind.kind == "PriorityClass") return admit_priority_class(state, object);
  if (!kind.group.empty()) return ok_status();
  if (kind.kind == "Pod") {
    BERTH_TRY(admit_pod(state, call, object));
    api::schema::apply_defaults(kind, object);
    object.mut("status").set("qosClass", api::qos_class(object));
  } else if (kind.kind == "PersistentVolumeClaim") {
    admit_claim(state, object);
  } else if (kind.kind == "PersistentVolume") {
    add_finalizer(object, "kubernetes.io/pv-protection");
  } else if (kind.kind == "Node") {
    admit_node(object);
  } else if (kind.kind == "Namespace") {
    object.mut("metadata").mut("labels").set("kubernetes.io/metadata.name", api::name_of(object));
  }
  return ok_status();
}

}  // namespace berth::apiserver::registry

#include "apiserver/admission/pods.h"

#include "api/qos.h"
#include "api/status.h"
#include "apiserver/admission/limit_ranges.h"
#include "apiserver/admission/priority.h"
#include "apiserver/admission/runtime_class.h"
#include "apiserver/validation/validation.h"
#include "base/ids.h"
#include "base/text.h"

namespace berth::apiserver::admission {
namespace {

constexpr const char* kTokenPath = "/var/run/secrets/kubernetes.io/serviceaccount";

// Tolerations for nodes that are not ready or unreachable, where the pod has none.
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

// Mounts the service account's token in every container that mounts nothing at that path.
void mount_token(Runtime& runtime, Value& spec) {
  auto needs_token = [](const Value& container) {
    for (const Value& mount : container["volumeMounts"]) {
      if (mount["mountPath"].as_string() == kTokenPath) return false;
    }
    return true;
  };
  std::string name = "kube-api-access-" + random_suffix(runtime, 5);
  bool used = false;
  for (const char* list : {"initContainers", "containers"}) {
    for (std::size_t i = 0; i < spec[list].size(); ++i) {
      if (!needs_token(spec[list][i])) continue;
      used = true;
      spec.mut(list)
          .mut(i)
          .mut("volumeMounts")
          .push(Value::object({{"name", name}, {"readOnly", true}, {"mountPath", kTokenPath}}));
    }
  }
  if (used) spec.mut("volumes").push(token_volume(name));
}

}  // namespace

Status admit_pod(const Request& request, Value& pod) {
  Value& spec = pod.mut("spec");
  if (spec["serviceAccountName"].as_string().empty()) spec.set("serviceAccountName", "default");
  const std::string account_name = spec["serviceAccountName"].str(), ns(request.ns);
  spec.set("serviceAccount", account_name);
  store::RecordPtr account = request.objects.find(api::resources::kServiceAccounts, ns, account_name);
  if (const std::vector<std::string> problems = validation::is_path_segment(account_name);
      !account && !problems.empty()) {
    return api::forbidden(api::resources::kPods, api::name_of(pod),
                          "error looking up service account " + ns + "/" + account_name + ": invalid resource name " +
                              quoted(account_name) + ": [" + join(problems, " ") + "]");
  }
  if (!account && account_name != "default") {
    return api::forbidden(api::resources::kPods, api::name_of(pod),
                          "error looking up service account " + ns + "/" + account_name + ": serviceaccount \"" +
                              account_name + "\" not found");
  }
  bool automount = account ? account->value["automountServiceAccountToken"].as_bool(true) : true;
  automount = spec["automountServiceAccountToken"].as_bool(automount);
  if (automount) mount_token(request.runtime, spec);
  if (account && spec["imagePullSecrets"].empty() && !account->value["imagePullSecrets"].empty()) {
    spec.set("imagePullSecrets", account->value["imagePullSecrets"]);
  }
  apply_limit_defaults(request, pod);
  add_default_tolerations(spec);
  BERTH_TRY(admit_priority(request, pod));
  BERTH_TRY(admit_runtime_class(request, pod));
  api::schema::apply_defaults(request.kind, pod);
  pod.mut("status").set("qosClass", api::qos_class(pod));
  return ok_status();
}

Status admit_pod_update(const Request& request, Value& pod) {
  if (request.subresource.empty()) add_default_tolerations(pod.mut("spec"));
  return ok_status();
}

}  // namespace berth::apiserver::admission

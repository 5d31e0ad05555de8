#include "apiserver/registry/bootstrap.h"

#include "apiserver/registry/commit.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/event_expiry.h"
#include "apiserver/registry/state.h"
#include "apiserver/registry/write.h"
#include "base/log.h"

namespace berth::apiserver::registry {
namespace {

Value plain(const char* api_version, const char* kind, const char* name) {
  return Value::object({{"apiVersion", api_version}, {"kind", kind}, {"metadata", Value::object({{"name", name}})}});
}

Value kubernetes_service(const std::string& ip) {
  Value service = plain("v1", "Service", "kubernetes");
  service.mut("metadata")
      .set("namespace", "default")
      .set("labels", Value::object({{"component", "apiserver"}, {"provider", "kubernetes"}}));
  Value port = Value::object({{"name", "https"}, {"port", 443}, {"protocol", "TCP"}, {"targetPort", 443}});
  service.set(
      "spec",
      Value::object(
          {{"type", "ClusterIP"}, {"clusterIP", ip}, {"ports", Value::array({port})}, {"sessionAffinity", "None"}}));
  return service;
}

Value standard_class() {
  Value storage = plain("storage.k8s.io/v1", "StorageClass", "standard");
  storage.mut("metadata").set("annotations", Value::object({{"storageclass.kubernetes.io/is-default-class", "true"}}));
  return storage.set("provisioner", "berth.dev/local")
      .set("volumeBindingMode", "WaitForFirstConsumer")
      .set("allowVolumeExpansion", true)
      .set("reclaimPolicy", "Delete");
}

Value system_priority(const char* name, std::int64_t value, const char* description) {
  Value object = plain("scheduling.k8s.io/v1", "PriorityClass", name);
  return object.set("value", value).set("description", description);
}

// The server's own creates.
void create_own(const StatePtr& state, const api::Resource& resource, const Value& object, Done done) {
  Call call;
  call.user = {"system:apiserver", {"system:masters"}};
  call.kind = &state->kind(resource);
  call.ns = api::namespace_of(object);
  call.field_manager = "berth-server";
  std::vector<std::string> warnings;
  Result<Value> decoded = decode_object(call, object, warnings);
  if (!decoded.ok()) return answer_later(*state, std::move(done), decoded.error());
  create_object(state, call, std::move(*decoded), std::move(warnings), true, std::move(done));
}

void log_failure(std::string_view name, const Result<Answer>& answer) {
  if (answer.ok() || answer.failed_with(Code::kAlreadyExists)) return;
  log_error("registry", "cannot create a built-in object",
            {{"name", std::string(name)}, {"error", answer.error().message}});
}

}  // namespace

void restore_kubernetes_service(const StatePtr& state, const Value& deleted) {
  if (api::name_of(deleted) != "kubernetes" || api::namespace_of(deleted) != "default") return;
  state->runtime.post([state, alive = state->lifetime.guard()] {
    if (!alive) return;
    create_own(state, api::resources::kServices, kubernetes_service(state->addresses.address(1)),
               [](const Result<Answer>& answer) { log_failure("kubernetes", answer); });
  });
}

void Registry::bootstrap(Task done) {
  auto state = state_;
  const api::schema::Kind& services = state->kind(api::resources::kServices);
  for (const store::RecordPtr& record : state->store.list(store_key(services, "", "")).records)
    state->addresses.record(record->value);

  std::vector<std::pair<api::Resource, Value>> first, then;
  for (const char* name : {"default", "kube-system", "kube-public", "kube-node-lease"})
    first.emplace_back(api::resources::kNamespaces, plain("v1", "Namespace", name));
  then.emplace_back(api::resources::kServices, kubernetes_service(state->addresses.address(1)));
  then.emplace_back(api::resources::kStorageClasses, standard_class());
  then.emplace_back(
      api::resources::kPriorityClasses,
      system_priority("system-node-critical", 2000001000, "For pods of the system that have to stay on their node."));
  then.emplace_back(api::resources::kPriorityClasses,
                    system_priority("system-cluster-critical", 2000000000,
                                    "For pods of the system that have to run, on whatever node."));

  auto make_all = [state](const std::vector<std::pair<api::Resource, Value>>& objects, Task next) {
    auto waiting = std::make_shared<std::size_t>(objects.size());
    auto after = std::make_shared<Task>(std::move(next));
    for (const auto& [resource, object] : objects) {
      create_own(state, resource, object,
                 [waiting, after, name = std::string(api::name_of(object))](const Result<Answer>& answer) {
                   log_failure(name, answer);
                   if (--*waiting == 0) (*after)();
                 });
    }
  };
  auto finish = std::make_shared<Task>(std::move(done));
  make_all(first, [make_all, then, state, finish] {
    make_all(then, [state, finish] {
      schedule_event_expiry(state);
      (*finish)();
    });
  });
}

}  // namespace berth::apiserver::registry

#include "apiserver/admission/namespaces.h"

#include "api/status.h"

namespace berth::apiserver::admission {

Status check_namespace(const Request& request, bool while_terminating) {
  if (!request.kind.namespaced) return ok_status();
  const std::string name(request.ns);
  store::RecordPtr ns = request.objects.find(api::resources::kNamespaces, "", name);
  if (!ns) return api::not_found(api::resources::kNamespaces, name);
  bool terminating = ns->value["status"]["phase"].as_string() == "Terminating" || api::is_terminating(ns->value);
  if (!terminating || while_terminating) return ok_status();
  Error e = api::forbidden(request.kind.resource(), request.name,
                           "unable to create new content in namespace " + name + " because it is being terminated");
  auto details = std::make_shared<ErrorDetails>(e.details ? *e.details : ErrorDetails{});
  details->causes.push_back(
      {"NamespaceTerminating", "namespace " + name + " is being terminated", "metadata.namespace"});
  e.details = details;
  return e;
}

Status admit_namespace(const Request&, Value& object) {
  object.mut("metadata").mut("labels").set("kubernetes.io/metadata.name", api::name_of(object));
  return ok_status();
}

Status check_namespace_deletion(const Request& request) {
  const std::string_view name = request.name;
  if (name != "default" && name != "kube-system" && name != "kube-public") return ok_status();
  return api::forbidden(api::resources::kNamespaces, name, "this namespace may not be deleted");
}

}  // namespace berth::apiserver::admission

// Authorization: a coarse rule for users, and a fixed list for nodes.
#include <algorithm>
#include <array>

#include "api/resources.h"
#include "api/selector.h"
#include "apiserver/rest/identity.h"
#include "base/text.h"

namespace berth::apiserver::rest {
namespace {

using registry::User;

struct Rule {
  std::string_view group, resource;  // "pods/status": of a subresource
  std::string_view verbs;            // with a space between
};

// What upstream's ClusterRole system:node lets every node do, of the kinds served here. Which objects is checked below.
constexpr std::array kNodeRules = {
    Rule{"authentication.k8s.io", "tokenreviews", "create"},
    Rule{"authorization.k8s.io", "localsubjectaccessreviews", "create"},
    Rule{"authorization.k8s.io", "subjectaccessreviews", "create"},
    Rule{"", "services", "get list watch"},
    Rule{"", "nodes", "create get list watch patch update"},
    Rule{"", "nodes/status", "patch update"},
    Rule{"", "events", "create patch update"},
    Rule{"events.k8s.io", "events", "create patch update"},
    Rule{"", "pods", "get list watch delete"},
    Rule{"", "pods/status", "patch update"},
    Rule{"", "pods/eviction", "create"},
    Rule{"", "configmaps", "get list watch"},
    Rule{"", "secrets", "get list watch"},
    Rule{"", "persistentvolumeclaims", "get"},
    Rule{"", "persistentvolumeclaims/status", "get patch update"},
    Rule{"", "persistentvolumes", "get"},
    Rule{"", "endpoints", "get"},
    Rule{"", "serviceaccounts", "get"},
    Rule{"", "serviceaccounts/token", "create"},
    Rule{"coordination.k8s.io", "leases", "create delete get patch update"},
    Rule{"node.k8s.io", "runtimeclasses", "get list watch"},
    Rule{"storage.k8s.io", "csidrivers", "get list watch"},
};

bool has_rule(std::string_view verb, const Route& route) {
  const std::string resource = route.resource + (route.subresource.empty() ? "" : "/" + route.subresource);
  for (const Rule& rule : kNodeRules) {
    if (rule.group != route.group || rule.resource != resource) continue;
    const std::vector<std::string_view> verbs = split(rule.verbs, ' ');
    return std::find(verbs.begin(), verbs.end(), verb) != verbs.end();
  }
  return false;
}

bool is_anyones(const Route& route) {
  for (std::string_view resource : {"services", "events", "tokenreviews", "localsubjectaccessreviews",
                                    "subjectaccessreviews", "endpoints", "runtimeclasses", "csidrivers"}) {
    if (route.resource == resource) return true;
  }
  return false;
}

bool in_volume(const Value& volume, std::string_view kind, std::string_view name) {
  if (kind == "secrets") {
    if (volume["secret"]["secretName"].as_string() == name) return true;
    for (const Value& source : volume["projected"]["sources"]) {
      if (source["secret"]["name"].as_string() == name) return true;
    }
    return volume["csi"]["nodePublishSecretRef"]["name"].as_string() == name;
  }
  if (kind == "configmaps") {
    if (volume["configMap"]["name"].as_string() == name) return true;
    for (const Value& source : volume["projected"]["sources"]) {
      if (source["configMap"]["name"].as_string() == name) return true;
    }
    return false;
  }
  return volume["persistentVolumeClaim"]["claimName"].as_string() == name;
}

bool in_environment(const Value& container, std::string_view kind, std::string_view name) {
  const bool secret = kind == "secrets";
  for (const Value& source : container["envFrom"]) {
    if (source[secret ? "secretRef" : "configMapRef"]["name"].as_string() == name) return true;
  }
  for (const Value& variable : container["env"]) {
    if (variable["valueFrom"][secret ? "secretKeyRef" : "configMapKeyRef"]["name"].as_string() == name) return true;
  }
  return false;
}

// Whether the pod needs that object of its namespace.
bool refers(const Value& pod, std::string_view kind, std::string_view name) {
  const Value& spec = pod["spec"];
  if (kind == "serviceaccounts") return spec["serviceAccountName"].as_string() == name;
  for (const Value& volume : spec["volumes"]) {
    if (in_volume(volume, kind, name)) return true;
    // Claims of ephemeral volumes are named after pod and volume.
    if (kind == "persistentvolumeclaims" && volume["ephemeral"].is_object() &&
        name == std::string(api::name_of(pod)) + "-" + volume["name"].str()) {
      return true;
    }
  }
  if (kind != "secrets" && kind != "configmaps") return false;
  for (const Value& reference : spec["imagePullSecrets"]) {
    if (kind == "secrets" && reference["name"].as_string() == name) return true;
  }
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
    for (const Value& container : spec[list]) {
      if (in_environment(container, kind, name)) return true;
    }
  }
  return false;
}

class NodeRules {
 public:
  NodeRules(registry::Registry& registry, std::string_view node) : registry_(registry), node_(node) {}

  Decision decide(std::string_view verb, const Route& route, std::string_view fields) {
    if (!has_rule(verb, route)) return {};
    if (is_anyones(route)) return {true, {}};
    const bool reads = verb == "get" || verb == "list" || verb == "watch";
    if (route.resource == "nodes") return reads || route.name == node_ ? Decision{true, {}} : by_body(verb, route);
    if (route.resource == "leases") {
      if (route.ns != "kube-node-lease") return {};
      if (verb == "create" || route.name == node_) return {true, {}};
      return {false, "can only access node lease with the same name as the requesting node"};
    }
    if (route.resource == "pods") return decide_pods(route, fields);
    if (route.resource == "persistentvolumes") return related(holds_volume(route.name));
    if (route.name.empty()) return {false, "No Object name found"};
    return related(any_pod(route.ns, [&](const Value& pod) { return refers(pod, route.resource, route.name); }));
  }

 private:
  // A node makes itself; admission of other names is the name in the object, which is not known here.
  static Decision by_body(std::string_view verb, const Route& route) {
    return {verb == "create" && route.name.empty(), {}};
  }

  Decision decide_pods(const Route& route, std::string_view fields) {
    if (route.name.empty()) {
      Result<api::FieldSelector> selector = api::FieldSelector::parse(fields);
      if (selector.ok()) {
        for (const auto& requirement : selector->requirements()) {
          if (requirement.field == "spec.nodeName" && requirement.equal && requirement.value == node_)
            return {true, {}};
        }
      }
      return {false, "can only list/watch pods with spec.nodeName field selector"};
    }
    const api::schema::Kind& kind = *registry_.schema().find(api::resources::kPods);
    store::RecordPtr pod = registry_.store().get(registry::store_key(kind, route.ns, route.name));
    return related(pod && pod->value["spec"]["nodeName"].as_string() == node_);
  }

  Decision related(bool yes) const {
    if (yes) return {true, {}};
    return {false, "no relationship found between node '" + node_ + "' and this object"};
  }

  template <class Wanted>
  bool any_pod(std::string_view ns, Wanted wanted) {
    const api::schema::Kind& kind = *registry_.schema().find(api::resources::kPods);
    for (const store::RecordPtr& record : registry_.store().list(registry::store_key(kind, ns, "")).records) {
      if (record->value["spec"]["nodeName"].as_string() == node_ && wanted(record->value)) return true;
    }
    return false;
  }

  bool holds_volume(const std::string& volume) {
    const api::schema::Kind& kind = *registry_.schema().find(api::resources::kPersistentVolumes);
    store::RecordPtr record = registry_.store().get(registry::store_key(kind, "", volume));
    if (!record) return false;
    const Value& claim = record->value["spec"]["claimRef"];
    return any_pod(claim["namespace"].as_string(),
                   [&](const Value& pod) { return refers(pod, "persistentvolumeclaims", claim["name"].as_string()); });
  }

  registry::Registry& registry_;
  std::string node_;
};

bool is_one_of(std::string_view path, std::initializer_list<std::string_view> paths) {
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

// system:public-info-viewer, system:discovery and system:service-account-issuer-discovery.
bool may_read_path(const User& user, std::string_view path) {
  if (is_one_of(path, {"/healthz", "/livez", "/readyz", "/version", "/version/"})) return true;
  if (!user.in_group("system:authenticated")) return false;
  if (is_one_of(path, {"/api", "/apis", "/openapi"})) return true;
  if (path.starts_with("/api/") || path.starts_with("/apis/") || path.starts_with("/openapi/")) return true;
  return user.in_group("system:serviceaccounts") &&
         is_one_of(path, {"/.well-known/openid-configuration", "/.well-known/openid-configuration/", "/openid/v1/jwks",
                          "/openid/v1/jwks/"});
}

}  // namespace

Decision decide(registry::Registry& registry, const User& user, std::string_view verb, const Route& route,
                std::string_view fields) {
  if (user.in_group("system:masters")) return {true, {}};
  if (!route.is_resource) return {verb == "get" && may_read_path(user, route.rest), {}};
  if (!user.in_group("system:authenticated")) return {};
  // Every authenticated user may review its own access.
  if (verb == "create" &&
      is_one_of(route.resource, {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})) {
    return {true, {}};
  }
  constexpr std::string_view kNode = "system:node:";
  if (user.in_group("system:nodes") && user.name.starts_with(kNode) && user.name.size() > kNode.size()) {
    return NodeRules(registry, std::string_view(user.name).substr(kNode.size())).decide(verb, route, fields);
  }
  return {};
}

Error forbidden_request(const User& user, std::string_view verb, const Route& route, std::string_view path,
                        std::string_view reason) {
  const std::string who = "User " + quoted(user.name) + " cannot " + std::string(verb);
  const std::string why = reason.empty() ? "" : ": " + std::string(reason);
  auto details = std::make_shared<ErrorDetails>();
  if (!route.is_resource) return Error{Code::kForbidden, "forbidden: " + who + " path " + quoted(path) + why, details};
  const std::string resource = route.resource + (route.subresource.empty() ? "" : "/" + route.subresource);
  Error e = error(Code::kForbidden,
                  route.resource + (route.group.empty() ? "" : "." + route.group) +
                      (route.name.empty() ? "" : " " + quoted(route.name)) + " is forbidden: " + who + " resource " +
                      quoted(resource) + " in API group " + quoted(route.group) +
                      (route.ns.empty() ? " at the cluster scope" : " in the namespace " + quoted(route.ns)) + why);
  details->name = route.name;
  details->group = route.group;
  details->kind = route.resource;
  e.details = details;
  return e;
}

}  // namespace berth::apiserver::rest

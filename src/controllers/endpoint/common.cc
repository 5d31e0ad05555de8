#include "controllers/endpoint/common.h"

#include "api/containers.h"
#include "api/object.h"
#include "controllers/endpoint/plan.h"

namespace berth::controllers::endpoint {

bool has_endpoints(const Value& service) {
  return !service.is_null() && !service["spec"]["selector"].empty() &&
         service["spec"]["type"].as_string() != "ExternalName";
}

bool pod_affects_endpoints(const Value& before, const Value& after) {
  if (before.is_null() || after.is_null()) return true;
  for (const char* field : {"podIP", "podIPs"}) {
    if (before["status"][field] != after["status"][field]) return true;
  }
  for (const char* field : {"nodeName", "hostname", "subdomain"}) {
    if (before["spec"][field] != after["spec"][field]) return true;
  }
  return api::is_pod_ready(before) != api::is_pod_ready(after) ||
         api::is_pod_terminal(before) != api::is_pod_terminal(after) ||
         api::is_terminating(before) != api::is_terminating(after) || api::labels_of(before) != api::labels_of(after);
}

std::int64_t target_port(const Value& pod, const Value& service_port) {
  const Value& target = service_port["targetPort"];
  if (target.is_null()) return service_port["port"].as_int();
  if (target.is_int()) return target.as_int() == 0 ? service_port["port"].as_int() : target.as_int();
  const std::string_view protocol = service_port["protocol"].as_string("TCP");
  for (const char* list : {"containers", "initContainers"}) {
    for (const Value& container : pod["spec"][list]) {
      // Of the init containers only sidecars keep running.
      if (list == std::string_view("initContainers") && !api::is_sidecar(container)) continue;
      for (const Value& port : container["ports"]) {
        if (port["name"] == target && port["protocol"].as_string("TCP") == protocol)
          return port["containerPort"].as_int();
      }
    }
  }
  return 0;
}

bool is_headless(const Value& service) { return service["spec"]["clusterIP"].as_string() == "None"; }

Value ports_for(const Value& service, const Value& pod) {
  Value out = Value::array();
  for (const Value& port : service["spec"]["ports"]) {
    const std::int64_t number = target_port(pod, port);
    if (number == 0) continue;
    Value endpoint_port = Value::object(
        {{"name", port["name"].as_string()}, {"port", number}, {"protocol", port["protocol"].as_string("TCP")}});
    if (!port["appProtocol"].is_null()) endpoint_port.set("appProtocol", port["appProtocol"]);
    out.push(std::move(endpoint_port));
  }
  return out;
}

bool is_endpoint(const Value& pod, bool leaving_too) {
  if (api::is_pod_terminal(pod)) return false;
  if (!leaving_too && api::is_terminating(pod)) return false;
  return !pod["status"]["podIP"].as_string().empty() || !pod["status"]["podIPs"].empty();
}

std::string address_of(const Value& pod, bool ipv6) {
  for (const Value& entry : pod["status"]["podIPs"]) {
    const std::string_view ip = entry["ip"].as_string();
    if ((ip.find(':') != std::string_view::npos) == ipv6) return std::string(ip);
  }
  const std::string_view ip = pod["status"]["podIP"].as_string();
  return !ip.empty() && (ip.find(':') != std::string_view::npos) == ipv6 ? std::string(ip) : std::string();
}

std::string_view hostname_in(const Value& service, const Value& pod) {
  if (pod["spec"]["subdomain"].as_string() != api::name_of(service)) return {};
  return pod["spec"]["hostname"].as_string();
}

Value reference_to(const Value& pod) {
  return Value::object(
      {{"kind", "Pod"}, {"namespace", api::namespace_of(pod)}, {"name", api::name_of(pod)}, {"uid", api::uid_of(pod)}});
}

}  // namespace berth::controllers::endpoint

#include <set>

#include "api/validation/report.h"
#include "api/validation/validation.h"
#include "base/text.h"

namespace berth::validation {
namespace {

std::string go_port(const Value& port) {
  const Value& target = port["targetPort"];
  return "core.ServicePort{Name:\"\", Protocol:" + quoted(port["protocol"].as_string()) +
         ", AppProtocol:(*string)(nil), Port:" + std::to_string(port["port"].as_int()) +
         ", TargetPort:intstr.IntOrString{Type:" + (target.is_string() ? "1, IntVal:0, StrVal:" + quoted(target.as_string()) : "0, IntVal:0, StrVal:\"\"") +
         "}, NodePort:0}";
}

void validate_ports(Report& report, const Value& spec, bool headless) {
  const Value& ports = spec["ports"];
  std::string_view type = spec["type"].as_string();
  if (ports.empty() && !headless && type != "ExternalName") report.required("spec.ports");
  std::set<std::string> names, pairs;
  std::size_t index = 0;
  for (const Value& port : ports) {
    std::string here = at("spec.ports", index++);
    std::string name = port["name"].str();
    if (name.empty()) {
      if (ports.size() > 1) report.required(here + ".name");
    } else {
      report.complaints(here + ".name", name, is_dns1123_label(name));
      if (!names.insert(name).second) report.duplicate(here + ".name", name);
    }
    if (std::int64_t number = port["port"].as_int(); number < 1 || number > 65535) {
      report.invalid(here + ".port", static_cast<long>(number), "must be between 1 and 65535, inclusive");
    }
    report.one_of(here + ".protocol", port["protocol"], {"SCTP", "TCP", "UDP"}, true);
    report.port_or_name(here + ".targetPort", port["targetPort"]);
    if (port["nodePort"].as_int() != 0 && type == "ClusterIP") report.forbidden(here + ".nodePort", "may not be used when `type` is 'ClusterIP'");
    std::string pair = port["protocol"].str() + "/" + std::to_string(port["port"].as_int());
    if (!pairs.insert(pair).second) report.add(Cause{"FieldValueDuplicate", "Duplicate value: " + go_port(port), at("spec.ports", index - 1)});
  }
}

}  // namespace

void validate_service(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  bool headless = spec["clusterIP"].as_string() == "None";
  validate_ports(report, spec, headless);
  validate_labels(report, "spec.selector", spec["selector"]);
  report.one_of("spec.sessionAffinity", spec["sessionAffinity"], {"ClientIP", "None"}, true);
  report.one_of("spec.type", spec["type"], {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"}, true);
  std::string_view type = spec["type"].as_string(), ip = spec["clusterIP"].as_string();
  if (type == "ExternalName") {
    if (!ip.empty() && !headless) report.forbidden("spec.clusterIPs", "may not be set for type 'ExternalName'");
    if (std::string_view name = spec["externalName"].as_string(); name.empty()) {
      report.required("spec.externalName");
    } else {
      if (name.ends_with(".")) name.remove_suffix(1);
      report.complaints("spec.externalName", spec["externalName"], is_dns1123_subdomain(name));
    }
  } else if (!ip.empty() && !headless && !is_ip(ip)) {
    report.invalid("spec.clusterIPs[0]", ip, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
  }
  if (headless && (type == "NodePort" || type == "LoadBalancer")) report.invalid("spec.clusterIPs[0]", ip, "may not be set to 'None' for " + std::string(type) + " services");
  std::size_t index = 0;
  for (const Value& external : spec["externalIPs"]) report.ip(at("spec.externalIPs", index++), external);
  report.one_of("spec.externalTrafficPolicy", spec["externalTrafficPolicy"], {"Cluster", "Local"});
  report.one_of("spec.internalTrafficPolicy", spec["internalTrafficPolicy"], {"Cluster", "Local"});
  report.one_of("spec.ipFamilyPolicy", spec["ipFamilyPolicy"], {"SingleStack", "PreferDualStack", "RequireDualStack"});
}

void validate_service_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  const Value &old_spec = before["spec"], &new_spec = after["spec"];
  bool had_ip = old_spec["type"].as_string() != "ExternalName" && !old_spec["clusterIP"].as_string().empty();
  if (had_ip && new_spec["type"].as_string() != "ExternalName" && old_spec["clusterIP"] != new_spec["clusterIP"]) {
    report.invalid("spec.clusterIPs[0]", new_spec["clusterIP"].as_string(), "may not change once set");
  }
}

void validate_endpoints(Report& report, const Value& object) {
  std::size_t index = 0;
  for (const Value& subset : object["subsets"]) {
    std::string here = at("subsets", index++);
    if (subset["addresses"].empty() && subset["notReadyAddresses"].empty()) report.required(here, "must specify `addresses` or `notReadyAddresses`");
    for (const char* list : {"addresses", "notReadyAddresses"}) {
      std::size_t address_index = 0;
      for (const Value& address : subset[list]) {
        std::string at_address = at(here + "." + list, address_index++);
        report.ip(at_address + ".ip", address["ip"]);
        if (!address["hostname"].as_string().empty()) report.complaints(at_address + ".hostname", address["hostname"], is_dns1123_label(address["hostname"].as_string()));
      }
    }
    std::size_t port_index = 0;
    for (const Value& port : subset["ports"]) {
      std::string at_port = at(here + ".ports", port_index++);
      if (port["name"].as_string().empty() && subset["ports"].size() > 1) report.required(at_port + ".name");
      if (!port["name"].as_string().empty()) report.complaints(at_port + ".name", port["name"], is_dns1123_label(port["name"].as_string()));
      report.in_range(at_port + ".port", static_cast<long>(port["port"].as_int()), 1, 65535);
      report.one_of(at_port + ".protocol", port["protocol"], {"SCTP", "TCP", "UDP"}, true);
    }
  }
}

void validate_endpoint_slice(Report& report, const Value& object) {
  report.one_of("addressType", object["addressType"], {"FQDN", "IPv4", "IPv6"}, true);
  if (object["endpoints"].size() > 1000) report.add(api::too_many("endpoints", static_cast<int>(object["endpoints"].size()), 1000));
  std::size_t index = 0;
  for (const Value& endpoint : object["endpoints"]) {
    std::string here = at("endpoints", index++);
    if (endpoint["addresses"].empty()) report.required(here + ".addresses", "must contain at least 1 address");
    std::size_t address_index = 0;
    for (const Value& address : endpoint["addresses"]) {
      std::string at_address = at(here + ".addresses", address_index++);
      if (object["addressType"].as_string() != "FQDN") report.ip(at_address, address);
    }
    if (!endpoint["hostname"].as_string().empty()) report.complaints(here + ".hostname", endpoint["hostname"], is_dns1123_label(endpoint["hostname"].as_string()));
  }
  index = 0;
  for (const Value& port : object["ports"]) {
    std::string here = at("ports", index++);
    report.one_of(here + ".protocol", port["protocol"], {"SCTP", "TCP", "UDP"}, true);
  }
}

}  // namespace berth::validation

#include <algorithm>

#include "api/object.h"
#include "apiserver/table/printers.h"
#include "base/text.h"

namespace berth::apiserver::table {
namespace {

constexpr std::size_t kMostEndpoints = 3;

std::string load_balancer_text(const Value& service) {
  std::vector<std::string> addresses;
  for (const Value& ingress : service["status"]["loadBalancer"]["ingress"]) {
    std::string address = ingress["ip"].as_string().empty() ? ingress["hostname"].str() : ingress["ip"].str();
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) addresses.push_back(address);
  }
  return join(addresses, ",");
}

std::string external_ip_text(const Value& service) {
  std::string_view type = service["spec"]["type"].as_string();
  std::vector<std::string> external;
  for (const Value& ip : service["spec"]["externalIPs"]) external.push_back(ip.str());
  if (type == "ExternalName") return service["spec"]["externalName"].str();
  if (type == "LoadBalancer") {
    std::string balancer = load_balancer_text(service);
    if (!external.empty()) return (balancer.empty() ? "" : balancer + ",") + join(external, ",");
    return balancer.empty() ? "<pending>" : balancer;
  }
  if (type == "ClusterIP" || type == "NodePort") return external.empty() ? "<none>" : join(external, ",");
  return "<unknown>";
}

std::string ports_text(const Value& ports) {
  std::vector<std::string> parts;
  for (const Value& port : ports) {
    std::string text = std::to_string(port["port"].as_int());
    if (port["nodePort"].as_int() > 0) text += ":" + std::to_string(port["nodePort"].as_int());
    parts.push_back(text + "/" + port["protocol"].str());
  }
  return parts.empty() ? "<none>" : join(parts, ",");
}

// "a,b,c + 2 more..."
std::string shortened(const std::vector<std::string>& all) {
  std::vector<std::string> shown(all.begin(),
                                 all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), kMostEndpoints)));
  std::string text = join(shown, ",");
  if (all.size() > kMostEndpoints) text += " + " + std::to_string(all.size() - kMostEndpoints) + " more...";
  return text;
}

std::string with_port(const std::string& ip, std::int64_t port) {
  return (ip.find(':') != std::string::npos ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

std::vector<std::string> subset_addresses(const Value& subset) {
  std::vector<std::string> out;
  if (subset["ports"].empty()) {
    for (const Value& address : subset["addresses"]) out.push_back(address["ip"].str());
    return out;
  }
  for (const Value& port : subset["ports"]) {
    for (const Value& address : subset["addresses"])
      out.push_back(with_port(address["ip"].str(), port["port"].as_int()));
  }
  return out;
}

}  // namespace

Value service_cells(const Value& service, Time now) {
  const Value& spec = service["spec"];
  std::string cluster_ip = spec["clusterIP"].str();
  if (!spec["clusterIPs"].empty()) cluster_ip = spec["clusterIPs"][0].str();
  return Value::array({api::name_of(service), spec["type"].as_string(), none_if_empty(cluster_ip),
                       external_ip_text(service), ports_text(spec["ports"]), age_of(service, now),
                       map_text(spec["selector"])});
}

Value endpoints_cells(const Value& endpoints, Time now) {
  std::vector<std::string> all;
  for (const Value& subset : endpoints["subsets"]) {
    for (std::string& address : subset_addresses(subset)) all.push_back(std::move(address));
  }
  return Value::array({api::name_of(endpoints), all.empty() ? "<none>" : shortened(all), age_of(endpoints, now)});
}

Value endpoint_slice_cells(const Value& slice, Time now) {
  std::vector<std::string> ports, addresses;
  for (const Value& port : slice["ports"]) {
    std::string name = port["name"].str();
    if (port["port"].is_int()) name = std::to_string(port["port"].as_int());
    ports.push_back(name.empty() ? "*" : name);
  }
  for (const Value& endpoint : slice["endpoints"]) {
    for (const Value& address : endpoint["addresses"]) addresses.push_back(address.str());
  }
  return Value::array({api::name_of(slice), slice["addressType"].as_string(),
                       ports.empty() ? "<unset>" : shortened(ports),
                       addresses.empty() ? "<unset>" : shortened(addresses), age_of(slice, now)});
}

}  // namespace berth::apiserver::table

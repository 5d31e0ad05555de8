// Endpoints and EndpointSlices: what schema/*.checks cannot say.
#include <algorithm>
#include <set>

#include "apiserver/validation/addresses.h"
#include "apiserver/validation/check_functions.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

void check_fully_qualified(Report& report, const Path& path, const Value& name) {
  std::string_view text = name.as_string();
  if (text.empty()) return report.required(path);
  if (text.ends_with('.')) text.remove_suffix(1);
  if (const auto complaints = is_dns1123_subdomain(text); !complaints.empty())
    return report.invalid(path, text, join(complaints, ","));
  if (text.find('.') == std::string_view::npos)
    return report.invalid(path, text, "should be a domain with at least two segments separated by dots");
  for (std::string_view label : split(text, '.')) {
    if (const auto complaints = is_dns1123_label(label); !complaints.empty())
      return report.invalid(path, label, join(complaints, ","));
  }
}

void check_slice_address(Report& report, const Path& list, const Path& path, std::string_view type,
                         const Value& address) {
  if (type == "FQDN") return check_fully_qualified(report, path, address);
  if (type != "IPv4" && type != "IPv6") return;
  const auto complaints = is_legacy_ip(address.as_string());
  report.complaints(path, address, complaints);
  if (!complaints.empty()) return;
  if (type == "IPv4" && !is_ipv4(address.as_string())) return report.invalid(list, address, "must be an IPv4 address");
  if (type == "IPv6" && !is_ipv6(address.as_string())) return report.invalid(list, address, "must be an IPv6 address");
  check_special_ip(report, path, address);
}

void check_hints(Report& report, const Path& path, const Value& endpoint) {
  constexpr std::size_t kMost = 8;
  const Path hints = path / "hints";
  for (const char* list : {"forZones", "forNodes"}) {
    const Path here = hints / list;
    const Value& names = endpoint["hints"][list];
    if (names.size() > kMost) {
      report.add(api::too_many(here.text(), static_cast<int>(names.size()), static_cast<int>(kMost)));
      continue;
    }
    std::set<std::string_view> seen;
    std::size_t index = 0;
    for (const Value& entry : names) {
      const Path element = here.at(index++);
      const Path name = element / "name";
      const std::string_view text = entry["name"].as_string();
      if (!seen.insert(text).second) report.duplicate(name, entry["name"]);
      const bool zone = std::string_view(list) == "forZones";
      report.complaints(name, text, zone ? is_label_value(text) : is_dns1123_subdomain(text));
    }
  }
}

}  // namespace

void check_endpoint_ip(Report& report, const Path& path, const Value& address) {
  report.complaints(path, address.as_string(), is_legacy_ip(address.as_string()));
  check_special_ip(report, path, Value(address.as_string()));
}

void check_endpoint_subset(Report& report, const Path& path, const Value& subset) {
  if (subset["addresses"].empty() && subset["notReadyAddresses"].empty())
    report.required(path, "must specify `addresses` or `notReadyAddresses`");
  if (subset["ports"].size() < 2) return;
  const Path ports = path / "ports";
  for (std::size_t i = 0; i < subset["ports"].size(); ++i) {
    const Path port = ports.at(i);
    if (subset["ports"][i]["name"].as_string().empty()) report.required(port / "name");
  }
}

void validate_slice_endpoints(Report& report, const Value& old, const Value& slice) {
  constexpr std::size_t kMostEndpoints = 1000, kMostAddresses = 100;
  const Path root("endpoints");
  const Value& endpoints = slice["endpoints"];
  if (endpoints.size() > kMostEndpoints) {
    report.add(api::too_many("endpoints", static_cast<int>(endpoints.size()), static_cast<int>(kMostEndpoints)));
    return;
  }
  const std::string_view type = slice["addressType"].as_string();
  std::set<std::string_view> had;
  for (const Value& endpoint : old) {
    for (const Value& address : endpoint["addresses"]) had.insert(address.as_string());
  }
  std::size_t index = 0;
  for (const Value& endpoint : endpoints) {
    const Path here = root.at(index++);
    const Path addresses = here / "addresses";
    const Value& list = endpoint["addresses"];
    if (list.empty()) {
      report.required(addresses, "must contain at least 1 address");
    } else if (list.size() > kMostAddresses) {
      report.add(api::too_many(addresses.text(), static_cast<int>(list.size()), static_cast<int>(kMostAddresses)));
    }
    std::size_t at = 0;
    for (const Value& address : list) {
      const Path element = addresses.at(at++);
      if (type == "FQDN" || !had.contains(address.as_string()))
        check_slice_address(report, addresses, element, type, address);
    }
    if (const Value& node = endpoint["nodeName"]; !node.is_null())
      report.complaints(here / "nodeName", node, is_dns1123_subdomain(node.as_string()));
    if (const Value& host = endpoint["hostname"]; !host.is_null())
      report.complaints(here / "hostname", host, is_dns1123_label(host.as_string()));
    if (endpoint["hints"].is_object()) check_hints(report, here, endpoint);
  }
}

void check_slice_ports(Report& report, const Path& path, const Value& ports) {
  constexpr std::size_t kMost = 20000;
  if (ports.size() > kMost) {
    report.add(api::too_many(path.text(), static_cast<int>(ports.size()), static_cast<int>(kMost)));
    return;
  }
  std::set<std::string_view> names;
  std::size_t index = 0;
  for (const Value& port : ports) {
    const Path here = path.at(index++);
    const std::string_view name = port["name"].as_string();
    if (!name.empty()) report.complaints(here / "name", name, is_dns1123_label(name));
    if (!names.insert(name).second) report.duplicate(here / "name", name);
    if (port["protocol"].is_null()) {
      report.required(here / "protocol");
    } else if (const std::string_view protocol = port["protocol"].as_string();
               protocol != "TCP" && protocol != "UDP" && protocol != "SCTP") {
      report.not_supported(here / "protocol", protocol, {"SCTP", "TCP", "UDP"});
    }
    if (const Value& application = port["appProtocol"]; !application.is_null()) {
      report.complaints(here / "appProtocol", application, is_qualified_name(application.as_string()));
    }
  }
}

}  // namespace berth::apiserver::validation

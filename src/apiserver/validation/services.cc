// Services: rules that depend on the type, on the addresses and on other ports.
#include <algorithm>
#include <set>

#include "apiserver/validation/addresses.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

constexpr std::int64_t kKubeletPort = 10250;

template <class... Texts>
bool is_among(std::string_view text, Texts... texts) {
  return ((text == texts) || ...);
}

bool is_headless(const Value& spec) {
  return spec["clusterIPs"][0].as_string() == "None" ||
         (spec["clusterIPs"].empty() && spec["clusterIP"].as_string() == "None");
}
bool is_external(const Value& spec) {
  const std::string_view type = spec["type"].as_string();
  return type == "LoadBalancer" || type == "NodePort" || (type == "ClusterIP" && !spec["externalIPs"].empty());
}

void check_port(Report& report, const Path& here, const Value& port, bool named, std::set<std::string>& names) {
  const std::string name = port["name"].str();
  if (name.empty()) {
    if (named) report.required(here / "name");
  } else {
    report.complaints(here / "name", name, is_dns1123_label(name));
    if (!names.insert(name).second) report.duplicate(here / "name", name);
  }
  report.in_range(here / "port", static_cast<long>(port["port"].as_int()), 1, 65535);
  report.one_of(here / "protocol", port["protocol"], {"SCTP", "TCP", "UDP"}, true);
  report.port_or_name(here / "targetPort", port["targetPort"]);
  if (const Value& application = port["appProtocol"]; !application.is_null()) {
    report.complaints(here / "appProtocol", application, is_qualified_name(application.as_string()));
  }
}

// The key that two ports may not share, as upstream prints it.
std::string shown_port(const Value& port) {
  return "{\"Name\":\"\",\"Protocol\":" + quoted(port["protocol"].as_string()) +
         ",\"AppProtocol\":null,\"Port\":" + std::to_string(port["port"].as_int()) +
         ",\"TargetPort\":0,\"NodePort\":0}";
}

void check_ports(Report& report, const Value& spec) {
  const Path root("spec.ports");
  const Value& ports = spec["ports"];
  const std::string_view type = spec["type"].as_string();
  if (ports.empty() && !is_headless(spec) && type != "ExternalName") report.required(root);
  std::set<std::string> names, pairs, node_pairs;
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Path here = root.at(i);
    if (type == "LoadBalancer" && ports[i]["port"].as_int() == kKubeletPort) {
      report.invalid(here, kKubeletPort, "may not expose port 10250 externally since it is used by kubelet");
    }
    check_port(report, here, ports[i], ports.size() > 1, names);
  }
  for (std::size_t i = 0; i < ports.size(); ++i) {
    const Path here = root.at(i);
    const std::int64_t node_port = ports[i]["nodePort"].as_int();
    const std::string protocol = ports[i]["protocol"].str() + "/";
    if (type == "ClusterIP" && node_port != 0)
      report.forbidden(here / "nodePort", "may not be used when `type` is 'ClusterIP'");
    if (node_port != 0 && !node_pairs.insert(protocol + std::to_string(node_port)).second)
      report.duplicate(here / "nodePort", ports[i]["nodePort"]);
    if (!pairs.insert(protocol + std::to_string(ports[i]["port"].as_int())).second) {
      report.add(Cause{"FieldValueDuplicate", "Duplicate value: " + shown_port(ports[i]), here.text()});
    }
  }
}

void check_external_name(Report& report, const Value& spec) {
  constexpr std::string_view kNot = "may not be set for ExternalName services";
  if (!spec["clusterIPs"].empty()) report.forbidden("spec.clusterIPs", kNot);
  if (!spec["ipFamilies"].empty()) report.forbidden("spec.ipFamilies", kNot);
  if (!spec["ipFamilyPolicy"].is_null()) report.forbidden("spec.ipFamilyPolicy", kNot);
  std::string_view name = spec["externalName"].as_string();
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty()) return report.required("spec.externalName");
  report.complaints("spec.externalName", name, is_dns1123_subdomain(name));
}

void check_affinity(Report& report, const Value& spec) {
  report.one_of("spec.sessionAffinity", spec["sessionAffinity"], {"ClientIP", "None"}, true);
  const Value& config = spec["sessionAffinityConfig"];
  if (spec["sessionAffinity"].as_string() == "None") {
    if (!config.is_null())
      report.forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None");
    return;
  }
  if (spec["sessionAffinity"].as_string() != "ClientIP") return;
  const Path path("spec.sessionAffinityConfig");
  constexpr std::string_view kNeeded = "when session affinity type is ClientIP";
  if (config.is_null()) return report.required(path, kNeeded);
  if (config["clientIP"].is_null()) return report.required(path / "clientIP", kNeeded);
  const Value& seconds = config["clientIP"]["timeoutSeconds"];
  constexpr std::int64_t kMost = 86400;
  if (seconds.is_null()) return report.required("spec.sessionAffinityConfig.clientIP.timeoutSeconds", kNeeded);
  if (seconds.as_int() <= 0 || seconds.as_int() > kMost) {
    report.invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds,
                   "must be greater than 0 and less than 86400");
  }
}

void check_source_ranges(Report& report, const Value& object) {
  constexpr std::string_view kBalanced = "may only be used when `type` is 'LoadBalancer'",
                             kAnnotation = "service.beta.kubernetes.io/load-balancer-source-ranges";
  const Value& spec = object["spec"];
  const bool balanced = spec["type"].as_string() == "LoadBalancer";
  const Path path("spec.LoadBalancerSourceRanges");
  if (!spec["loadBalancerSourceRanges"].empty()) {
    if (!balanced) report.forbidden(path, kBalanced);
    std::size_t index = 0;
    for (const Value& range : spec["loadBalancerSourceRanges"]) {
      const Path here = path.at(index++);
      const std::string_view text = trim(range.as_string());
      report.complaints(here, text, is_legacy_cidr(text));
    }
  } else if (const Value& annotated = object["metadata"]["annotations"][kAnnotation]; annotated.is_string()) {
    const Path here("metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]");
    if (!balanced) report.forbidden(here, kBalanced);
    const std::string_view text = trim(annotated.as_string());
    if (text.empty()) return;
    for (std::string_view range : split(text, ',')) report.complaints(here, trim(range), is_legacy_cidr(trim(range)));
  }
}

void check_balancer(Report& report, const Value& object) {
  constexpr std::string_view kBalanced = "may only be used when `type` is 'LoadBalancer'";
  const Value& spec = object["spec"];
  const bool balanced = spec["type"].as_string() == "LoadBalancer";
  check_source_ranges(report, object);
  if (!balanced && !spec["allocateLoadBalancerNodePorts"].is_null())
    report.forbidden("spec.allocateLoadBalancerNodePorts", kBalanced);
  if (balanced && spec["allocateLoadBalancerNodePorts"].is_null())
    report.required("spec.allocateLoadBalancerNodePorts");
  if (const Value& name = spec["loadBalancerClass"]; !name.is_null()) {
    if (balanced) {
      report.complaints("spec.loadBalancerClass", name, is_qualified_name(name.as_string()));
    } else {
      report.forbidden("spec.loadBalancerClass", kBalanced);
    }
  }
}

void check_traffic(Report& report, const Value& spec) {
  const std::string external = spec["externalTrafficPolicy"].str();
  if (!is_external(spec)) {
    if (!external.empty())
      report.invalid("spec.externalTrafficPolicy", external, "may only be set for externally-accessible services");
  } else {
    report.one_of("spec.externalTrafficPolicy", spec["externalTrafficPolicy"], {"Cluster", "Local"}, true);
  }
  const Value health(static_cast<long>(spec["healthCheckNodePort"].as_int()));
  if (spec["type"].as_string() != "LoadBalancer" || external != "Local") {
    if (health.as_int() != 0) {
      report.invalid("spec.healthCheckNodePort", health,
                     "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
    }
  } else if (health.as_int() == 0) {
    report.required("spec.healthCheckNodePort");
  } else {
    report.port("spec.healthCheckNodePort", health);
  }
  const Value& internal = spec["internalTrafficPolicy"];
  if (internal.is_null()) {
    if (is_among(spec["type"].as_string(), "NodePort", "LoadBalancer", "ClusterIP"))
      report.required("spec.internalTrafficPolicy");
  } else if (!is_among(internal.as_string(), "Cluster", "Local")) {
    report.not_supported("spec.internalTrafficPolicy", internal, {"Cluster", "Local"});
  }
  const Value& distribution = spec["trafficDistribution"];
  if (!distribution.is_null() &&
      !is_among(distribution.as_string(), "PreferClose", "PreferSameZone", "PreferSameNode")) {
    report.not_supported("spec.trafficDistribution", distribution, {"PreferClose", "PreferSameZone", "PreferSameNode"});
  }
}

void check_families(Report& report, const Value& spec) {
  const Path root("spec.ipFamilies");
  const Value& families = spec["ipFamilies"];
  for (std::size_t i = 0; i < families.size(); ++i) {
    const Path here = root.at(i);
    if (!is_among(families[i].as_string(), "IPv4", "IPv6")) report.not_supported(here, families[i], {"IPv4", "IPv6"});
    for (std::size_t j = 0; j < i; ++j) {
      if (families[j] == families[i]) {
        report.duplicate(here, families[i]);
        break;
      }
    }
  }
  const Value& policy = spec["ipFamilyPolicy"];
  if (!policy.is_null() && !is_among(policy.as_string(), "PreferDualStack", "RequireDualStack", "SingleStack")) {
    report.not_supported("spec.ipFamilyPolicy", policy, {"PreferDualStack", "RequireDualStack", "SingleStack"});
  }
}

// Whether each is an address; `None` only alone.
bool check_each_ip(Report& report, const Path& path, const Value& ips, const Value& old) {
  bool good = true;
  for (std::size_t i = 0; i < ips.size(); ++i) {
    if (i == 0 && ips[0].as_string() == "None") {
      if (ips.size() > 1) {
        report.invalid(path, ips, "'None' must be the first and only value");
        good = false;
      }
      continue;
    }
    if (std::find(old.begin(), old.end(), ips[i]) != old.end()) continue;
    const Path here = path.at(i);
    const auto complaints = is_legacy_ip(ips[i].as_string());
    report.complaints(here, ips[i], complaints);
    good = good && complaints.empty();
  }
  if (ips.size() > 2) report.invalid(path, ips, "may only hold up to 2 values");
  return good;
}

}  // namespace

void validate_cluster_ips(Report& report, const Value& spec, const Value& old) {
  if (spec["type"].as_string() == "ExternalName") return;
  const Path path("spec.clusterIPs");
  const Value &ips = spec["clusterIPs"], &ip = spec["clusterIP"];
  if (ip.as_string().empty()) {
    if (!ips.empty()) report.invalid(path, ips, "must be empty when `clusterIP` is not specified");
  } else if (ips.empty()) {
    report.required(path);
  } else if (ips[0] != ip) {
    report.invalid(path, ips, "first value must match `clusterIP`");
  }
  check_families(report, spec);
  if (!check_each_ip(report, path, ips, old)) return;
  if (ips.size() > 1 && (ips.size() != 2 || is_ipv6(ips[0].as_string()) == is_ipv6(ips[1].as_string()))) {
    report.invalid(path, ips, "may specify no more than one IP for each IP family");
  }
  if (is_headless(spec)) return;
  for (std::size_t i = 0; i < std::min(ips.size(), spec["ipFamilies"].size()); ++i) {
    const Path here = path.at(i);
    const std::string_view family = spec["ipFamilies"][i].as_string();
    const std::string named = "`ipFamilies[" + std::to_string(i) + "]`";
    const bool six = is_ipv6(ips[i].as_string());
    if (family == "IPv4" && six) report.invalid(here, ips[i], "expected an IPv4 value as indicated by " + named);
    if (family == "IPv6" && !six) report.invalid(here, ips[i], "expected an IPv6 value as indicated by " + named);
  }
}

std::vector<Cause> validate_service_addresses(const Value& spec, const Value& old) {
  Report report;
  validate_cluster_ips(report, spec, old);
  return report.take();
}

void validate_service(Report& report, const Value& object) {
  const Value& spec = object["spec"];
  const std::string_view type = spec["type"].as_string();
  const Value& annotations = object["metadata"]["annotations"];
  const Value &hints = annotations["service.kubernetes.io/topology-aware-hints"],
              &mode = annotations["service.kubernetes.io/topology-mode"];
  if (!hints.is_null() && !mode.is_null() && hints != mode) {
    report.invalid("metadata.annotations[service.kubernetes.io/topology-mode]", mode,
                   "must match annotations[service.kubernetes.io/topology-aware-hints] when both are specified");
  }
  if (type == "ExternalName") check_external_name(report, spec);
  if (is_headless(spec) && is_among(type, "NodePort", "LoadBalancer")) {
    report.invalid("spec.clusterIPs[0]", "None", "may not be set to 'None' for " + std::string(type) + " services");
  }
  check_ports(report, spec);
  validate_labels(report, "spec.selector", spec["selector"]);
  check_affinity(report, spec);
  validate_cluster_ips(report, spec);
  const Path external("spec.externalIPs");
  std::size_t index = 0;
  for (const Value& ip : spec["externalIPs"]) {
    const Path here = external.at(index++);
    const auto complaints = is_legacy_ip(ip.as_string());
    report.complaints(here, ip, complaints);
    if (complaints.empty()) check_special_ip(report, here, ip);
  }
  report.one_of("spec.type", spec["type"], {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"}, true);
  check_balancer(report, object);
  check_traffic(report, spec);
}

void validate_service_update(Report& report, const Value& before, const Value& after) {
  validate_metadata_update(report, before["metadata"], after["metadata"]);
  const Value &old_spec = before["spec"], &new_spec = after["spec"];
  const auto has_ip = [](const Value& spec) { return spec["type"].as_string() != "ExternalName"; };
  if (has_ip(old_spec) && has_ip(new_spec) && !old_spec["clusterIPs"].empty()) {
    const Value &old_ips = old_spec["clusterIPs"], &ips = new_spec["clusterIPs"];
    if (ips.empty()) {
      report.invalid("spec.clusterIPs[0]", ips, "primary clusterIP can not be unset");
    } else if (ips[0] != old_ips[0]) {
      report.invalid("spec.clusterIPs[0]", ips, "may not change once set");
    }
  }
  const auto has_health_port = [](const Value& spec) {
    return spec["type"].as_string() == "LoadBalancer" && spec["externalTrafficPolicy"].as_string() == "Local";
  };
  const Value &old_health = old_spec["healthCheckNodePort"], &health = new_spec["healthCheckNodePort"];
  if (has_health_port(old_spec) && has_health_port(new_spec) && old_health.as_int() != health.as_int()) {
    report.forbidden("spec.healthCheckNodePort", "field is immutable");
  }
  const bool balanced =
      old_spec["type"].as_string() == "LoadBalancer" && new_spec["type"].as_string() == "LoadBalancer";
  if (balanced && old_spec["loadBalancerClass"] != new_spec["loadBalancerClass"]) {
    report.invalid("spec.loadBalancerClass", new_spec["loadBalancerClass"], "may not change once set");
  }
}

}  // namespace berth::apiserver::validation

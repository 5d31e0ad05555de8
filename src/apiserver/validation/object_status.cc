// Statuses of kinds that are no workloads.
#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "apiserver/validation/addresses.h"
#include "apiserver/validation/go_value.h"
#include "apiserver/validation/report.h"
#include "apiserver/validation/validation.h"
#include "base/text.h"

namespace berth::apiserver::validation {
namespace {

bool contains(const Value& list, const Value& wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

// --- Pods

// `old`: the stored addresses, which may stay even where they are invalid.
void check_pod_addresses(Report& report, const Path& path, const Value& old, const Value& ips) {
  constexpr std::string_view kKind = "io.k8s.api.core.v1.PodIP";
  std::string bad;
  for (std::size_t i = 0; i < ips.size(); ++i) {
    const std::string_view ip = ips[i]["ip"].as_string();
    if (!contains(old, ips[i])) report.complaints(path.at(i), ip, is_legacy_ip(ip));
    if (bad.empty() && !is_ipv4(ip) && !is_ipv6(ip)) bad = "invalid IP[" + std::to_string(i) + "]: " + std::string(ip);
  }
  if (ips.size() < 2) return;
  if (!bad.empty()) {
    report.add(Cause{"InternalError", "Internal error: failed to check for dual stack with error:" + bad, path.text()});
  }
  if (bad.empty() && ips.size() == 2 && is_ipv6(ips[0]["ip"].as_string()) != is_ipv6(ips[1]["ip"].as_string())) return;
  std::string shown = "[";
  for (const Value& ip : ips) shown += (shown.size() > 1 ? "," : "") + shown_as_go(ip, kKind);
  report.invalid_shown(path, shown + "]", "may specify no more than one IP for each IP family");
}

void check_claim_statuses(Report& report, const Value& pod) {
  const Path root("status.resourceClaimStatuses");
  std::set<std::string_view> seen;
  std::size_t index = 0;
  for (const Value& status : pod["status"]["resourceClaimStatuses"]) {
    const Path here = root.at(index++);
    const std::string_view name = status["name"].as_string();
    const Value& claims = pod["spec"]["resourceClaims"];
    const bool known = std::any_of(claims.begin(), claims.end(),
                                   [&](const Value& claim) { return claim["name"].as_string() == name; });
    if (!known) report.invalid(here / "name", name, "must match the name of an entry in `spec.resourceClaims`");
    if (!seen.insert(name).second) report.duplicate(here / "name", name);
    const Value& claim = status["resourceClaimName"];
    if (!claim.is_null()) report.complaints(here / "name", claim, is_dns1123_subdomain(claim.as_string()));
  }
  const Value& extended = pod["status"]["extendedResourceClaimStatus"];
  if (!extended.is_object()) return;
  const Path path("status.extendedResourceClaimStatus");
  if (extended["requestMappings"].empty())
    report.required(path / "requestMappings", "at least one request mapping is required");
  if (extended["resourceClaimName"].as_string().empty()) report.required(path / "resourceClaimName");
}

void check_allocated_status(Report& report, const Value& pod) {
  const Path root("status.containerStatuses");
  std::size_t index = 0;
  for (const Value& status : pod["status"]["containerStatuses"]) {
    const Path here = root.at(index++);
    const Path list = here / "allocatedResourcesStatus";
    for (std::size_t i = 0; i < status["allocatedResourcesStatus"].size(); ++i) {
      const std::string_view name = status["allocatedResourcesStatus"][i]["name"].as_string();
      const Path resource = list.at(i);
      for (const Value& container : pod["spec"]["containers"]) {
        if (container["name"] != status["name"] || name.starts_with("claim:") ||
            container["resources"]["requests"].contains(name))
          continue;
        report.invalid(resource / "name", name, "must match one of the container's resource requests");
      }
    }
  }
}

}  // namespace

void validate_pod_status(Report& report, const Value& before, const Value& after) {
  const Value &old = before["status"], &status = after["status"];
  const Path conditions("status.conditions");
  for (std::size_t i = 0; i < status["conditions"].size(); ++i) {
    const std::string_view type = status["conditions"][i]["type"].as_string();
    const Path here = conditions.at(i);
    report.complaints(here / "Type", type, is_qualified_name(type));
  }
  const Value& nominated = status["nominatedNodeName"];
  if (old["nominatedNodeName"] != nominated && !nominated.as_string().empty()) {
    report.complaints("status.nominatedNodeName", nominated, is_dns1123_subdomain(nominated.as_string()));
  }
  validate_immutable(report, "status.qosClass", old["qosClass"], status["qosClass"]);
  check_claim_statuses(report, after);
  check_pod_addresses(report, "status.podIPs", old["podIPs"], status["podIPs"]);
  if (const Value& hosts = status["hostIPs"]; !hosts.empty()) {
    if (status["hostIP"].as_string() != hosts[0]["ip"].as_string())
      report.invalid("status.hostIPs[0].ip", hosts[0]["ip"], "must be equal to `hostIP`");
    check_pod_addresses(report, "status.hostIPs", old["hostIPs"], hosts);
  }
  check_allocated_status(report, after);
}

namespace {

// --- Services

}  // namespace

void validate_service_status(Report& report, const Value& before, const Value& after) {
  const Value &ingress = after["status"]["loadBalancer"]["ingress"], &old = before["status"]["loadBalancer"]["ingress"];
  const Path path("status.loadBalancer.ingress");
  if (after["spec"]["type"].as_string() != "LoadBalancer") {
    if (!ingress.empty()) report.forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'");
    return;
  }
  for (std::size_t i = 0; i < ingress.size(); ++i) {
    const Path here = path.at(i);
    const std::string_view ip = ingress[i]["ip"].as_string(), host = ingress[i]["hostname"].as_string();
    const Value& mode = ingress[i]["ipMode"];
    const bool known =
        std::any_of(old.begin(), old.end(), [&](const Value& other) { return other["ip"].as_string() == ip; });
    if (!ip.empty() && !known) report.complaints(here / "ip", ip, is_legacy_ip(ip));
    if (mode.is_null()) {
      if (!ip.empty()) report.required(here / "ipMode", "must be specified when `ip` is set");
    } else if (ip.empty()) {
      report.forbidden(here / "ipMode", "may not be specified when `ip` is not set");
    } else if (mode.as_string() != "VIP" && mode.as_string() != "Proxy") {
      report.not_supported(here / "ipMode", mode, {"Proxy", "VIP"});
    }
    if (host.empty()) continue;
    report.complaints(here / "hostname", host, is_dns1123_subdomain(host));
    if (is_ipv4(host) || is_ipv6(host))
      report.invalid(here / "hostname", host, "must be a DNS name, not an IP address");
  }
}

namespace {

// --- Nodes

// UpperCamelCase segments between slashes.
bool is_feature_name(std::string_view name) {
  for (std::string_view segment : split(name, '/')) {
    if (segment.empty() || (segment.data() == name.data() && std::isupper(static_cast<unsigned char>(segment[0])) == 0))
      return false;
    if (!std::all_of(segment.begin(), segment.end(), [](unsigned char c) { return std::isalnum(c) != 0; }))
      return false;
  }
  return true;
}

}  // namespace

void validate_node_status(Report& report, const Value&, const Value& after) {
  const Path addresses("status.addresses"), features("status.declaredFeatures");
  const Value& list = after["status"]["addresses"];
  for (std::size_t i = 0; i < list.size(); ++i) {
    if (std::find(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(i), list[i]) ==
        list.begin() + static_cast<std::ptrdiff_t>(i))
      continue;
    report.add(Cause{"FieldValueDuplicate",
                     "Duplicate value: " + shown_as_go(list[i], "io.k8s.api.core.v1.NodeAddress"),
                     addresses.at(i).text()});
  }
  const Value& declared = after["status"]["declaredFeatures"];
  for (std::size_t i = 0; i < declared.size(); ++i) {
    if (is_feature_name(declared[i].as_string())) continue;
    report.invalid(
        features.at(i), declared[i],
        "invalid feature name " + quoted(declared[i].as_string()) +
            ": must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
            "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes");
  }
}

namespace {

// --- Claims

void check_storage_key(Report& report, const Path& path, std::string_view name) {
  if (const auto complaints = is_qualified_name(name); !complaints.empty())
    return report.complaints(path, name, complaints);
  const bool native = name.find('/') == std::string_view::npos || name.find("kubernetes.io/") != std::string_view::npos;
  if (native && name != "storage") report.not_supported(path, name, {"storage"});
}

}  // namespace

void validate_claim_status(Report& report, const Value&, const Value& after) {
  static const std::set<std::string_view> kStates = {"ControllerResizeInProgress", "ControllerResizeInfeasible",
                                                     "NodeResizeInProgress", "NodeResizeInfeasible",
                                                     "NodeResizePending"};
  const Path states("status.allocatedResourceStatuses"), amounts("status.allocatedResources");
  for (auto [name, state] : after["status"]["allocatedResourceStatuses"].entries()) {
    check_storage_key(report, states, name);
    if (kStates.contains(state.as_string())) continue;
    report.not_supported(states, name,
                         {"ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress",
                          "NodeResizeInfeasible", "NodeResizePending"});
  }
  for (auto [name, amount] : after["status"]["allocatedResources"].entries()) check_storage_key(report, amounts, name);
}

namespace {

// --- Budgets

// A condition of the kind that all newer statuses have.
void check_condition(Report& report, const Path& here, const Value& condition) {
  constexpr std::size_t kMostReason = 1024, kMostMessage = 32768;
  const std::string_view type = condition["type"].as_string(), reason = condition["reason"].as_string(),
                         status = condition["status"].as_string();
  report.complaints(here / "type", type, is_qualified_name(type));
  if (status != "True" && status != "False" && status != "Unknown")
    report.not_supported(here / "status", status, {"False", "True", "Unknown"});
  if (condition["observedGeneration"].as_int() < 0) {
    report.invalid(here / "observedGeneration", condition["observedGeneration"],
                   "must be greater than or equal to zero");
  }
  if (condition["lastTransitionTime"].is_null()) report.required(here / "lastTransitionTime");
  auto among = [](std::string_view others, char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || others.find(c) != others.npos;
  };
  if (reason.empty()) {
    report.required(here / "reason");
  } else if (reason.size() > kMostReason) {
    report.add(api::too_long((here / "reason").text(), "", static_cast<int>(kMostReason)));
  } else if (std::isalpha(static_cast<unsigned char>(reason[0])) == 0 || !among("_", reason.back()) ||
             !std::all_of(reason.begin(), reason.end(), [&](char c) { return among("_,:", c); })) {
    report.invalid(
        here / "reason", reason,
        "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric characters or '_,:', and "
        "must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or 'ReasonA,ReasonB',  or "
        "'ReasonA:ReasonB', regex used for validation is '[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')");
  }
  if (condition["message"].as_string().size() > kMostMessage)
    report.add(api::too_long((here / "message").text(), "", static_cast<int>(kMostMessage)));
}

}  // namespace

void validate_budget_status(Report& report, const Value&, const Value& after) {
  const Value& status = after["status"];
  const Path path("status");
  for (const char* field : {"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"})
    report.not_negative(path / field, status[field]);
  const Path conditions = path / "conditions";
  std::set<std::string_view> types;
  for (std::size_t i = 0; i < status["conditions"].size(); ++i) {
    const Path here = conditions.at(i);
    if (!types.insert(status["conditions"][i]["type"].as_string()).second)
      report.duplicate(here / "type", status["conditions"][i]["type"]);
    check_condition(report, here, status["conditions"][i]);
  }
}

void validate_autoscaler_status(Report& report, const Value&, const Value& after) {
  const Path path("status");
  for (const char* field : {"currentReplicas", "desiredReplicas"})
    report.not_negative(path / field, after["status"][field]);
}

void validate_namespace_finalizers(Report& report, const Value& after) {
  const Path root("spec.finalizers");
  for (std::size_t i = 0; i < after["spec"]["finalizers"].size(); ++i) {
    const std::string_view name = after["spec"]["finalizers"][i].as_string();
    const Path here = root.at(i);
    report.complaints(here, name, is_qualified_name(name));
    validate_finalizer_name(report, here, name);
  }
}

}  // namespace berth::apiserver::validation

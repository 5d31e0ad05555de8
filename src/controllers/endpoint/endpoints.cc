#include <algorithm>
#include <map>

#include "base/time/time.h"
#include "controllers/endpoint/common.h"
#include "controllers/endpoint/plan.h"

namespace berth::controllers::endpoint {
namespace {

using namespace api::resources;  // NOLINT

constexpr std::string_view kOverCapacity = "endpoints.kubernetes.io/over-capacity";

struct Addresses {
  std::vector<Value> ready, not_ready;
};

// Numeric order, so that 10.0.0.9 comes before 10.0.0.10.
bool address_less(const Value& a, const Value& b) {
  const std::string_view x = a["ip"].as_string(), y = b["ip"].as_string();
  std::size_t i = 0, j = 0;
  while (i < x.size() && j < y.size()) {
    std::size_t i_end = x.find_first_of(".:", i), j_end = y.find_first_of(".:", j);
    i_end = std::min(i_end, x.size());
    j_end = std::min(j_end, y.size());
    const std::string_view left = x.substr(i, i_end - i), right = y.substr(j, j_end - j);
    if (left.size() != right.size()) return left.size() < right.size();
    if (left != right) return left < right;
    i = i_end + 1;
    j = j_end + 1;
  }
  if (x.size() != y.size()) return x.size() < y.size();
  return a["targetRef"]["uid"].as_string() < b["targetRef"]["uid"].as_string();
}

Value subsets_of(const ServiceView& view, bool& truncated) {
  const Value& service = view.service;
  const bool publish = service["spec"]["publishNotReadyAddresses"].as_bool();
  const bool ipv6 = service["spec"]["ipFamilies"][0].as_string() == "IPv6";
  std::map<std::string, std::pair<Value, Addresses>> by_ports;
  std::vector<Value> pods = view.pods;
  // If there are too many addresses, ready pods are retained.
  std::stable_partition(pods.begin(), pods.end(), [](const Value& pod) { return api::is_pod_ready(pod); });
  int count = 0;
  for (const Value& pod : pods) {
    const std::string ip = address_of(pod, ipv6);
    if (!is_endpoint(pod, publish) || ip.empty()) continue;
    Value ports = ports_for(service, pod);
    if (ports.empty() && !(is_headless(service) && service["spec"]["ports"].empty())) continue;
    if (++count > kAddressesPerEndpoints) {
      truncated = true;
      break;
    }
    Value address = Value::object({{"ip", ip}, {"targetRef", reference_to(pod)}});
    if (!pod["spec"]["nodeName"].as_string().empty()) address.set("nodeName", pod["spec"]["nodeName"]);
    const std::string_view hostname = hostname_in(service, pod);
    if (!hostname.empty()) address.set("hostname", hostname);
    // Endpoints omit the name of an unnamed port; slices have "".
    for (std::size_t i = 0; i < ports.size(); ++i) {
      if (ports[i]["name"].as_string().empty()) ports.mut(i).erase("name");
    }
    auto& [known, addresses] = by_ports[json::encode(ports)];
    known = std::move(ports);
    (publish || api::is_pod_ready(pod) ? addresses.ready : addresses.not_ready).push_back(std::move(address));
  }
  Value out = Value::array();
  for (auto& [key, entry] : by_ports) {
    auto& [ports, addresses] = entry;
    Value subset = Value::object();
    for (auto* list : {&addresses.ready, &addresses.not_ready}) {
      if (list->empty()) continue;
      std::sort(list->begin(), list->end(), address_less);
      subset.set(list == &addresses.ready ? "addresses" : "notReadyAddresses", Value::array(std::move(*list)));
    }
    if (!ports.empty()) subset.set("ports", ports);
    out.push(std::move(subset));
  }
  return out;
}

}  // namespace

Plan plan_endpoints(const ServiceView& view, Time now) {
  Plan plan;
  const Value& service = view.service;
  const Value& known = view.endpoints;
  if (service.is_null()) {
    if (!known.is_null() && api::label_of(known, kEndpointsManagedBy) == kEndpointsManager)
      plan.add(remove(kEndpoints, known));
    return plan;
  }
  if (!has_endpoints(service) || api::is_terminating(service)) return plan;
  bool truncated = false;
  const Value subsets = subsets_of(view, truncated);
  Value labels = api::labels_of(service);
  if (labels.is_null()) labels = Value::object();
  labels.erase(kHeadless);
  if (is_headless(service)) labels.set(kHeadless, "");
  labels.set(kEndpointsManagedBy, kEndpointsManager);
  const bool same = known["subsets"] == subsets || (known["subsets"].empty() && subsets.empty());
  const bool was_truncated = known["metadata"]["annotations"].contains(kOverCapacity);
  if (!known.is_null() && same && api::labels_of(known) == labels && truncated == was_truncated) return plan;

  Value changed = known;
  if (known.is_null()) {
    changed = Value::object(
        {{"apiVersion", "v1"},
         {"kind", "Endpoints"},
         {"metadata", Value::object({{"name", api::name_of(service)}, {"namespace", api::namespace_of(service)}})}});
  }
  changed.mut("metadata").set("labels", labels);
  Value& annotations = changed.mut("metadata").mut("annotations");
  if (annotations.is_null()) annotations = Value::object();
  annotations.set(kTriggerTime, format_time(now));
  if (truncated) {
    annotations.set(kOverCapacity, "truncated");
  } else {
    annotations.erase(kOverCapacity);
  }
  if (subsets.empty()) {
    changed.erase("subsets");
  } else {
    changed.set("subsets", subsets);
  }
  const bool fresh = known.is_null();
  Action action = fresh ? create(kEndpoints, std::move(changed)) : update(kEndpoints, std::move(changed));
  action.failed(fresh ? service : known, kWarning, fresh ? "FailedToCreateEndpoint" : "FailedToUpdateEndpoint",
                std::string(fresh ? "Failed to create endpoint for service " : "Failed to update endpoint ") +
                    key_of(service) + ": ");
  plan.add(std::move(action));
  return plan;
}

}  // namespace berth::controllers::endpoint

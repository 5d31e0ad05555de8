#include "controllers/endpoint/mirror.h"

#include <map>

#include "base/text.h"
#include "base/time/time.h"
#include "controllers/endpoint/plan.h"

namespace berth::controllers::endpoint {
namespace {

using namespace api::resources;  // NOLINT

struct MirroredGroup {
  std::string family;
  Value ports;
  std::vector<Value> endpoints;
};

bool is_mirrored(const MirrorView& view) {
  if (view.endpoints.is_null() || view.service.is_null() || api::is_terminating(view.endpoints)) return false;
  if (!view.service["spec"]["selector"].empty() || api::label_of(view.endpoints, kSkipMirror) == "true") return false;
  // Endpoints used as leader election locks contain no addresses.
  return !view.endpoints["metadata"]["annotations"].contains("control-plane.alpha.kubernetes.io/leader");
}

Value ports_of(const Value& subset) {
  Value out = Value::array();
  for (const Value& port : subset["ports"]) {
    Value one = Value::object(
        {{"name", port["name"].as_string()}, {"port", port["port"]}, {"protocol", port["protocol"].as_string("TCP")}});
    if (!port["appProtocol"].is_null()) one.set("appProtocol", port["appProtocol"]);
    out.push(std::move(one));
  }
  return out;
}

std::map<std::string, MirroredGroup> mirror_all(const Value& endpoints) {
  std::map<std::string, MirroredGroup> out;
  for (const Value& subset : endpoints["subsets"]) {
    const Value ports = ports_of(subset);
    int count = 0;
    for (const char* list : {"addresses", "notReadyAddresses"}) {
      const bool ready = list[0] == 'a';
      for (const Value& address : subset[list]) {
        if (++count > kMirroredPerSubset) break;
        const std::string ip = address["ip"].str();
        const std::string family = ip.find(':') == std::string::npos ? "IPv4" : "IPv6";
        MirroredGroup& group = out[family + json::encode(ports)];
        group.family = family;
        group.ports = ports;
        Value one =
            Value::object({{"addresses", Value::array({ip})}, {"conditions", Value::object({{"ready", ready}})}});
        for (const char* field : {"hostname", "nodeName", "targetRef"}) {
          if (!address[field].is_null()) one.set(field, address[field]);
        }
        group.endpoints.push_back(std::move(one));
      }
    }
  }
  return out;
}

Value metadata_of(const MirrorView& view, const std::string& name, Time now) {
  const Value& endpoints = view.endpoints;
  Value labels = api::labels_of(endpoints);
  if (labels.is_null()) labels = Value::object();
  labels.set(kServiceName, api::name_of(endpoints)).set(kManagedBy, kMirrorManager);
  Value annotations = Value::object({{kTriggerTime, format_time(now)}});
  for (const auto& [key, value] : endpoints["metadata"]["annotations"].entries()) {
    if (key != "kubectl.kubernetes.io/last-applied-configuration" && key != kTriggerTime) annotations.set(key, value);
  }
  return Value::object({{"name", name},
                        {"generateName", std::string(api::name_of(endpoints)) + "-"},
                        {"namespace", api::namespace_of(endpoints)},
                        {"labels", labels},
                        {"annotations", annotations},
                        {"ownerReferences", Value::array({api::controller_reference(endpoints, "v1", "Endpoints")})}});
}

// Equal except for the time of the last change.
bool same_annotations(Value a, Value b) {
  a.erase(kTriggerTime);
  b.erase(kTriggerTime);
  return a == b;
}

}  // namespace

Plan plan_mirror(const MirrorView& view, Time now) {
  Plan plan;
  std::map<std::string, MirroredGroup> groups;
  if (is_mirrored(view)) groups = mirror_all(view.endpoints);
  for (const Value& slice : view.slices) {
    const Value ports = slice["ports"].is_null() ? Value::array() : slice["ports"];
    auto found = groups.find(slice["addressType"].str() + json::encode(ports));
    if (found == groups.end()) {
      plan.add(remove(kEndpointSlices, slice));
      continue;
    }
    const Value metadata = metadata_of(view, std::string(api::name_of(slice)), now);
    Value endpoints = Value::array(std::move(found->second.endpoints));
    groups.erase(found);
    if (slice["endpoints"] == endpoints && api::labels_of(slice) == metadata["labels"] &&
        same_annotations(slice["metadata"]["annotations"], metadata["annotations"])) {
      continue;
    }
    Value changed = slice;
    changed.set("endpoints", std::move(endpoints));
    changed.mut("metadata").set("labels", metadata["labels"]).set("annotations", metadata["annotations"]);
    plan.add(update(kEndpointSlices, std::move(changed)));
  }
  for (auto& [key, group] : groups) {
    // The name is derived from the content: a repeated plan creates no second slice.
    const std::string seed = std::string(api::uid_of(view.endpoints)) + key;
    const std::string suffix = safe_encode(std::to_string(fnv64a(seed) % 100000 + 100000)).substr(1);
    const std::string name = std::string(api::name_of(view.endpoints).substr(0, 57)) + "-" + suffix;
    Value slice = Value::object({{"apiVersion", "discovery.k8s.io/v1"},
                                 {"kind", "EndpointSlice"},
                                 {"metadata", metadata_of(view, name, now)},
                                 {"addressType", group.family},
                                 {"endpoints", Value::array(std::move(group.endpoints))},
                                 {"ports", group.ports}});
    Action action = create(kEndpointSlices, std::move(slice));
    action.failed(view.endpoints, kWarning, "FailedToCreateEndpointSlice", "Failed to create EndpointSlice: ");
    plan.add(std::move(action));
  }
  return plan;
}

}  // namespace berth::controllers::endpoint

#include "apiserver/admission/pod_resize.h"

#include <algorithm>

#include "api/containers.h"
#include "api/resource_list.h"
#include "api/status.h"
#include "base/text.h"

namespace berth::apiserver::admission {
namespace {

// Features that a node has to declare for the change of `before` to `after`.
std::vector<std::string> needed_features(const Value& before, const Value& after) {
  std::vector<std::string> out;
  const bool of_pod = after["resources"].is_object() && before["resources"] != after["resources"];
  if (of_pod) out.push_back("InPlacePodLevelResourcesVerticalScaling");
  const Value &old_inits = before["initContainers"], &inits = after["initContainers"];
  for (std::size_t i = 0; i < inits.size(); ++i) {
    if (api::is_sidecar(inits[i]) || inits[i]["resources"] == old_inits[i]["resources"]) continue;
    out.push_back("InPlacePodVerticalScalingInitContainers");
    break;
  }
  return out;
}

bool has_feature(const Value& node, const std::string& name) {
  const Value& declared = node["status"]["declaredFeatures"];
  return std::any_of(declared.begin(), declared.end(), [&](const Value& one) { return one.as_string() == name; });
}

// Requests of the pod that exceed the node's allocatable resources.
std::vector<std::string> excessive_requests(const Value& pod, const Value& node) {
  const api::ResourceList requests = api::pod_resources(pod, "requests"),
                          there = api::resource_list(node["status"]["allocatable"]);
  std::vector<std::string> out;
  for (const char* name : {"cpu", "memory"}) {
    const api::Quantity requested = api::amount_of(requests, name), most = api::amount_of(there, name);
    if (requested <= most) continue;
    out.push_back(std::string(name) + ", requested: " + std::to_string(api::shown_amount(name, requested)) +
                  ", allocatable: " + std::to_string(api::shown_amount(name, most)));
  }
  return out;
}

}  // namespace

Status check_resize(const Change& change) {
  const Request& request = change.request;
  const Value &before = change.before, &after = change.after;
  const std::string node_name = after["spec"]["nodeName"].str();
  if (request.subresource != "resize" || node_name.empty() || before["spec"] == after["spec"]) return ok_status();
  auto refuse = [&](const std::string& why, const char* cause = nullptr) {
    Error refused = api::forbidden(request.kind.resource(), request.name, why);
    if (cause == nullptr) return refused;
    ErrorDetails details = *refused.details;
    details.causes.push_back({cause, "", ""});
    refused.details = std::make_shared<const ErrorDetails>(std::move(details));
    return refused;
  };
  const store::RecordPtr node = request.objects.find(api::resources::kNodes, "", node_name);
  if (!node) return refuse("node " + quoted(node_name) + " not found");
  std::vector<std::string> missing = needed_features(before["spec"], after["spec"]);
  std::erase_if(missing, [&](const std::string& name) { return has_feature(node->value, name); });
  if (!missing.empty()) {
    return refuse("pod update requires features " + join(missing, ", ") + " which are not available on node " +
                  quoted(node_name));
  }
  const std::string_view system = node->value["metadata"]["labels"]["kubernetes.io/os"].as_string("linux");
  if (system != "linux") {
    return refuse("pod resize is only supported on linux nodes, node " + quoted(node_name) + " is " + quoted(system),
                  "UnsupportedPlatform");
  }
  const std::vector<std::string> too_much = excessive_requests(after, node->value);
  if (too_much.empty()) return ok_status();
  return refuse("node didn't have enough allocatable resources: " + join(too_much, "; "), "NodeCapacity");
}

}  // namespace berth::apiserver::admission

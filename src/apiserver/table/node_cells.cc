#include <algorithm>

#include "api/object.h"
#include "apiserver/table/printers.h"
#include "base/text.h"

namespace berth::apiserver::table {
namespace {

std::string status_text(const Value& node) {
  std::string text = "Unknown";
  if (const Value& ready = api::condition_of(node, "Ready"); ready.is_object()) {
    text = ready["status"].as_string() == "True" ? "Ready" : "NotReady";
  }
  if (node["spec"]["unschedulable"].as_bool()) text += ",SchedulingDisabled";
  return text;
}

std::string roles_text(const Value& node) {
  constexpr std::string_view kPrefix = "node-role.kubernetes.io/";
  std::vector<std::string> roles;
  for (auto [key, value] : api::labels_of(node).entries()) {
    if (key.starts_with(kPrefix) && key.size() > kPrefix.size()) roles.emplace_back(key.substr(kPrefix.size()));
    if (key == "kubernetes.io/role" && !value.as_string().empty()) roles.push_back(value.str());
  }
  std::sort(roles.begin(), roles.end());
  return roles.empty() ? "<none>" : join(roles, ",");
}

std::string address_text(const Value& node, std::string_view type) {
  for (const Value& address : node["status"]["addresses"]) {
    if (address["type"].as_string() == type) return address["address"].str();
  }
  return "<none>";
}

Value unknown_if_empty(std::string_view text) { return text.empty() ? Value("<unknown>") : Value(text); }

}  // namespace

Value node_cells(const Value& node, Time now) {
  const Value& info = node["status"]["nodeInfo"];
  return Value::array({api::name_of(node), status_text(node), roles_text(node), age_of(node, now),
                       info["kubeletVersion"].as_string(), address_text(node, "InternalIP"),
                       address_text(node, "ExternalIP"), unknown_if_empty(info["osImage"].as_string()),
                       unknown_if_empty(info["kernelVersion"].as_string()),
                       unknown_if_empty(info["containerRuntimeVersion"].as_string())});
}

}  // namespace berth::apiserver::table

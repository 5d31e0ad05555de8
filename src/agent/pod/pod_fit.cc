#include "agent/pod/pod_fit.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "agent/pod/plan.h"
#include "api/containers.h"
#include "api/object.h"
#include "controllers/shared/node_selector.h"
#include "controllers/shared/taints.h"

namespace berth::agent {
namespace {

PodRejection short_of(std::string_view resource, std::int64_t requested, std::int64_t used, std::int64_t capacity) {
  const std::string name(resource);
  return {"OutOf" + name, "Node didn't have enough resource: " + name + ", requested: " + std::to_string(requested) +
                              ", used: " + std::to_string(used) + ", capacity: " + std::to_string(capacity)};
}

PodRejection failed(const std::string& predicate, const std::string& why) {
  return {predicate, "Predicate " + predicate + " failed: " + why};
}

std::optional<PodRejection> reject_amounts(const api::ResourceList& wanted, const NodeRoom& room) {
  const auto count = static_cast<std::int64_t>(room.pods.size()),
             most = api::amount_of(room.allocatable, "pods").value();
  if (count + 1 > most) return short_of("pods", 1, count, most);
  const api::ResourceList used = room.used();
  auto look_at = [&](std::string_view name) -> std::optional<PodRejection> {
    const api::Quantity asked = api::amount_of(wanted, name), taken = api::amount_of(used, name),
                        there = api::amount_of(room.allocatable, name);
    if (asked.sign() <= 0 || asked + taken <= there) return std::nullopt;
    return short_of(name, api::shown_amount(name, asked), api::shown_amount(name, taken),
                    api::shown_amount(name, there));
  };
  for (const char* name : {"cpu", "memory", "ephemeral-storage"}) {
    if (auto no = look_at(name)) return no;
  }
  for (const auto& [name, quantity] : wanted) {
    // Resources that the node does not report are not checked.
    const bool ordinary = name == "cpu" || name == "memory" || name == "ephemeral-storage";
    if (ordinary || !room.allocatable.contains(name)) continue;
    if (auto no = look_at(name)) return no;
  }
  return std::nullopt;
}

bool chosen(const Value& spec, const Value& object) {
  for (const auto& [key, value] : spec["nodeSelector"].entries()) {
    const Value* found = api::labels_of(object).find(key);
    if (!found || *found != value) return false;
  }
  return controllers::matches_node_selector(
      spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"], object);
}

void add_host_ports(const Value& container, std::vector<Value>& to) {
  for (const Value& port : container["ports"]) {
    if (port["hostPort"].as_int() > 0) to.push_back(port);
  }
}

bool clash(const Value& a, const Value& b) {
  if (a["hostPort"].as_int() != b["hostPort"].as_int() ||
      a["protocol"].as_string("TCP") != b["protocol"].as_string("TCP"))
    return false;
  auto address = [](const Value& port) {
    std::string_view ip = port["hostIP"].as_string();
    return ip.empty() ? std::string_view("0.0.0.0") : ip;
  };
  return address(a) == address(b) || address(a) == "0.0.0.0" || address(b) == "0.0.0.0";
}

bool ports_free(const std::vector<Value>& ours, const NodeRoom& room) {
  return std::none_of(room.pods.begin(), room.pods.end(), [&ours](const auto& other) {
    return std::find_first_of(ours.begin(), ours.end(), other->host_ports.begin(), other->host_ports.end(), clash) !=
           ours.end();
  });
}

bool driven_out(const Value& spec, const Value& object) {
  for (const Value& taint : object["spec"]["taints"]) {
    if (taint["effect"].as_string() == controllers::kNoExecute && !controllers::tolerated(spec["tolerations"], taint))
      return true;
  }
  return false;
}

}  // namespace

PodRoom room_of(const Value& pod) {
  PodRoom out{api::pod_resources(pod, "requests"), {}};
  const Value& spec = pod["spec"];
  // An init container's port is free when the container has ended.
  for (const Value& container : spec["initContainers"]) {
    if (api::is_sidecar(container)) add_host_ports(container, out.host_ports);
  }
  for (const Value& container : spec["containers"]) add_host_ports(container, out.host_ports);
  return out;
}

api::ResourceList NodeRoom::used() const {
  api::ResourceList sum;
  for (const auto& pod : pods) api::add(sum, pod->requests);
  return sum;
}

std::optional<PodRejection> reject_unfit(const Value& pod, const NodeRoom& room) {
  const PodRoom wanted = room_of(pod);
  if (auto no = reject_amounts(wanted.requests, room)) return no;
  const bool known = !room.node.is_null();
  if (known && !chosen(pod["spec"], room.node))
    return failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  if (!ports_free(wanted.host_ports, room))
    return failed("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  if (known && driven_out(pod["spec"], room.node))
    return failed("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  return std::nullopt;
}

}  // namespace berth::agent

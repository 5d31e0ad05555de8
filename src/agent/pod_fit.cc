#include "agent/pod_fit.h"

#include <string>
#include <string_view>

#include "agent/plan.h"
#include "api/object.h"
#include "controllers/node/taints.h"
#include "controllers/volume/node_selector.h"

namespace berth::agent {
namespace {

namespace node = controllers::node;

PodRejection short_of(std::string_view resource, std::int64_t requested, std::int64_t used, std::int64_t capacity) {
  const std::string name(resource);
  return {"OutOf" + name, "Node didn't have enough resource: " + name + ", requested: " + std::to_string(requested) + ", used: " +
                              std::to_string(used) + ", capacity: " + std::to_string(capacity)};
}

PodRejection failed(const std::string& predicate, const std::string& why) { return {predicate, "Predicate " + predicate + " failed: " + why}; }

std::optional<PodRejection> reject_amounts(const Value& pod, const NodeRoom& room) {
  const auto count = static_cast<std::int64_t>(room.pods.size()), most = api::amount_of(room.allocatable, "pods").value();
  if (count + 1 > most) return short_of("pods", 1, count, most);
  const api::ResourceList wanted = api::pod_resources(pod, "requests");
  api::ResourceList used;
  for (const Value& other : room.pods) api::add(used, api::pod_resources(other, "requests"));
  auto look_at = [&](std::string_view name) -> std::optional<PodRejection> {
    const Quantity asked = api::amount_of(wanted, name), taken = api::amount_of(used, name), there = api::amount_of(room.allocatable, name);
    if (asked.sign() <= 0 || asked + taken <= there) return std::nullopt;
    return short_of(name, api::shown_amount(name, asked), api::shown_amount(name, taken), api::shown_amount(name, there));
  };
  for (const char* name : {"cpu", "memory", "ephemeral-storage"}) {
    if (auto no = look_at(name)) return no;
  }
  for (const auto& [name, quantity] : wanted) {
    // What the node does not have at all is somebody else's to provide.
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
  return controllers::volume::matches_node_selector(spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"], object);
}

std::vector<const Value*> host_ports(const Value& pod) {
  std::vector<const Value*> out;
  for (const char* list : {"initContainers", "containers"}) {
    for (const Value& container : pod["spec"][list]) {
      // An init container's port is free again, unless it goes on beside the others.
      if (list[0] == 'i' && container["restartPolicy"].as_string() != "Always") continue;
      for (const Value& port : container["ports"]) {
        if (port["hostPort"].as_int() > 0) out.push_back(&port);
      }
    }
  }
  return out;
}

bool clash(const Value& a, const Value& b) {
  if (a["hostPort"].as_int() != b["hostPort"].as_int() || a["protocol"].as_string("TCP") != b["protocol"].as_string("TCP")) return false;
  auto address = [](const Value& port) {
    std::string_view ip = port["hostIP"].as_string();
    return ip.empty() ? std::string_view("0.0.0.0") : ip;
  };
  return address(a) == address(b) || address(a) == "0.0.0.0" || address(b) == "0.0.0.0";
}

bool ports_free(const Value& pod, const NodeRoom& room) {
  const std::vector<const Value*> ours = host_ports(pod);
  if (ours.empty()) return true;
  for (const Value& other : room.pods) {
    for (const Value* theirs : host_ports(other)) {
      for (const Value* one : ours) {
        if (clash(*one, *theirs)) return false;
      }
    }
  }
  return true;
}

bool driven_out(const Value& spec, const Value& object) {
  for (const Value& taint : object["spec"]["taints"]) {
    if (taint["effect"].as_string() == node::kNoExecute && !node::tolerated(spec["tolerations"], taint)) return true;
  }
  return false;
}

}  // namespace

std::optional<PodRejection> reject_unfit(const Value& pod, const NodeRoom& room) {
  if (auto no = reject_amounts(pod, room)) return no;
  const bool known = !room.node.is_null();
  if (known && !chosen(pod["spec"], room.node)) return failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
  if (!ports_free(pod, room)) return failed("NodePorts", "node(s) didn't have free ports for the requested pod ports");
  if (known && driven_out(pod["spec"], room.node)) return failed("TaintToleration", "node(s) had taints that the pod didn't tolerate");
  return std::nullopt;
}

}  // namespace berth::agent

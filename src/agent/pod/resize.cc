#include "agent/pod/resize.h"

#include <algorithm>

namespace berth::agent {
namespace {

Value only(const Value& resources, const char* which) {
  return resources[which].is_object() ? resources[which] : Value::object();
}

bool differs(const Value& from, const Value& to, const char* resource) {
  for (const char* which : {"requests", "limits"}) {
    if (api::amount_of(api::resource_list(from[which]), resource) !=
        api::amount_of(api::resource_list(to[which]), resource))
      return true;
  }
  return false;
}

std::int64_t larger_limit(std::int64_t a, std::int64_t b) { return a == 0 || b == 0 ? 0 : std::max(a, b); }

}  // namespace

Value grant_of(const Value& spec) {
  Value containers = Value::object();
  for (const char* list : {"containers", "initContainers"}) {
    for (const Value& container : spec[list]) {
      if (container["resources"].is_object()) containers.set(container["name"].as_string(), container["resources"]);
    }
  }
  Value out = Value::object({{"containers", std::move(containers)}});
  if (spec["resources"].is_object()) out.set("pod", spec["resources"]);
  return out;
}

Value with_grant(Value pod, const Value& grant) {
  if (!grant.is_object() || grant_of(pod["spec"]) == grant) return pod;
  Value& spec = pod.mut("spec");
  auto put = [](Value& owner, const Value& resources) {
    if (resources.is_object()) {
      owner.set("resources", resources);
    } else if (owner.contains("resources")) {
      owner.erase("resources");
    }
  };
  put(spec, grant["pod"]);
  for (const char* list : {"containers", "initContainers"}) {
    for (std::size_t i = 0; i < spec[list].size(); ++i) {
      const std::string name = spec[list][i]["name"].str();
      put(spec.mut(list).mut(i), grant["containers"][name]);
    }
  }
  return pod;
}

const Value& granted_to(const PodRecord& record, const Value& container) {
  if (!record.granted.is_object()) return container["resources"];
  const Value* granted = record.granted["containers"].find(container["name"].as_string());
  return granted == nullptr ? container["resources"] : *granted;
}

const Value& in_force_for(const PodRecord& record, const Value& container) {
  const ContainerRecord& r = record.at(container["name"].as_string());
  return r.in_force.is_object() ? r.in_force : granted_to(record, container);
}

bool resize_restarts(const Value& container, const Value& from, const Value& to) {
  const Value& policies = container["resizePolicy"];
  return std::any_of(policies.begin(), policies.end(), [&](const Value& policy) {
    return policy["restartPolicy"].as_string() == "RestartContainer" &&
           differs(from, to, policy["resourceName"].str().c_str());
  });
}

std::optional<ResizeRefusal> refuse_resize(const Value& pod, const api::ResourceList& allocatable,
                                           const api::ResourceList& used) {
  const api::ResourceList wanted = api::pod_resources(pod, "requests");
  for (const char* name : {"memory", "cpu"}) {
    const api::Quantity asked = api::amount_of(wanted, name), there = api::amount_of(allocatable, name);
    if (asked <= there) continue;
    return ResizeRefusal{"Infeasible", "Node didn't have enough capacity: " + std::string(name) +
                                           ", requested: " + std::to_string(api::shown_amount(name, asked)) +
                                           ", capacity: " + std::to_string(api::shown_amount(name, there))};
  }
  for (const char* name : {"cpu", "memory"}) {
    const api::Quantity asked = api::amount_of(wanted, name), there = api::amount_of(allocatable, name),
                        taken = api::amount_of(used, name);
    if (asked.sign() == 0 || asked + taken <= there) continue;
    return ResizeRefusal{"Deferred", "Node didn't have enough resource: " + std::string(name) +
                                         ", requested: " + std::to_string(api::shown_amount(name, asked)) +
                                         ", used: " + std::to_string(api::shown_amount(name, taken)) +
                                         ", capacity: " + std::to_string(api::shown_amount(name, there))};
  }
  return std::nullopt;
}

Limits larger(const Limits& a, const Limits& b) {
  Limits out;
  out.cpu_milli_limit = larger_limit(a.cpu_milli_limit, b.cpu_milli_limit);
  out.memory_bytes = larger_limit(a.memory_bytes, b.memory_bytes);
  out.pids = larger_limit(a.pids, b.pids);
  out.cpu_milli_request = std::max(a.cpu_milli_request, b.cpu_milli_request);
  return out;
}

std::string resize_text(std::string_view what, const Value& pod, const Value& grant, const std::string& failure) {
  Value told = Value::object();
  for (const char* list : {"initContainers", "containers"}) {
    for (const Value& container : pod["spec"][list]) {
      const Value& resources = grant["containers"][container["name"].as_string()];
      Value shown = Value::object();
      for (const char* which : {"limits", "requests"}) {
        if (!resources[which].empty()) shown.set(which, only(resources, which));
      }
      told.mut(list).push(Value::object({{"name", container["name"]}, {"resources", std::move(shown)}}));
    }
  }
  told.set("generation", pod["metadata"]["generation"]);
  if (!failure.empty()) told.set("error", failure);
  return "Pod resize " + std::string(what) + ": " + json::encode(told);
}

}  // namespace berth::agent

#include "api/resource_list.h"

#include "api/containers.h"

namespace berth::api {

bool is_pod_level(std::string_view resource) {
  return resource == "cpu" || resource == "memory" || resource.starts_with("hugepages-");
}

Quantity amount_of(const ResourceList& list, std::string_view resource) {
  auto found = list.find(resource);
  return found == list.end() ? Quantity() : found->second;
}

std::int64_t shown_amount(std::string_view resource, const Quantity& amount) {
  return resource == "cpu" ? amount.milli_value() : amount.value();
}

ResourceList resource_list(const Value& map) {
  ResourceList out;
  for (auto [name, amount] : map.entries()) {
    Result<Quantity> quantity =
        amount.is_int() ? Result<Quantity>(Quantity::of(amount.as_int())) : Quantity::parse(amount.as_string());
    if (quantity.ok()) out.emplace(std::string(name), *quantity);
  }
  return out;
}

Value to_value(const ResourceList& list) {
  Value out = Value::object();
  for (const auto& [name, amount] : list) out.set(name, amount.to_string());
  return out;
}

void add(ResourceList& to, const ResourceList& from) {
  for (const auto& [name, amount] : from) {
    auto [at, fresh] = to.emplace(name, amount);
    if (!fresh) at->second = at->second + amount;
  }
}

void raise(ResourceList& to, const ResourceList& from) {
  for (const auto& [name, amount] : from) {
    auto [at, fresh] = to.emplace(name, amount);
    if (!fresh && at->second < amount) at->second = amount;
  }
}

bool has_pod_level_resources(const Value& pod) {
  for (const char* which : {"requests", "limits"}) {
    for (auto [name, amount] : pod["spec"]["resources"][which].entries()) {
      if (is_pod_level(name)) return true;
    }
  }
  return false;
}

ResourceList container_resources(const Value& spec, std::string_view which) {
  ResourceList total, sidecars, start;
  for (const Value& container : spec["containers"]) add(total, resource_list(container["resources"][which]));
  for (const Value& container : spec["initContainers"]) {
    ResourceList mine = resource_list(container["resources"][which]);
    if (is_sidecar(container)) {
      add(total, mine);
      add(sidecars, mine);
      mine = sidecars;
    } else {
      add(mine, sidecars);
    }
    raise(start, mine);
  }
  raise(total, start);
  return total;
}

ResourceList pod_resources(const Value& pod, std::string_view which) {
  const Value& spec = pod["spec"];
  ResourceList total = container_resources(spec, which);
  for (const auto& [name, amount] : resource_list(spec["resources"][which])) {
    if (is_pod_level(name)) total[name] = amount;
  }
  for (const auto& [name, amount] : resource_list(spec["overhead"])) {
    auto at = total.find(name);
    if (at != total.end()) {
      at->second = at->second + amount;
    } else if (which == "requests") {
      total.emplace(name, amount);
    }
  }
  return total;
}

}  // namespace berth::api

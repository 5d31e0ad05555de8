#include "apiserver/registry/indexes/service_addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <map>
#include <set>

#include "api/plain_error.h"
#include "api/status.h"
#include "base/text.h"

namespace berth::apiserver::registry {
namespace {

std::uint32_t to_number(const std::string& ip) {
  in_addr address{};
  return ::inet_pton(AF_INET, ip.c_str(), &address) == 1 ? ntohl(address.s_addr) : 0;
}

std::string to_text(std::uint32_t ip) {
  return std::to_string(ip >> 24) + "." + std::to_string((ip >> 16) & 255) + "." + std::to_string((ip >> 8) & 255) +
         "." + std::to_string(ip & 255);
}

bool wants_ip(const Value& spec) {
  const std::string_view type = spec["type"].as_string();
  return type == "ClusterIP" || type == "NodePort" || type == "LoadBalancer";
}
bool wants_ports(const Value& spec) {
  if (spec["type"].as_string() == "NodePort") return true;
  return spec["type"].as_string() == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"].as_bool(true);
}

// A dry run allocates nothing, and its numbers are no promise: upstream counts up from a number that no range has.
constexpr int kFirstProposed = 32769;

template <class T>
bool contains(const std::vector<T>& numbers, T number) {
  return std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

// The numbers that a Service has, each once.
ServiceAddresses::Allocation held_by(const Value& service) {
  ServiceAddresses::Allocation held;
  const Value& spec = service["spec"];
  if (const std::uint32_t ip = to_number(spec["clusterIP"].str()); ip != 0) held.ips.push_back(ip);
  auto add = [&](const Value& number) {
    if (const auto port = static_cast<int>(number.as_int()); port > 0 && !contains(held.ports, port))
      held.ports.push_back(port);
  };
  for (const Value& port : spec["ports"]) add(port["nodePort"]);
  add(spec["healthCheckNodePort"]);
  return held;
}

}  // namespace

bool has_node_ports(const Value& spec) {
  const std::string_view type = spec["type"].as_string();
  return type == "NodePort" || type == "LoadBalancer";
}

bool has_health_port(const Value& spec) {
  return spec["type"].as_string() == "LoadBalancer" && spec["externalTrafficPolicy"].as_string() == "Local";
}

ServiceAddresses::ServiceAddresses(const std::string& cidr, int first_port, int last_port)
    : first_port_(first_port), last_port_(last_port) {
  Cut parts = cut(cidr, "/");
  base_ = to_number(std::string(parts.before));
  size_ = std::uint32_t{1} << (32 - parse_int(parts.after).value());
}

std::string ServiceAddresses::address(std::uint32_t offset) const { return to_text(base_ + offset); }

void ServiceAddresses::record(const Value& service) {
  const Allocation held = held_by(service);
  for (std::uint32_t ip : held.ips) ips_.add(ip);
  for (int port : held.ports) ports_.add(port);
}

void ServiceAddresses::release_allocation(const Allocation& allocation) {
  for (std::uint32_t ip : allocation.ips) ips_.remove(ip);
  for (int port : allocation.ports) ports_.remove(port);
}

void ServiceAddresses::release(const Value& service) { release_allocation(held_by(service)); }

void ServiceAddresses::release_former(const Value& before, const Value& after) {
  Allocation former = held_by(before);
  const Allocation held = held_by(after);
  std::erase_if(former.ips, [&](std::uint32_t ip) { return contains(held.ips, ip); });
  std::erase_if(former.ports, [&](int port) { return contains(held.ports, port); });
  release_allocation(former);
}

void ServiceAddresses::hold_rest(const Value& before, const Value& service, Allocation& allocation) {
  const Allocation former = held_by(before), held = held_by(service);
  for (std::uint32_t ip : held.ips) {
    if (contains(former.ips, ip) || contains(allocation.ips, ip)) continue;
    ips_.add(ip);
    allocation.ips.push_back(ip);
  }
  for (int port : held.ports) {
    if (contains(former.ports, port) || contains(allocation.ports, port)) continue;
    ports_.add(port);
    allocation.ports.push_back(port);
  }
}

bool ServiceAddresses::allocate_ip(Value& spec, std::uint64_t chance, Allocation& allocation,
                                   std::vector<Cause>& problem) {
  std::string wanted = spec["clusterIP"].str();
  if (wanted == "None") return true;
  if (!wanted.empty()) {
    std::uint32_t ip = to_number(wanted);
    if (!inside(ip)) {
      problem.push_back(api::invalid_value(
          "spec.clusterIPs", Value::array({wanted}),
          "failed to allocate IP " + wanted + ": the provided network does not match the current range"));
      return false;
    }
    if (!ips_.claim(ip)) {
      problem.push_back(api::invalid_value("spec.clusterIPs", Value::array({wanted}),
                                           "failed to allocate IP " + wanted + ": provided IP is already allocated"));
      return false;
    }
    allocation.ips.push_back(ip);
    return true;
  }
  // The first 256 (the lower band) are left to Services that name their address.
  std::uint32_t low = size_ > 1024 ? 256 : 2;
  std::uint32_t span = size_ - 1 - low;
  for (std::uint32_t tried = 0; tried < span; ++tried) {
    std::uint32_t ip = base_ + low + static_cast<std::uint32_t>((chance + tried) % span);
    if (!ips_.claim(ip)) continue;
    allocation.ips.push_back(ip);
    spec.set("clusterIP", to_text(ip));
    return true;
  }
  problem.push_back(
      api::invalid_value("spec.clusterIPs", Value::array({}), "failed to allocate a serviceIP: range is full"));
  return false;
}

bool ServiceAddresses::allocate_address(Value& spec, std::uint64_t chance, Allocation& allocation,
                                        std::vector<Cause>& problem) {
  if (!wants_ip(spec)) return true;
  if (!allocate_ip(spec, chance, allocation, problem)) return false;
  if (spec["clusterIPs"].empty()) spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
  return true;
}

bool ServiceAddresses::allocate_port(int wanted, Allocation& allocation, std::string& problem) {
  if (!allocation.dry_run && (wanted < first_port_ || wanted > last_port_)) {
    problem = "provided port is not in the valid range. The range of valid ports is " + std::to_string(first_port_) +
              "-" + std::to_string(last_port_);
    return false;
  }
  if (!ports_.claim(wanted)) {
    problem = "provided port is already allocated";
    return false;
  }
  allocation.ports.push_back(wanted);
  return true;
}

int ServiceAddresses::allocate_any_port(std::uint64_t chance, Allocation& allocation) {
  if (allocation.dry_run) {
    const int proposed = allocation.ports.empty()
                             ? kFirstProposed
                             : *std::max_element(allocation.ports.begin(), allocation.ports.end()) + 1;
    ports_.add(proposed);
    allocation.ports.push_back(proposed);
    return proposed;
  }
  const int span = last_port_ - first_port_ + 1;
  for (int tried = 0; tried < span; ++tried) {
    const int candidate =
        first_port_ + static_cast<int>((chance + static_cast<std::uint64_t>(tried)) % static_cast<std::uint64_t>(span));
    if (!ports_.claim(candidate)) continue;
    allocation.ports.push_back(candidate);
    return candidate;
  }
  return 0;
}

bool ServiceAddresses::allocate_ports(Value& spec, std::uint64_t chance, Allocation& allocation,
                                      std::vector<Cause>& problem) {
  // One port of several protocols has one number.
  std::map<std::int64_t, int> by_port;
  for (std::size_t i = 0; i < spec["ports"].size(); ++i) {
    const int wanted = static_cast<int>(spec["ports"][i]["nodePort"].as_int());
    const std::int64_t port = spec["ports"][i]["port"].as_int();
    const std::string path = "spec.ports[" + std::to_string(i) + "].nodePort";
    auto shared = by_port.find(port);
    if (wanted != 0) {
      if (shared != by_port.end() && shared->second == wanted) continue;
      if (std::string refused; !allocate_port(wanted, allocation, refused)) {
        problem.push_back(api::invalid_value(path, wanted, refused));
        return false;
      }
      by_port.emplace(port, wanted);
      continue;
    }
    int found = shared != by_port.end() ? shared->second : 0;
    if (found == 0) {
      found = allocate_any_port(chance + i, allocation);
      if (found == 0) {
        problem.push_back(api::invalid_value(path, 0, "failed to allocate a nodePort: range is full"));
        return false;
      }
    }
    by_port.emplace(port, found);
    spec.mut("ports").mut(i).set("nodePort", found);
  }
  return true;
}

bool ServiceAddresses::allocate_health_port(Value& spec, std::uint64_t chance, Allocation& allocation,
                                            std::vector<Cause>& problem) {
  constexpr const char* kPath = "spec.healthCheckNodePort";
  if (!has_health_port(spec)) return true;
  if (const auto wanted = static_cast<int>(spec["healthCheckNodePort"].as_int()); wanted != 0) {
    std::string refused;
    if (allocate_port(wanted, allocation, refused)) return true;
    problem.push_back(api::invalid_value(kPath, wanted, refused));
    return false;
  }
  const int found = allocate_any_port(chance, allocation);
  if (found == 0) {
    problem.push_back(api::invalid_value(kPath, 0, "failed to allocate a nodePort: range is full"));
    return false;
  }
  spec.set("healthCheckNodePort", found);
  return true;
}

bool ServiceAddresses::allocate(Value& service, std::uint64_t chance, bool dry_run, Allocation& allocation,
                                std::vector<Cause>& problem) {
  Allocation health{.dry_run = dry_run};
  allocation = {.dry_run = dry_run};
  Value& spec = service.mut("spec");
  const bool found = allocate_address(spec, chance, allocation, problem) &&
                     (!wants_ports(spec) || allocate_ports(spec, chance >> 20, allocation, problem)) &&
                     allocate_health_port(spec, chance >> 40, health, problem);
  finish(Value(), service, found, std::move(health), allocation);
  return found;
}

Status ServiceAddresses::update(const Value& before, Value& service, std::uint64_t chance, bool dry_run,
                                Allocation& allocation) {
  Allocation health{.dry_run = dry_run};
  allocation = {.dry_run = dry_run};
  Status status = allocate_changes(before, service, chance, allocation);
  if (status.ok()) status = allocate_changed_health_port(before, service.mut("spec"), chance >> 40, health);
  finish(before, service, status.ok(), std::move(health), allocation);
  return status;
}

void ServiceAddresses::finish(const Value& before, const Value& service, bool accepted, Allocation health,
                              Allocation& allocation) {
  allocation.ports.insert(allocation.ports.end(), health.ports.begin(), health.ports.end());
  if (accepted && !allocation.dry_run) return hold_rest(before, service, allocation);
  release_allocation(allocation);
  allocation = {};
}

Status ServiceAddresses::allocate_changes(const Value& before, Value& service, std::uint64_t chance,
                                          Allocation& allocation) {
  Value& spec = service.mut("spec");
  if (std::vector<Cause> problem;
      before["spec"]["clusterIP"].as_string().empty() && !allocate_address(spec, chance, allocation, problem)) {
    return api::invalid("", "Service", api::name_of(service), std::move(problem));
  }
  return allocate_changed_ports(before, service, chance >> 20, allocation);
}

Status ServiceAddresses::allocate_changed_ports(const Value& before, Value& service, std::uint64_t chance,
                                                Allocation& allocation) {
  Value& spec = service.mut("spec");
  if (!has_node_ports(spec)) return ok_status();
  std::set<std::int64_t> known;
  for (const Value& port : before["spec"]["ports"]) known.insert(port["nodePort"].as_int());
  std::set<std::pair<std::string, std::int64_t>> named;
  for (std::size_t i = 0; i < spec["ports"].size(); ++i) {
    auto number = static_cast<int>(spec["ports"][i]["nodePort"].as_int());
    if (number == 0 && !wants_ports(spec)) continue;
    if (number == 0) {
      number = allocate_any_port(chance + i, allocation);
      if (number == 0) return api::internal_error("failed to allocate a nodePort: range is full");
      spec.mut("ports").mut(i).set("nodePort", number);
    } else if (known.insert(number).second) {
      std::string problem;
      if (!allocate_port(number, allocation, problem)) {
        return api::invalid("", "Service", api::name_of(service),
                            {api::invalid_value("spec.ports[" + std::to_string(i) + "].nodePort", number, problem)});
      }
    }
    const std::string protocol = spec["ports"][i]["protocol"].str();
    if (!named.emplace(protocol, number).second)
      return api::plain_error("duplicate nodePort: {" + protocol + " " + std::to_string(number) + "}");
  }
  return ok_status();
}

Status ServiceAddresses::allocate_changed_health_port(const Value& before, Value& spec, std::uint64_t chance,
                                                      Allocation& allocation) {
  if (has_health_port(before["spec"]) || !has_health_port(spec)) return ok_status();
  if (const auto wanted = static_cast<int>(spec["healthCheckNodePort"].as_int()); wanted != 0) {
    std::string problem;
    if (allocate_port(wanted, allocation, problem)) return ok_status();
    return api::internal_error("failed to allocate requested HealthCheck NodePort " + std::to_string(wanted) + ": " +
                               problem);
  }
  const int found = allocate_any_port(chance, allocation);
  if (found == 0) return api::internal_error("failed to allocate a HealthCheck NodePort 0: range is full");
  spec.set("healthCheckNodePort", found);
  return ok_status();
}

}  // namespace berth::apiserver::registry

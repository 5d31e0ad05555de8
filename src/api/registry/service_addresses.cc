#include "api/registry/service_addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <map>

#include "api/plain_error.h"
#include "api/status.h"
#include "base/text.h"

namespace berth::registry {
namespace {

std::uint32_t to_number(const std::string& ip) {
  in_addr address{};
  return ::inet_pton(AF_INET, ip.c_str(), &address) == 1 ? ntohl(address.s_addr) : 0;
}

std::string to_text(std::uint32_t ip) {
  return std::to_string(ip >> 24) + "." + std::to_string((ip >> 16) & 255) + "." + std::to_string((ip >> 8) & 255) + "." + std::to_string(ip & 255);
}

bool wants_ip(const Value& spec) {
  const std::string_view type = spec["type"].as_string();
  return type == "ClusterIP" || type == "NodePort" || type == "LoadBalancer";
}
bool wants_health_port(const Value& spec) { return spec["type"].as_string() == "LoadBalancer" && spec["externalTrafficPolicy"].as_string() == "Local"; }
bool wants_ports(const Value& spec) {
  if (spec["type"].as_string() == "NodePort") return true;
  return spec["type"].as_string() == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"].as_bool(true);
}

// Of a dry run nothing is kept, and its numbers are no promise: upstream counts up from one that no range has.
constexpr int kFirstProposed = 32769;

}  // namespace

ServiceAddresses::ServiceAddresses(const std::string& cidr, int first_port, int last_port) : first_port_(first_port), last_port_(last_port) {
  Cut parts = cut(cidr, "/");
  base_ = to_number(std::string(parts.before));
  size_ = std::uint32_t{1} << (32 - parse_int(parts.after).value());
}

std::string ServiceAddresses::address(std::uint32_t offset) const { return to_text(base_ + offset); }

void ServiceAddresses::note(const Value& service) {
  if (std::uint32_t ip = to_number(service["spec"]["clusterIP"].str()); ip != 0) ips_.insert(ip);
  for (const Value& port : service["spec"]["ports"]) {
    if (port["nodePort"].as_int() > 0) ports_.insert(static_cast<int>(port["nodePort"].as_int()));
  }
  if (const std::int64_t health = service["spec"]["healthCheckNodePort"].as_int(); health > 0) ports_.insert(static_cast<int>(health));
}

void ServiceAddresses::release(const Value& service) {
  if (std::uint32_t ip = to_number(service["spec"]["clusterIP"].str()); ip != 0) ips_.erase(ip);
  for (const Value& port : service["spec"]["ports"]) ports_.erase(static_cast<int>(port["nodePort"].as_int()));
  ports_.erase(static_cast<int>(service["spec"]["healthCheckNodePort"].as_int()));
}

bool ServiceAddresses::take_ip(Value& spec, std::uint64_t chance, std::vector<Cause>& problem) {
  std::string wanted = spec["clusterIP"].str();
  if (wanted == "None") return true;
  if (!wanted.empty()) {
    std::uint32_t ip = to_number(wanted);
    if (!inside(ip)) {
      problem.push_back(api::invalid_value("spec.clusterIPs", Value::array({wanted}),
                                           "failed to allocate IP " + wanted + ": the provided network does not match the current range"));
      return false;
    }
    if (!ips_.insert(ip).second) {
      problem.push_back(api::invalid_value("spec.clusterIPs", Value::array({wanted}),
                                           "failed to allocate IP " + wanted + ": provided IP is already allocated"));
      return false;
    }
    return true;
  }
  // The first 256 (the lower band) are left to those who ask for an address by name.
  std::uint32_t low = size_ > 1024 ? 256 : 2;
  std::uint32_t span = size_ - 1 - low;
  for (std::uint32_t tried = 0; tried < span; ++tried) {
    std::uint32_t ip = base_ + low + static_cast<std::uint32_t>((chance + tried) % span);
    if (!ips_.insert(ip).second) continue;
    spec.set("clusterIP", to_text(ip));
    return true;
  }
  problem.push_back(api::invalid_value("spec.clusterIPs", Value::array({}), "failed to allocate a serviceIP: range is full"));
  return false;
}

bool ServiceAddresses::take_port(int wanted, const std::string& path, std::vector<Cause>& problem) {
  if (wanted < first_port_ || wanted > last_port_) {
    problem.push_back(api::invalid_value(path, wanted, "provided port is not in the valid range. The range of valid ports is " +
                                                           std::to_string(first_port_) + "-" + std::to_string(last_port_)));
    return false;
  }
  if (ports_.insert(wanted).second) return true;
  problem.push_back(api::invalid_value(path, wanted, "provided port is already allocated"));
  return false;
}

int ServiceAddresses::any_port(std::uint64_t chance) {
  const int span = last_port_ - first_port_ + 1;
  for (int tried = 0; tried < span; ++tried) {
    const int candidate = first_port_ + static_cast<int>((chance + static_cast<std::uint64_t>(tried)) % static_cast<std::uint64_t>(span));
    if (ports_.insert(candidate).second) return candidate;
  }
  return 0;
}

bool ServiceAddresses::take_ports(Value& spec, std::uint64_t chance, std::vector<Cause>& problem) {
  std::vector<int> taken;
  auto undo = [&] {
    for (int number : taken) ports_.erase(number);
    return false;
  };
  // One port of several protocols has one number.
  std::map<std::int64_t, int> by_port;
  for (std::size_t i = 0; i < spec["ports"].size(); ++i) {
    const int wanted = static_cast<int>(spec["ports"][i]["nodePort"].as_int());
    const std::int64_t port = spec["ports"][i]["port"].as_int();
    const std::string path = "spec.ports[" + std::to_string(i) + "].nodePort";
    auto shared = by_port.find(port);
    if (wanted != 0) {
      if (shared != by_port.end() && shared->second == wanted) continue;
      if (!take_port(wanted, path, problem)) return undo();
      taken.push_back(wanted);
      by_port.emplace(port, wanted);
      continue;
    }
    int found = shared != by_port.end() ? shared->second : 0;
    if (found == 0) {
      found = any_port(chance + i);
      if (found == 0) {
        problem.push_back(api::invalid_value(path, 0, "failed to allocate a nodePort: range is full"));
        return undo();
      }
      taken.push_back(found);
    }
    by_port.emplace(port, found);
    spec.mut("ports").mut(i).set("nodePort", found);
  }
  return true;
}

bool ServiceAddresses::take_health_port(Value& spec, std::uint64_t chance, std::vector<Cause>& problem) {
  if (!wants_health_port(spec)) return true;
  if (const auto wanted = static_cast<int>(spec["healthCheckNodePort"].as_int()); wanted != 0) {
    return take_port(wanted, "spec.healthCheckNodePort", problem);
  }
  const int found = any_port(chance);
  if (found == 0) {
    problem.push_back(api::invalid_value("spec.healthCheckNodePort", 0, "failed to allocate a nodePort: range is full"));
    return false;
  }
  spec.set("healthCheckNodePort", found);
  return true;
}

void ServiceAddresses::free_former(const Value& before, const Value& spec) {
  const Value& old_spec = before["spec"];
  if (!old_spec["clusterIP"].as_string().empty() && !wants_ip(spec)) ips_.erase(to_number(old_spec["clusterIP"].str()));
  auto kept = [&](std::int64_t number) {
    for (const Value& port : spec["ports"]) {
      if (port["nodePort"].as_int() == number) return true;
    }
    return spec["healthCheckNodePort"].as_int() == number;
  };
  for (const Value& port : old_spec["ports"]) {
    if (!kept(port["nodePort"].as_int())) ports_.erase(static_cast<int>(port["nodePort"].as_int()));
  }
  const std::int64_t health = old_spec["healthCheckNodePort"].as_int();
  if (health != 0 && !kept(health)) ports_.erase(static_cast<int>(health));
}

bool ServiceAddresses::allocate(Value& service, std::uint64_t chance, std::vector<Cause>& problem) {
  Value& spec = service.mut("spec");
  if (wants_ip(spec)) {
    if (!take_ip(spec, chance, problem)) return false;
    if (spec["clusterIPs"].empty()) spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
    if (spec["ipFamilies"].empty()) spec.set("ipFamilies", Value::array({"IPv4"}));
    if (spec["ipFamilyPolicy"].is_null()) spec.set("ipFamilyPolicy", "SingleStack");
  }
  bool good = !wants_ports(spec) || take_ports(spec, chance >> 20, problem);
  if (good && !take_health_port(spec, chance >> 40, problem)) {
    good = false;
    for (const Value& port : spec["ports"]) ports_.erase(static_cast<int>(port["nodePort"].as_int()));
  }
  if (!good && wants_ip(spec)) ips_.erase(to_number(spec["clusterIP"].str()));
  return good;
}

bool ServiceAddresses::propose(Value& service, std::uint64_t chance, std::vector<Cause>& problem) const {
  ServiceAddresses copy = *this;
  int next = kFirstProposed;
  Value& spec = service.mut("spec");
  std::map<std::int64_t, int> by_port;
  if (wants_ports(spec)) {
    for (std::size_t i = 0; i < spec["ports"].size(); ++i) {
      const std::int64_t port = spec["ports"][i]["port"].as_int(), wanted = spec["ports"][i]["nodePort"].as_int();
      auto shared = by_port.find(port);
      if (wanted != 0) {
        if (shared != by_port.end() && shared->second == wanted) continue;
        if (!copy.ports_.insert(static_cast<int>(wanted)).second) {
          problem.push_back(api::invalid_value("spec.ports[" + std::to_string(i) + "].nodePort", wanted, "provided port is already allocated"));
          return false;
        }
        by_port.emplace(port, static_cast<int>(wanted));
        continue;
      }
      const int number = shared != by_port.end() ? shared->second : next++;
      by_port.emplace(port, number);
      spec.mut("ports").mut(i).set("nodePort", number);
    }
  }
  if (wants_health_port(spec) && spec["healthCheckNodePort"].as_int() == 0) spec.set("healthCheckNodePort", kFirstProposed);
  if (!wants_ip(spec)) return true;
  if (!copy.take_ip(spec, chance, problem)) return false;
  if (spec["clusterIPs"].empty()) spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
  return true;
}

// What one change of a Service took.
struct ServiceAddresses::Taken {
  bool dry_run;
  std::vector<std::uint32_t> ips = {};
  std::vector<int> ports = {};

  // Whether `port` was free; a dry run does not ask whether it is in the range.
  bool take(ServiceAddresses& addresses, int port, std::string& problem) {
    if (!dry_run && (port < addresses.first_port_ || port > addresses.last_port_)) {
      problem = "provided port is not in the valid range. The range of valid ports is " + std::to_string(addresses.first_port_) + "-" +
                std::to_string(addresses.last_port_);
      return false;
    }
    if (!addresses.ports_.insert(port).second) {
      problem = "provided port is already allocated";
      return false;
    }
    ports.push_back(port);
    return true;
  }
  // 0: none is free.
  int take_any(ServiceAddresses& addresses, std::uint64_t chance) {
    int port = 0;
    if (dry_run) {
      port = ports.empty() ? kFirstProposed : *std::max_element(ports.begin(), ports.end()) + 1;
      addresses.ports_.insert(port);
    } else {
      port = addresses.any_port(chance);
    }
    if (port != 0) ports.push_back(port);
    return port;
  }
};

Status ServiceAddresses::update(const Value& before, Value& service, std::uint64_t chance, bool dry_run) {
  Taken ports{dry_run}, health{dry_run};
  Status taken = take_changes(before, service, chance, ports);
  if (taken.ok()) taken = take_changed_health_port(before, service.mut("spec"), chance >> 40, health);
  if (taken.ok() && !dry_run) {
    free_former(before, service["spec"]);
    return taken;
  }
  for (std::uint32_t ip : ports.ips) ips_.erase(ip);
  for (const Taken& each : {ports, health}) {
    for (int port : each.ports) ports_.erase(port);
  }
  return taken;
}

Status ServiceAddresses::take_changes(const Value& before, Value& service, std::uint64_t chance, Taken& taken) {
  Value& spec = service.mut("spec");
  if (wants_ip(spec) && before["spec"]["clusterIP"].as_string().empty()) {
    std::vector<Cause> problem;
    if (!take_ip(spec, chance, problem)) return api::invalid("", "Service", api::name_of(service), std::move(problem));
    if (const std::uint32_t ip = to_number(spec["clusterIP"].str()); ip != 0) taken.ips.push_back(ip);
    if (spec["clusterIPs"].empty()) spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
  }
  return take_changed_ports(before, service, chance >> 20, taken);
}

Status ServiceAddresses::take_changed_ports(const Value& before, Value& service, std::uint64_t chance, Taken& taken) {
  Value& spec = service.mut("spec");
  const std::string_view type = spec["type"].as_string();
  if (type != "NodePort" && type != "LoadBalancer") return ok_status();
  std::set<std::int64_t> known;
  for (const Value& port : before["spec"]["ports"]) known.insert(port["nodePort"].as_int());
  std::set<std::pair<std::string, std::int64_t>> named;
  for (std::size_t i = 0; i < spec["ports"].size(); ++i) {
    auto number = static_cast<int>(spec["ports"][i]["nodePort"].as_int());
    if (number == 0 && !wants_ports(spec)) continue;
    if (number == 0) {
      number = taken.take_any(*this, chance + i);
      if (number == 0) return api::internal_error("failed to allocate a nodePort: range is full");
      spec.mut("ports").mut(i).set("nodePort", number);
    } else if (known.insert(number).second) {
      std::string problem;
      if (!taken.take(*this, number, problem)) {
        return api::invalid("", "Service", api::name_of(service), {api::invalid_value("spec.ports[" + std::to_string(i) + "].nodePort", number, problem)});
      }
    }
    const std::string protocol = spec["ports"][i]["protocol"].str();
    if (!named.emplace(protocol, number).second) return api::plain_error("duplicate nodePort: {" + protocol + " " + std::to_string(number) + "}");
  }
  return ok_status();
}

Status ServiceAddresses::take_changed_health_port(const Value& before, Value& spec, std::uint64_t chance, Taken& taken) {
  if (wants_health_port(before["spec"]) || !wants_health_port(spec)) return ok_status();
  if (const auto wanted = static_cast<int>(spec["healthCheckNodePort"].as_int()); wanted != 0) {
    std::string problem;
    if (taken.take(*this, wanted, problem)) return ok_status();
    return api::internal_error("failed to allocate requested HealthCheck NodePort " + std::to_string(wanted) + ": " + problem);
  }
  const int found = taken.take_any(*this, chance);
  if (found == 0) return api::internal_error("failed to allocate a HealthCheck NodePort 0: range is full");
  spec.set("healthCheckNodePort", found);
  return ok_status();
}

}  // namespace berth::registry

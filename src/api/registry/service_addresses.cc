#include "api/registry/service_addresses.h"

#include <arpa/inet.h>

#include <algorithm>
#include <map>

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

bool ServiceAddresses::take_ports(const Value& before, Value& spec, std::uint64_t chance, std::vector<Cause>& problem) {
  std::vector<int> taken;
  auto had = [&](int number) {
    for (const Value& port : before["spec"]["ports"]) {
      if (port["nodePort"].as_int() == number) return true;
    }
    return false;
  };
  // A port that was there keeps its number where the client does not name one.
  auto former = [&](const Value& port) {
    for (const Value& old : before["spec"]["ports"]) {
      if (old["port"] == port["port"] && old["protocol"].as_string("TCP") == port["protocol"].as_string("TCP")) {
        return static_cast<int>(old["nodePort"].as_int());
      }
    }
    return 0;
  };
  auto named = [&](int number) {
    for (const Value& port : spec["ports"]) {
      if (port["nodePort"].as_int() == number) return true;
    }
    return false;
  };
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
      if (had(wanted) || (shared != by_port.end() && shared->second == wanted)) continue;
      if (!take_port(wanted, path, problem)) return undo();
      taken.push_back(wanted);
      by_port.emplace(port, wanted);
      continue;
    }
    int found = former(spec["ports"][i]);
    if (found != 0 && named(found)) found = 0;
    if (found == 0 && shared != by_port.end()) found = shared->second;
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

bool ServiceAddresses::take_health_port(const Value& before, Value& spec, std::uint64_t chance, std::vector<Cause>& problem) {
  const Value& old = before["spec"]["healthCheckNodePort"];
  const int wanted = static_cast<int>(spec["healthCheckNodePort"].as_int());
  if (!wants_health_port(spec) || (wanted != 0 && old.as_int() == wanted)) return true;
  if (wanted != 0) return take_port(wanted, "spec.healthCheckNodePort", problem);
  const int found = old.as_int() != 0 ? static_cast<int>(old.as_int()) : any_port(chance);
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

bool ServiceAddresses::allocate(const Value& before, Value& service, std::uint64_t chance, std::vector<Cause>& problem) {
  Value& spec = service.mut("spec");
  const Value old_spec = before["spec"];
  const bool had_ip = !old_spec["clusterIP"].as_string().empty();
  bool took_ip = false;
  if (wants_ip(spec)) {
    if (had_ip && spec["clusterIP"].as_string().empty()) spec.set("clusterIP", old_spec["clusterIP"]);
    if (!had_ip) {
      if (!take_ip(spec, chance, problem)) return false;
      took_ip = true;
    }
    if (spec["clusterIPs"].empty()) spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
    if (spec["ipFamilies"].empty()) spec.set("ipFamilies", Value::array({"IPv4"}));
    if (spec["ipFamilyPolicy"].is_null()) spec.set("ipFamilyPolicy", "SingleStack");
  } else if (had_ip) {
    for (const char* field : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}) spec.erase(field);
  }
  bool good = !wants_ports(spec) || take_ports(before, spec, chance >> 20, problem);
  if (good && !take_health_port(before, spec, chance >> 40, problem)) {
    good = false;
    for (const Value& port : spec["ports"]) {
      bool before_too = false;
      for (const Value& old : old_spec["ports"]) before_too = before_too || old["nodePort"] == port["nodePort"];
      if (!before_too) ports_.erase(static_cast<int>(port["nodePort"].as_int()));
    }
  }
  if (!good) {
    if (took_ip) ips_.erase(to_number(spec["clusterIP"].str()));
    return false;
  }
  free_former(before, spec);
  return true;
}

bool ServiceAddresses::propose(const Value& before, Value& service, std::uint64_t chance, std::vector<Cause>& problem) const {
  // Of a dry run nothing is kept, and its numbers are no promise: upstream counts up from one that no range has.
  constexpr int kFirst = 32769;
  ServiceAddresses copy = *this;
  if (!before.is_null()) return copy.allocate(before, service, chance, problem);
  int next = kFirst;
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
  if (wants_health_port(spec) && spec["healthCheckNodePort"].as_int() == 0) spec.set("healthCheckNodePort", kFirst);
  if (!wants_ip(spec)) return true;
  if (!copy.take_ip(spec, chance, problem)) return false;
  if (spec["clusterIPs"].empty()) spec.set("clusterIPs", Value::array({spec["clusterIP"]}));
  return true;
}

}  // namespace berth::registry

#pragma once
// ServiceAddresses: which ClusterIPs and node ports are taken. Pure, rebuilt from the stored Services at start.

#include <cstdint>
#include <set>
#include <string>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::registry {

class ServiceAddresses {
 public:
  ServiceAddresses(const std::string& cidr, int first_port, int last_port);

  void note(const Value& service);     // as stored
  void release(const Value& service);
  // Fills in clusterIP(s), ipFamilies and node ports of a Service that is created or whose type changed (`before` is null
  // on create), and takes them. kInvalid causes are put into `problem`; nothing is taken then.
  bool allocate(const Value& before, Value& service, std::uint64_t chance, std::vector<Cause>& problem);
  // The same for a dry run: filled in, and nothing taken.
  bool propose(const Value& before, Value& service, std::uint64_t chance, std::vector<Cause>& problem) const;

  std::string address(std::uint32_t offset) const;  // of the range: 1 is the kubernetes Service's

 private:
  bool inside(std::uint32_t ip) const { return ip > base_ && ip < base_ + size_ - 1; }
  bool take_ip(Value& spec, std::uint64_t chance, std::vector<Cause>& problem);
  bool take_port(int wanted, const std::string& path, std::vector<Cause>& problem);
  int any_port(std::uint64_t chance);  // 0: all are taken
  bool take_health_port(const Value& before, Value& spec, std::uint64_t chance, std::vector<Cause>& problem);
  void free_former(const Value& before, const Value& spec);  // what the former version held and the new one does not
  bool take_ports(const Value& before, Value& spec, std::uint64_t chance, std::vector<Cause>& problem);

  std::uint32_t base_ = 0, size_ = 0;
  int first_port_, last_port_;
  std::set<std::uint32_t> ips_;
  std::set<int> ports_;
};

}  // namespace berth::registry

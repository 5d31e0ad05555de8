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
  // Fills in clusterIP(s), ipFamilies and node ports of a new Service, and takes them. kInvalid causes are put into `problem`; nothing is
  // taken then.
  bool allocate(Value& service, std::uint64_t chance, std::vector<Cause>& problem);
  // The same for a dry run: filled in, and nothing taken.
  bool propose(Value& service, std::uint64_t chance, std::vector<Cause>& problem) const;
  // The same for one that changes: takes what is new in it, and lets go what it no longer has. A dry run changes the Service alone.
  Status update(const Value& before, Value& service, std::uint64_t chance, bool dry_run);

  std::string address(std::uint32_t offset) const;  // of the range: 1 is the kubernetes Service's

 private:
  bool inside(std::uint32_t ip) const { return ip > base_ && ip < base_ + size_ - 1; }
  struct Taken;
  bool take_ip(Value& spec, std::uint64_t chance, std::vector<Cause>& problem);
  bool take_port(int wanted, const std::string& path, std::vector<Cause>& problem);
  int any_port(std::uint64_t chance);  // 0: all are taken
  bool take_ports(Value& spec, std::uint64_t chance, std::vector<Cause>& problem);
  bool take_health_port(Value& spec, std::uint64_t chance, std::vector<Cause>& problem);
  Status take_changes(const Value& before, Value& service, std::uint64_t chance, Taken& taken);
  Status take_changed_ports(const Value& before, Value& service, std::uint64_t chance, Taken& taken);
  Status take_changed_health_port(const Value& before, Value& spec, std::uint64_t chance, Taken& taken);
  void free_former(const Value& before, const Value& spec);  // what the former version held and the new one does not

  std::uint32_t base_ = 0, size_ = 0;
  int first_port_, last_port_;
  std::set<std::uint32_t> ips_;
  std::set<int> ports_;
};

}  // namespace berth::registry

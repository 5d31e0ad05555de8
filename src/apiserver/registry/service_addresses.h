#pragma once
// ServiceAddresses: which ClusterIPs and node ports are taken. Pure, rebuilt from the stored Services at start.

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"

namespace berth::apiserver::registry {

// Whether a Service with this spec has node ports, and a port for health checks.
bool has_node_ports(const Value& spec);
bool has_health_port(const Value& spec);

class ServiceAddresses {
 public:
  // The numbers that one request took. They stay taken when it is committed, and are given back when it is refused or
  // fails.
  struct Taken {
    bool dry_run = false;
    std::vector<std::uint32_t> ips = {};
    std::vector<int> ports = {};
  };

  ServiceAddresses(const std::string& cidr, int first_port, int last_port);

  void note(const Value& service);     // as stored, before this server began
  void release(const Value& service);  // as last stored; called when its deletion is committed
  // What `before` held and `after` does not; called when `after` is committed.
  void release_former(const Value& before, const Value& after);
  void give_back(const Taken& taken);
  // Fills in clusterIP(s) and node ports of a new Service, and takes them; a dry run fills them in and takes nothing.
  // kInvalid causes are put into `problem`; nothing is taken then.
  bool allocate(Value& service, std::uint64_t chance, bool dry_run, Taken& taken, std::vector<Cause>& problem);
  // The same for one that changes: takes what is new in it.
  Status update(const Value& before, Value& service, std::uint64_t chance, bool dry_run, Taken& taken);

  std::string address(std::uint32_t offset) const;  // of the range: 1 is the kubernetes Service's

 private:
  bool inside(std::uint32_t ip) const { return ip > base_ && ip < base_ + size_ - 1; }
  bool take_ip(Value& spec, std::uint64_t chance, Taken& taken, std::vector<Cause>& problem);
  // take_ip() where the type has an address, and its list.
  bool take_address(Value& spec, std::uint64_t chance, Taken& taken, std::vector<Cause>& problem);
  // Whether `wanted` was free; a dry run does not ask whether it is in the range.
  bool take_port(int wanted, Taken& taken, std::string& problem);
  int take_any_port(std::uint64_t chance, Taken& taken);  // 0: none is free
  bool take_ports(Value& spec, std::uint64_t chance, Taken& taken, std::vector<Cause>& problem);
  bool take_health_port(Value& spec, std::uint64_t chance, Taken& taken, std::vector<Cause>& problem);
  // Takes what `service` names, `before` does not, and no rule looked at: validation may still refuse it, and a load
  // balancer without allocated node ports may name any.
  void take_rest(const Value& before, const Value& service, Taken& taken);
  // The end of allocate() and update(): `taken` is all that is kept, and empty where it is a dry run or was refused. A
  // dry run proposes the health check's port without regard to the node ports, so that port is in `health`.
  void settle(const Value& before, const Value& service, bool accepted, Taken health, Taken& taken);
  Status take_changes(const Value& before, Value& service, std::uint64_t chance, Taken& taken);
  Status take_changed_ports(const Value& before, Value& service, std::uint64_t chance, Taken& taken);
  Status take_changed_health_port(const Value& before, Value& spec, std::uint64_t chance, Taken& taken);

  // How many Services hold each number.
  template <class Number>
  class Holders {
   public:
    bool take(Number number) { return counts_.emplace(number, 1).second; }  // false: somebody holds it
    void share(Number number) { ++counts_[number]; }
    void drop(Number number) {
      auto found = counts_.find(number);
      if (found != counts_.end() && --found->second == 0) counts_.erase(found);
    }

   private:
    std::unordered_map<Number, int> counts_;
  };

  std::uint32_t base_ = 0, size_ = 0;
  int first_port_, last_port_;
  Holders<std::uint32_t> ips_;
  Holders<int> ports_;
};

}  // namespace berth::apiserver::registry

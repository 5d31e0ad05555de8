#pragma once
// ServiceAddresses: which ClusterIPs and node ports are allocated. One thread; rebuilt from the stored Services at
// start.

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
  // The numbers that one request has allocated. They stay allocated when the request's write is durable, and are
  // released when it is refused or fails.
  struct Allocation {
    bool dry_run = false;
    std::vector<std::uint32_t> ips = {};
    std::vector<int> ports = {};
  };

  ServiceAddresses(const std::string& cidr, int first_port, int last_port);

  void record(const Value& service);   // as stored before this server started
  void release(const Value& service);  // as last stored; to be called when its deletion is durable
  // The numbers of `before` that `after` does not have; to be called when `after` is durable.
  void release_former(const Value& before, const Value& after);
  void release_allocation(const Allocation& allocation);
  // Fills in clusterIP(s) and node ports of a new Service, and allocates them; a dry run fills them in and allocates
  // nothing. False: the causes (kInvalid) are in `problem`, and nothing is allocated. `chance`: random bits.
  bool allocate(Value& service, std::uint64_t chance, bool dry_run, Allocation& allocation,
                std::vector<Cause>& problem);
  // The same for one that changes: allocates what is new in it.
  Status update(const Value& before, Value& service, std::uint64_t chance, bool dry_run, Allocation& allocation);

  std::string address(std::uint32_t offset) const;  // of the range: 1 is the kubernetes Service's

 private:
  bool inside(std::uint32_t ip) const { return ip > base_ && ip < base_ + size_ - 1; }
  bool allocate_ip(Value& spec, std::uint64_t chance, Allocation& allocation, std::vector<Cause>& problem);
  // allocate_ip() where the type has an address, and its list.
  bool allocate_address(Value& spec, std::uint64_t chance, Allocation& allocation, std::vector<Cause>& problem);
  // Whether `wanted` was free; a dry run does not ask whether it is in the range.
  bool allocate_port(int wanted, Allocation& allocation, std::string& problem);
  int allocate_any_port(std::uint64_t chance, Allocation& allocation);  // 0: none is free
  bool allocate_ports(Value& spec, std::uint64_t chance, Allocation& allocation, std::vector<Cause>& problem);
  bool allocate_health_port(Value& spec, std::uint64_t chance, Allocation& allocation, std::vector<Cause>& problem);
  // Holds the numbers that `service` names, `before` does not, and no rule has checked: validation may still refuse
  // them, and a load balancer without allocated node ports may name any.
  void hold_rest(const Value& before, const Value& service, Allocation& allocation);
  // The end of allocate() and update(): adds `health` to `allocation`, which is empty after a dry run or a refusal. A
  // dry run proposes the health check's port without regard to the node ports, so that port is in `health`.
  void finish(const Value& before, const Value& service, bool accepted, Allocation health, Allocation& allocation);
  Status allocate_changes(const Value& before, Value& service, std::uint64_t chance, Allocation& allocation);
  Status allocate_changed_ports(const Value& before, Value& service, std::uint64_t chance, Allocation& allocation);
  Status allocate_changed_health_port(const Value& before, Value& spec, std::uint64_t chance, Allocation& allocation);

  // How many Services hold each number.
  template <class Number>
  class Holders {
   public:
    bool claim(Number number) { return counts_.emplace(number, 1).second; }  // false: a Service holds it
    void add(Number number) { ++counts_[number]; }
    void remove(Number number) {
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

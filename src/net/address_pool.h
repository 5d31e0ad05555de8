#pragma once
// AddressPool: the assignment of the node's address range to pods. Pure; LeaseFile stores it.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "base/result.h"
#include "net/netlink.h"

namespace berth::net {

class AddressPool {
 public:
  explicit AddressPool(Cidr range) : range_(range), next_(first()) {}

  // Returns the owner's address if it has one. A freed address is reused as late as possible: the search is circular.
  Result<std::uint32_t> allocate(const std::string& owner);
  bool release(const std::string& owner);  // returns whether it had an address
  // Assigns the address to this owner; if another one had it, stores that owner in `before`. False if the address is
  // outside the range.
  bool assign(const std::string& owner, std::uint32_t ip, std::string* before);
  const std::map<std::string, std::uint32_t>& leases() const { return leases_; }

  std::uint32_t gateway() const { return range_.base + 1; }
  int prefix() const { return range_.prefix; }

  Value to_json() const;
  // Skips leases outside the range: the range was changed.
  void restore(const Value& saved);

 private:
  std::uint32_t first() const { return range_.base + 2; }
  std::uint32_t last() const {
    return range_.base + (range_.prefix == 32 ? 0 : (std::uint32_t{1} << (32 - range_.prefix)) - 2);
  }

  Cidr range_;
  std::uint32_t next_;
  std::map<std::string, std::uint32_t> leases_;
  std::map<std::uint32_t, std::string> owners_;
};

}  // namespace berth::net

#pragma once
// AddressPool: which pod has which address of the node's range. Pure; LeaseFile stores it.

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

  // The same owner gets the same address. A freed address is given again as late as possible: the search goes round.
  Result<std::uint32_t> take(const std::string& owner);
  bool release(const std::string& owner);  // whether it had one
  // The address is this owner's, whoever had it before: that one is told, where it was another. False outside the
  // range.
  bool assign(const std::string& owner, std::uint32_t ip, std::string* before);
  const std::map<std::string, std::uint32_t>& leases() const { return leases_; }

  std::uint32_t gateway() const { return range_.base + 1; }
  int prefix() const { return range_.prefix; }

  Value to_json() const;
  // Leases outside the range are dropped: the range was changed.
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

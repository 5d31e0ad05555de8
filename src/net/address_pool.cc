#include "net/address_pool.h"

namespace berth::net {

Result<std::uint32_t> AddressPool::allocate(const std::string& owner) {
  if (auto found = leases_.find(owner); found != leases_.end()) return found->second;
  if (last() >= first()) {
    std::uint32_t size = last() - first() + 1;
    for (std::uint32_t tried = 0; tried < size; ++tried) {
      std::uint32_t candidate = next_;
      next_ = next_ >= last() ? first() : next_ + 1;
      if (owners_.contains(candidate)) continue;
      leases_[owner] = candidate;
      owners_[candidate] = owner;
      return candidate;
    }
  }
  return error(Code::kUnavailable, "no free pod address: all " + std::to_string(leases_.size()) + " of " +
                                       format_ipv4(range_.base) + "/" + std::to_string(range_.prefix) +
                                       " belong to pods of this node");
}

bool AddressPool::release(const std::string& owner) {
  auto found = leases_.find(owner);
  if (found == leases_.end()) return false;
  owners_.erase(found->second);
  leases_.erase(found);
  return true;
}

bool AddressPool::assign(const std::string& owner, std::uint32_t ip, std::string* before) {
  if (ip < first() || ip > last()) return false;
  if (auto other = owners_.find(ip); other != owners_.end() && other->second != owner) {
    *before = other->second;
    leases_.erase(other->second);
  }
  if (auto old = leases_.find(owner); old != leases_.end()) owners_.erase(old->second);
  leases_[owner] = ip;
  owners_[ip] = owner;
  return true;
}

Value AddressPool::to_json() const {
  Value leases = Value::object();
  for (const auto& [owner, ip] : leases_) leases.set(owner, format_ipv4(ip));
  return Value::object({{"next", format_ipv4(next_)}, {"leases", leases}});
}

void AddressPool::restore(const Value& saved) {
  auto inside = [this](std::uint32_t ip) { return ip >= first() && ip <= last(); };
  if (Result<std::uint32_t> next = parse_ipv4(saved["next"].as_string()); next.ok() && inside(*next)) next_ = *next;
  for (auto [owner, text] : saved["leases"].entries()) {
    Result<std::uint32_t> ip = parse_ipv4(text.as_string());
    if (!ip.ok() || !inside(*ip) || owners_.contains(*ip)) continue;
    leases_[std::string(owner)] = *ip;
    owners_[*ip] = owner;
  }
}

}  // namespace berth::net

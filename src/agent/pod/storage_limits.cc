#include "agent/pod/storage_limits.h"

#include <algorithm>
#include <tuple>

#include "agent/pod/plan.h"
#include "api/containers.h"

namespace berth::agent {
namespace {

constexpr const char* kStorage = "ephemeral-storage";
constexpr std::int64_t kCritical = 2'000'000'000;

std::optional<api::Quantity> quantity_of(const Value& list, const std::string& name) {
  const Value& value = list[name];
  if (value.is_null()) return std::nullopt;
  if (value.is_int()) return api::Quantity::of(value.as_int());
  auto parsed = api::Quantity::parse(value.as_string());
  return parsed.ok() ? std::optional(*parsed) : std::nullopt;
}

void add(std::optional<api::Quantity>& sum, const std::optional<api::Quantity>& one) {
  if (one) sum = sum ? *sum + *one : *one;
}

std::optional<api::Quantity> limit_of(const Value& container, const std::string& resource) {
  return quantity_of(container["resources"]["limits"], resource);
}

std::int64_t requested(const Value& pod) {
  std::optional<api::Quantity> sum;
  for (const Value& c : pod["spec"]["containers"]) add(sum, quantity_of(c["resources"]["requests"], kStorage));
  return sum ? sum->value() : 0;
}

std::int64_t amount(const StorageUse& use, const std::string& resource) {
  DiskUse sum = use.total();
  return resource == "inodes" ? sum.inodes : sum.bytes + use.volumes_growth;
}

DiskUse& operator+=(DiskUse& sum, const DiskUse& one) {
  sum.bytes += one.bytes;
  sum.inodes += one.inodes;
  return sum;
}

std::string binary(std::int64_t amount) {
  return api::Quantity::of(amount, api::Quantity::Format::kBinarySI).to_string();
}

}  // namespace

std::optional<api::Quantity> pod_limit(const Value& pod, const std::string& resource) {
  if (auto own = quantity_of(pod["spec"]["resources"]["limits"], resource)) return own;
  std::optional<api::Quantity> sum, sidecars, init;
  for (const Value& c : pod["spec"]["containers"]) add(sum, limit_of(c, resource));
  for (const Value& c : pod["spec"]["initContainers"]) {
    std::optional<api::Quantity> one = limit_of(c, resource);
    if (api::is_sidecar(c)) {
      add(sum, one);
      add(sidecars, one);
      one = sidecars;
    } else if (one) {
      add(one, sidecars);  // the sidecars before an init container run beside it
    }
    if (one && (!init || *one > *init)) init = one;
  }
  if (init && (!sum || *init > *sum)) return init;
  return sum;
}

StorageLimits storage_limits(const Value& pod) {
  StorageLimits out;
  for (const Value& volume : pod["spec"]["volumes"]) {
    auto size = quantity_of(volume["emptyDir"], "sizeLimit");
    if (size && size->sign() > 0) out.empty_dirs.push_back({volume["name"].str(), *size});
  }
  for (const Value& c : pod["spec"]["containers"]) {
    auto size = limit_of(c, kStorage);
    if (size && size->sign() > 0) out.containers.push_back({c["name"].str(), *size});
  }
  out.pod = pod_limit(pod, kStorage);
  return out;
}

DiskUse StorageUse::total() const {
  DiskUse sum;
  for (const auto& [name, use] : empty_dirs) sum += use;
  for (const auto& [name, use] : containers) sum += use;
  return sum;
}

std::optional<std::string> over_limit(const StorageLimits& limits, const StorageUse& use) {
  for (const auto& limit : limits.empty_dirs) {
    auto used = use.empty_dirs.find(limit.name);
    if (used != use.empty_dirs.end() && api::Quantity::of(used->second.bytes) > limit.size) {
      return "Usage of EmptyDir volume \"" + limit.name + "\" exceeds the limit \"" + limit.size.to_string() + "\". ";
    }
  }
  if (limits.pod && api::Quantity::of(use.total().bytes) > *limits.pod) {
    return "Pod ephemeral local storage usage exceeds the total limit of containers " + limits.pod->to_string() + ". ";
  }
  for (const auto& limit : limits.containers) {
    auto used = use.containers.find(limit.name);
    if (used != use.containers.end() && api::Quantity::of(used->second.bytes) > limit.size) {
      return "Container " + limit.name + " exceeded its local ephemeral storage limit \"" + limit.size.to_string() +
             "\". ";
    }
  }
  return std::nullopt;
}

std::int64_t memory_volume_size(const Value& pod, const Value& empty_dir, std::int64_t node_allocatable) {
  std::int64_t size = node_allocatable;
  if (auto limit = pod_limit(pod, "memory"); limit && limit->sign() > 0) size = std::min(size, limit->value());
  if (auto own = quantity_of(empty_dir, "sizeLimit"); own && own->sign() > 0) size = std::min(size, own->value());
  return size;
}

bool is_critical(const Value& pod) { return pod["spec"]["priority"].as_int() >= kCritical; }

std::optional<std::size_t> choose_victim(const std::vector<EvictionCandidate>& candidates, const std::string& resource,
                                         std::int64_t least) {
  auto rank = [&](const EvictionCandidate& one) {
    std::int64_t used = amount(one.use, resource), asked = resource == kStorage ? requested(one.pod) : 0;
    return std::tuple(used > asked, -one.pod["spec"]["priority"].as_int(), used - asked);
  };
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (is_critical(candidates[i].pod) || amount(candidates[i].use, resource) < least) continue;
    if (!best || rank(candidates[i]) > rank(candidates[*best])) best = i;
  }
  return best;
}

std::string shortage_message(const EvictionCandidate& victim, const std::string& resource, std::int64_t threshold,
                             std::int64_t available) {
  std::string out = "The node was low on resource: " + resource + ". Threshold quantity: " + binary(threshold) +
                    ", available: " + binary(available) + ". ";
  if (resource != kStorage) return out;
  for (const Value& c : victim.pod["spec"]["containers"]) {
    auto used = victim.use.containers.find(c["name"].str());
    if (used == victim.use.containers.end()) continue;
    api::Quantity asked = quantity_of(c["resources"]["requests"], kStorage).value_or(api::Quantity());
    if (api::Quantity::of(used->second.bytes) <= asked) continue;
    out += "Container " + c["name"].str() + " was using " + binary(used->second.bytes / 1024 * 1024) + ", request is " +
           asked.to_string() + ", has larger consumption of " + resource + ". ";
  }
  return out;
}

}  // namespace berth::agent

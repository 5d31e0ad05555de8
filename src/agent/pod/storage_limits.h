#pragma once
// Limits of a pod's use of the node's disk and memory, and the eviction of pods that exceed them. Pure. The rules and
// the texts are kubelet's (localStorageEviction and the emptyDir plugin).

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/disk/disk_usage.h"
#include "api/quantity.h"
#include "base/json/json.h"

namespace berth::agent {

// The pod's limit of `resource` by kubelet's rule: the sum over containers and sidecars that have one, or the largest
// of the init containers. Nothing where no container has one.
std::optional<api::Quantity> pod_limit(const Value& pod, const std::string& resource);

struct StorageLimits {
  struct Limit {
    std::string name;
    api::Quantity size;
  };
  std::vector<Limit> empty_dirs;  // volumes with a sizeLimit
  std::vector<Limit> containers;  // containers with limits.ephemeral-storage
  std::optional<api::Quantity> pod;

  bool any() const { return !empty_dirs.empty() || !containers.empty() || pod; }
};
StorageLimits storage_limits(const Value& pod);

// The measured use of the disk.
struct StorageUse {
  std::map<std::string, DiskUse> empty_dirs;  // by the volume's name; on disk only
  std::map<std::string, DiskUse> containers;  // writable layer and logs, by the container's name
  std::int64_t volumes_growth = 0;  // bytes, of overcommitted volumes since the disk was last not short; not in total()
  DiskUse total() const;
};

// The message of the pod's eviction; nothing where the pod keeps to its limits.
std::optional<std::string> over_limit(const StorageLimits& limits, const StorageUse& use);

// Size in bytes of an emptyDir of medium Memory: the least of its sizeLimit, the pod's memory limit and
// `node_allocatable`.
std::int64_t memory_volume_size(const Value& pod, const Value& empty_dir, std::int64_t node_allocatable);

// Pods that the node never evicts and never rejects under disk pressure.
bool is_critical(const Value& pod);

struct EvictionCandidate {
  Value pod;
  StorageUse use;
};
// The index of the pod to evict from a node that is short of `resource` ("ephemeral-storage", "inodes"): pods beyond
// their request first, then by lower priority, then by use beyond the request. A pod that uses less than `least` is
// never chosen.
std::optional<std::size_t> choose_victim(const std::vector<EvictionCandidate>& candidates, const std::string& resource,
                                         std::int64_t least);
// `threshold`, `available`: bytes, or inodes.
std::string shortage_message(const EvictionCandidate& victim, const std::string& resource, std::int64_t threshold,
                             std::int64_t available);

}  // namespace berth::agent

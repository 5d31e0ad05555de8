#pragma once
// What a pod may take of the node's disk and memory by its spec, and whether it has taken more. Pure. The rules and the
// texts are kubelet's (localStorageEviction and the emptyDir plugin).

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "agent/disk/disk_usage.h"
#include "api/quantity.h"
#include "base/json/json.h"

namespace berth::agent {

// The limit of the whole pod, as kubelet sums it up: of the containers and sidecars that have one, or of the largest
// init container. Nothing where no container has one.
std::optional<api::Quantity> pod_limit(const Value& pod, const std::string& resource);

struct StorageLimits {
  struct Limit {
    std::string name;
    api::Quantity size;
  };
  std::vector<Limit> empty_dirs;  // those with a sizeLimit
  std::vector<Limit> containers;  // those with limits.ephemeral-storage
  std::optional<api::Quantity> pod;

  bool any() const { return !empty_dirs.empty() || !containers.empty() || pod; }
};
StorageLimits storage_limits(const Value& pod);

// Measured; bytes that are taken of the disk.
struct StorageUse {
  std::map<std::string, DiskUse> empty_dirs;  // by the volume's name; those on disk only
  std::map<std::string, DiskUse> containers;  // writable layer and logs, by the container's name
  std::int64_t volumes_growth = 0;            // of overcommitted volumes, since the disk had space; no part of total()
  DiskUse total() const;
};

// Why the pod is to be evicted; nothing where it keeps to its limits.
std::optional<std::string> over_limit(const StorageLimits& limits, const StorageUse& use);

// Bytes of a volume of medium Memory: the least of its sizeLimit, the pod's memory limit and what the node has.
std::int64_t memory_volume_size(const Value& pod, const Value& empty_dir, std::int64_t node_allocatable);

// Pods that the node never evicts nor turns away.
bool is_critical(const Value& pod);

struct EvictionCandidate {
  Value pod;
  StorageUse use;
};
// The pod to evict from a node that is short of `resource` ("ephemeral-storage", "inodes"): those beyond their request
// first, then by lower priority, then by use beyond the request. One that uses less than `least` gives nothing back
// worth its end. The index, or nothing.
std::optional<std::size_t> choose_victim(const std::vector<EvictionCandidate>& candidates, const std::string& resource,
                                         std::int64_t least);
// `threshold`, `available`: bytes, or inodes.
std::string shortage_message(const EvictionCandidate& victim, const std::string& resource, std::int64_t threshold,
                             std::int64_t available);

}  // namespace berth::agent

#pragma once
// The life of a volume of the built-in provisioner, and which component does what.
//
//   created   The claim controller creates PersistentVolume "pvc-<claim uid>" with spec.csi.driver "berth.dev/local",
//             pinned by nodeAffinity to one node, with finalizers kubernetes.io/pv-protection and
//             berth.dev/local-volume, with the size that will be created and a claimRef to its claim; then it binds the
//             claim. The node's agent creates the disk when a pod first needs it.
//   grown     When a claim's request grows, the claim controller raises the volume's spec.capacity.storage and sets the
//             claim's condition FileSystemResizePending. The agent grows disk and file system to spec.capacity and
//             writes the size reached into the claim's status.capacity.storage; then the controller removes the
//             conditions.
//   removed   When the claim is gone the volume becomes Released. With reclaim policy Delete the volume controller
//             deletes the PersistentVolume, and removes pv-protection once the volume is not Bound. Then (disk_may_go)
//             the node's agent removes the disk and after that the finalizer berth.dev/local-volume. With policy Retain
//             the disk of a deleted volume stays: the agent removes the finalizer only.
//
// Pure functions; used by controllers and agent.

#include <string>
#include <string_view>

#include "base/json/json.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth::controllers {

inline constexpr std::string_view kLocalDriver = "berth.dev/local";
inline constexpr std::string_view kLocalFinalizer = "berth.dev/local-volume";
inline constexpr std::string_view kVolumeProtection = "kubernetes.io/pv-protection";
// Parameter of a StorageClass, and attribute of its volumes: "true" if volumes use the node's disk only as they are
// written, so that together they may exceed it.
inline constexpr std::string_view kOvercommit = "berth.dev/overcommit";
inline constexpr std::string_view kClaimProtection = "kubernetes.io/pvc-protection";

bool is_local(const Value& volume);
// The node's kubernetes.io/hostname that a local volume is pinned to; "" if it is not.
std::string_view local_node(const Value& volume);
// True if the agent has to release a deleted local volume: it is not bound, and still has the local finalizer.
bool disk_may_go(const Value& volume);
// True if the agent has to remove the disk, too (otherwise only the finalizer).
bool disk_is_deleted(const Value& volume);

// True for StorageClass provisioners that the built-in one replaces: its own name, well-known clouds' and local ones'.
bool is_served_provisioner(std::string_view provisioner);

// The smallest volume that can be created with this file system: ext4 needs a journal, mkfs.xfs refuses less than 300
// MB.
std::int64_t min_volume_size(std::string_view file_system);

// "pvc-<uid>"
std::string volume_name(const Value& claim);
// The volume for a claim, on a node. kInvalid, with a message for an event, if the claim's requirements cannot be met.
Result<Value> make_local_volume(const Value& claim, const Value& storage_class, const Value& node);

}  // namespace berth::controllers

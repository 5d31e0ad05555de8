#pragma once
// The built-in provisioner's volumes, and who does what to them.
//
//   made      The claim controller creates PersistentVolume "pvc-<claim uid>" with spec.csi.driver "berth.dev/local",
//             pinned by nodeAffinity to one node, with finalizers kubernetes.io/pv-protection and berth.dev/local-volume,
//             already reserved for its claim, with the size that will be made; then it binds the claim. The node's agent makes the disk when a pod first
//             needs it.
//   grown     A claim's larger request makes the claim controller raise the volume's spec.capacity.storage and set the
//             claim's condition FileSystemResizePending. The agent grows disk and file system to spec.capacity and writes
//             the size it has reached into the claim's status.capacity.storage; the controller then takes the
//             conditions away.
//   removed   A claim that is gone makes the volume Released. With reclaim policy Delete the volume controller deletes the
//             PersistentVolume; pv-protection goes once it is not Bound. Then (disk_may_go) the agent of the node
//             removes the disk and after that the finalizer berth.dev/local-volume. With policy Retain a volume that
//             somebody deletes keeps its disk: the agent only takes the finalizer away.
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
// Parameter of a StorageClass, and attribute of its volumes: "true" where volumes take the node's disk only as they are
// written, and together may be promised more than there is.
inline constexpr std::string_view kOvercommit = "berth.dev/overcommit";
inline constexpr std::string_view kClaimProtection = "kubernetes.io/pvc-protection";

bool is_local(const Value& volume);
// The node's kubernetes.io/hostname that a local volume is pinned to; "" where it is not.
std::string_view local_node(const Value& volume);
// The agent shall let go of a deleted local volume: nothing is bound to it any more and the disk is still accounted
// for.
bool disk_may_go(const Value& volume);
// ... and remove the disk, too (otherwise the finalizer only).
bool disk_is_deleted(const Value& volume);

// Class provisioners that the built-in one stands in for: its own name, the well-known clouds', and local ones'.
bool serves(std::string_view provisioner);

// The smallest volume that can be made with this file system: ext4 needs a journal, mkfs.xfs refuses less than 300 MB.
std::int64_t least_volume_size(std::string_view file_system);

// "pvc-<uid>"
std::string volume_name(const Value& claim);
// The volume for a claim, on a node. kInvalid, in words for an event, where the claim wants what cannot be made.
Result<Value> make_local_volume(const Value& claim, const Value& storage_class, const Value& node);

}  // namespace berth::controllers

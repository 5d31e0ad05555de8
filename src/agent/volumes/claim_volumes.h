#pragma once
// The VolumeProvider of this node: volumes of the built-in provisioner (spec.csi with the driver berth.dev/local) as
// local disks, created at their first use; spec.local and spec.hostPath as the directories that they name. Counts the
// pods that use each volume.

#include <memory>
#include <string>

#include "agent/pod/services.h"
#include "agent/volumes/local_volumes.h"

namespace berth::agent {

inline constexpr std::string_view kLocalDriver = "berth.dev/local";

std::unique_ptr<VolumeProvider> make_claim_volumes(Runtime& runtime, LocalVolumes& volumes);

}  // namespace berth::agent

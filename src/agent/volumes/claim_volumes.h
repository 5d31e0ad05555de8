#pragma once
// The VolumeProvider of this node: volumes of the built-in provisioner (spec.csi with our driver) as local disks, made
// when first needed; spec.local and spec.hostPath as the directories they name. Counts who uses what.

#include <memory>
#include <string>

#include "agent/pod/services.h"
#include "agent/volumes/local_volumes.h"

namespace berth::agent {

inline constexpr std::string_view kLocalDriver = "berth.dev/local";

std::unique_ptr<VolumeProvider> make_claim_volumes(Runtime& runtime, LocalVolumes& volumes);

}  // namespace berth::agent

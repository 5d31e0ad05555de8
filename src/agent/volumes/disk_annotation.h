#pragma once
// The annotation of a PersistentVolume of the built-in provisioner that names the node with its disk. It is written
// before a pod uses the disk for the first time; from then on a missing disk is an error and is never replaced by a
// new, empty one.

#include <string_view>

#include "agent/pod/services.h"

namespace berth::agent {

inline constexpr std::string_view kDiskAnnotation = "berth.dev/disk-made-on";

// Calls `done` before it returns where the annotation is present, or the volume is of another kind.
void annotate_disk(Services& services, const Value& volume, Function<void(Status)> done);

}  // namespace berth::agent

#pragma once
// The note on a PersistentVolume of the built-in provisioner that its disk has been made, and where. It is written
// before a pod may use the disk for the first time; from then on a disk that is not there is an error, never a new,
// empty one.

#include <string_view>

#include "agent/pod/services.h"

namespace berth::agent {

inline constexpr std::string_view kDiskAnnotation = "berth.dev/disk-made-on";

// Answers at once where the note is there already, or the volume is of another kind.
void note_disk(Services& services, const Value& volume, Function<void(Status)> done);

}  // namespace berth::agent

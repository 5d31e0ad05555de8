#pragma once
// Reserved disk space, a file in the data directory: `berth up` and `berth down` free it to write their files when the
// disk is full. For the command line; blocks briefly.

#include "host/cluster_dir.h"

namespace berth::host {

// Deletes the reserve if there is hardly any other space. Returns true if it did.
bool free_reserve(const ClusterDir& dir);
// Allocates the reserve (again) if there is plenty of space. No effect if the file system cannot allocate.
void allocate_reserve(const ClusterDir& dir);

}  // namespace berth::host

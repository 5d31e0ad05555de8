#pragma once
// Disk space that a cluster keeps for itself, in a file of its data directory, so that `berth up` and `berth down` can
// write what they must when the disk is full. For the command line; blocks for a moment.

#include "host/cluster_dir.h"

namespace berth::host {

// Frees the reserve where there is hardly any other space. True where it was freed.
bool spend_reserve(const ClusterDir& dir);
// Takes the space (again) where there is plenty of it. Nothing where the file system cannot do it.
void keep_reserve(const ClusterDir& dir);

}  // namespace berth::host

#pragma once
// Checks owner and modes of a cluster's directory. Blocks briefly.

#include "host/cluster_dir.h"

namespace berth::host {

// Fails for a data directory that another user owns or may change, and for keys, tokens and a store that another user
// owns or may read. The error names the path, the problem and the remedy. Missing files are fine. The store's files are
// only checked for write permission: opening the store corrects the mode of files from earlier versions.
Status check_ownership(const ClusterDir& dir);

}  // namespace berth::host

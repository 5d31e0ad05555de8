#pragma once
// Who owns a cluster's directory, and who else may look into it. Blocks for a moment.

#include "host/cluster_dir.h"

namespace berth::host {

// Refuses a data directory that others own or may change, and keys, tokens and a store that others own or may read. The
// error names the path, says what was found and what to do. What is not there is fine. The store's files are only asked
// who may change them: the mode of those that earlier versions made is set when the store is opened.
Status check_ownership(const ClusterDir& dir);

}  // namespace berth::host

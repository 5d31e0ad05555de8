#pragma once
// Mounts of volumes that are more than a directory: images, and those whose mounts are to be seen elsewhere. Both block
// for a moment: for the pool.

#include <string>
#include <vector>

#include "base/result.h"

namespace berth::agent {

// Makes the directory or file at `path` a mount of its own that hands mounts on below it, in both directions, to every
// mount that is made from it (mount_namespaces(7): shared). Idempotent.
Status share_mount(const std::string& path);

// Mounts the layers (lowest first) at `target`, which is made where missing: read only, nothing in it may be executed.
// Mounted already is fine. `empty`: an empty directory, made where missing.
Status mount_image(const std::vector<std::string>& layers, const std::string& target, const std::string& empty);

}  // namespace berth::agent

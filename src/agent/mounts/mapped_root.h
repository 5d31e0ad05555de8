#pragma once
// What a container that has users of its own mounts: the image's and the volumes' files, as if its users owned them.
// Blocks for a moment: for the pool.

#include <cstdint>
#include <string>

#include "base/result.h"

namespace berth::agent {

// As mount_overlay() (mounts.h), with the users of `lower` mapped by the user namespace at `user_namespace`, whose root
// is the node's user `first_user`. `scratch`: a directory for mount points, made where missing; nothing stays mounted
// there.
Status mount_mapped_overlay(const std::string& lower, const std::string& upper, const std::string& work,
                            const std::string& target, const std::string& scratch, const std::string& user_namespace,
                            std::int64_t first_user);

// The file or directory at `source`, with what is mounted below it, at `target`, which is made.
Status mount_mapped_source(const std::string& source, const std::string& target, const std::string& user_namespace);

// A directory of the container's own that its users may pass through to: /run/berth/<id>, on a file system that only
// this node's mount namespace shows. The node's other directories are closed to them.
std::string mapped_place(const std::string& container_id);
Status make_mapped_place(const std::string& container_id);
// With everything mounted there. Nothing there is fine.
Status remove_mapped_place(const std::string& container_id);

}  // namespace berth::agent

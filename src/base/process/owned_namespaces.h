#pragma once
// User namespaces, and namespaces that belong to one, pinned by a bind mount so that no process has to live in them.
// Made by a short-lived child, since a process with threads cannot change its user namespace. Every call blocks for
// some milliseconds; any thread.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth {

// Its users and groups 0 to count - 1 are `first` and on outside of it.
Status pin_user_namespace(const std::string& path, std::int64_t first, std::int64_t count);

// New namespaces of the kinds in `flags` (CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS), owned by the user namespace at
// `owner`. `pins`: {name below /proc/PID/ns, where it is pinned}. `hostname` is set in a new UTS namespace where not
// empty. `writes`: {file below /proc/sys, value}, written in them by their root.
using TextPairs = std::vector<std::pair<std::string, std::string>>;
Status pin_owned_namespaces(const std::string& owner, int flags, const std::string& hostname, const TextPairs& pins,
                            const TextPairs& writes = {});

}  // namespace berth

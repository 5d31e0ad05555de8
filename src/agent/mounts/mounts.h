#pragma once
// Mounts and namespaces of containers. All block for a moment; any thread of the pool.

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::agent {

// A directory's path as it stands among the options of an overlay.
std::string overlay_option(std::string_view path);
// Mounts an overlay of `lower` (paths as overlay_option() writes them, colon-separated, topmost first) at `target`.
// Mounted "volatile" if the kernel supports it, that is, never synced: its content need not survive the machine. Up to
// about 200 layers.
Status mount_overlay(const std::string& lower, const std::string& upper, const std::string& work,
                     const std::string& target);
Status mount_tmpfs(const std::string& target, const std::string& options);
Status bind_mount(const std::string& source, const std::string& target);
// Mounts what `source` is open for (O_PATH does) on what `target` is open for; no path is looked up. Both are
// directories or both are not. Mounts below `source` are left out.
Status bind_descriptor(int source, int target);
// Unmounts everything at `target` (lazily). Succeeds if nothing is mounted.
void unmount(const std::string& target);
// Unmounts everything at or below these directories, deepest first. Reads the table of all mounts.
void unmount_below(const std::vector<std::string>& directories);
bool is_mount_point(const std::string& path);
// An error if statx() of this kernel (before Linux 5.8) does not report mount points, which is_mount_point() needs.
Status check_mount_points_are_told();
Status check_mount_points_are_told(std::uint64_t attributes_mask);  // of statx

// Runs `inside` in new namespaces (CLONE_NEWIPC | CLONE_NEWUTS of this thread only), then goes back.
Status in_new_namespaces(int flags, const std::function<Status()>& inside);
// Runs `inside` in the namespaces at these paths (empty ones are skipped), then goes back.
Status in_namespaces(const std::vector<std::string>& paths, const std::function<Status()>& inside);

}  // namespace berth::agent

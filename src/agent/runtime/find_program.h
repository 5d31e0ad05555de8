#pragma once
// Looks a program up in a container's file system, as a runtime does before it runs it.

#include <string>

#include "base/result.h"

namespace berth::agent {

// `root`: where the container's / is, e.g. /proc/<pid>/root; links never lead out of it. `path`: the container's $PATH.
// `directory`: where relative names begin. The error says why it cannot be run, in containerd's words. If that cannot
// be decided here, the program counts as found.
Status find_program(const std::string& root, const std::string& program, const std::string& path,
                    const std::string& directory);

}  // namespace berth::agent

#pragma once
// Paths of the node that pods and volumes name (hostPath).

#include <string>

#include "base/result.h"

namespace berth::agent {

// Checks a path against the type asked for, in kubelet's words, and makes what may be made. Without a type a missing
// directory is made and nothing is checked, as kubelet and container runtimes do together.
Status prepare_host_path(const std::string& path, const std::string& type);

}  // namespace berth::agent

#pragma once
// Paths of the node that pods and volumes name (hostPath).

#include <string>

#include "base/result.h"

namespace berth::agent {

// Checks the path against the hostPath type, with kubelet's error texts, and creates it for the types ...OrCreate.
// Without a type a missing directory is created and nothing is checked, as kubelet and container runtimes do together.
Status prepare_host_path(const std::string& path, const std::string& type);

}  // namespace berth::agent

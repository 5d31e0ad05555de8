#pragma once
// Seccomp profiles as the kernel's filter programs, compiled in this process: in crun, each container's start would
// cost milliseconds more. RuntimeDefault (data/default_seccomp.json) is an allow list of system calls, wider for
// containers that hold more capabilities, with the effect of the common runtimes' default.

#include <string>
#include <vector>

#include "base/result.h"

namespace berth::agent {

// The program in the kernel's form, base64. Any thread; remembered.
Result<std::string> default_seccomp_filter(const std::vector<std::string>& capabilities);
// The same for a profile file (JSON as in the OCI specification's linux.seccomp, or Docker's). Not remembered.
Result<std::string> seccomp_filter_from_file(const std::string& path);

}  // namespace berth::agent

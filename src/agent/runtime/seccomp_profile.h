#pragma once
// The RuntimeDefault seccomp profile: an allow list of system calls, wider for containers that hold more capabilities
// (the same effect as the default profile of the common runtimes). Compiled to a filter program in this process, once
// for each set of capabilities, because compiling it in the runtime for every container costs milliseconds.

#include <string>
#include <vector>

#include "base/result.h"

namespace berth::agent {

// The program in the kernel's form, base64. Any thread; remembered.
Result<std::string> default_seccomp_filter(const std::vector<std::string>& capabilities);
// The same for a profile file (JSON as in the OCI specification's linux.seccomp, or Docker's). Not remembered.
Result<std::string> seccomp_filter_from_file(const std::string& path);

}  // namespace berth::agent

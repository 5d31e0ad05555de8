#pragma once
// The defaults of container security that are data: src/agent/profiles/data/*.json, which are part of the program.

#include <string_view>

#include "base/json/json.h"

namespace berth::agent {

// "default_seccomp.json": the OCI specification's linux.seccomp, where a rule may have Docker's includes.caps and
// excludes.caps. "default_capabilities.json": names, in the order in which the container's process lists them. Any
// thread; parsed once.
const Value& default_profile(std::string_view file);

}  // namespace berth::agent

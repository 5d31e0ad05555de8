#pragma once
// Programs that are executed from memory.

#include <string>

#include "base/files.h"
#include "base/result.h"

namespace berth::agent {

// An empty memory file that may be executed. `name`: what /proc shows.
Result<Fd> make_memory_file(const char* name);
// Makes the file immutable: sets every seal for its content and size, and the one on the seals.
Status seal_memory_file(const Fd& file);

}  // namespace berth::agent

#pragma once
// Programs that are waited for (skopeo, mkfs.ext4, tar ...), on a thread that may block. On a loop: child.h.

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth {

struct Command {
  std::vector<std::string> argv;  // these four as in SpawnOptions (spawn.h)
  std::vector<std::string> environment;
  std::string directory;
  std::vector<std::pair<int, int>> descriptors;
  std::string standard_input;          // given to the child, then closed
  std::optional<Duration> timeout;     // then the child's process group is killed
  std::size_t output_limit = 1 << 20;  // of each stream; the rest is read and dropped
};

struct Finished {
  int exit_code = -1;  // 128 + signal where killed
  bool timed_out = false;
  std::string standard_output;
  std::string standard_error;
  bool ok() const { return exit_code == 0 && !timed_out; }
};

// Runs to the end. Blocks: for the pool. An error only where the program could not be started.
Result<Finished> run_command(const Command& command);
// run_command, where a non-zero exit is an error that carries the program's name and its last words.
Result<std::string> run_checked(const Command& command);

}  // namespace berth

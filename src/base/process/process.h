#pragma once
// Programs we drive (crun, conmon, skopeo, mkfs.ext4, nft ...), without a shell.

#include <optional>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/result.h"
#include "base/runtime.h"

namespace berth {

struct Command {
  std::vector<std::string> argv;                 // argv[0] is looked up in PATH
  std::vector<std::string> environment;          // "K=V"; where empty, the parent's is inherited
  std::string standard_input;                    // given to the child, then closed
  std::string working_directory;                 // where not empty
  std::vector<std::pair<int, int>> descriptors;  // {ours, the number in the child}; all others are closed but 0, 1, 2
  std::optional<Duration> timeout;               // then the child's process group is killed
  std::size_t output_limit = 1 << 20;            // of each stream; the rest is read and dropped
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

#pragma once
// spawn_child(): the one place where a program is started. What follows it is run_command() (process.h) on a thread
// that may wait, and ChildLaunch or ChildRun (child.h) on a loop.

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth {

struct SpawnOptions {
  std::vector<std::string> argv;         // argv[0] is a path, or a name that is looked up in PATH
  std::vector<std::string> environment;  // "K=V", beside our own variables of other names
  std::string directory;                 // the child's; ours where empty
  // {ours, the number in the child}; 0, 1 and 2 are /dev/null where not given, all others are closed.
  std::vector<std::pair<int, int>> descriptors;
  std::optional<int> oom_score_adj;  // of the child and of all that it starts; ours where not given
};

// Starts the program without a shell (vfork underneath), in a session and process group of its own, with no signal
// ignored or blocked. The caller reaps the child. kNotFound: there is no such program.
//
// Any thread but a loop's: the kernel blocks every fork while a process is moved between control groups, and the move
// waits for the forks under way. With a container that forks without end under a limit of its CPU time this takes
// seconds.
Result<pid_t> spawn_child(const SpawnOptions& options);

// What waitpid() said, as a shell has it: the exit code, or 128 + the signal.
int exit_code_of(int wait_status);

}  // namespace berth

#pragma once
// Processes by their pid, as /proc and pidfds show them. Any thread; each call reads /proc and does not wait.

#include <sys/types.h>

#include <cstdint>

#include "base/files.h"
#include "base/result.h"

namespace berth {

Result<Fd> open_pidfd(pid_t pid);
// Signals everything below the process, as far as /proc shows it; not the process itself.
void kill_descendants(pid_t pid, int signal);
// The start time of a process in clock ticks since boot, which with its pid names it for ever; 0 where there is none.
std::uint64_t process_start_time(pid_t pid);
// The process namespace of the process that has this start time. kNotFound: it has ended, even if another process has
// its pid now.
Result<Fd> open_pid_namespace(pid_t pid, std::uint64_t start_time);

}  // namespace berth

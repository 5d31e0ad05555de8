#pragma once
// The long-running processes of a cluster on this machine: started detached, found by pid file, stopped in order.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/runtime.h"
#include "host/cluster_dir.h"

namespace berth::host {

struct DaemonSpec {
  std::string name;                // "server", for messages
  std::vector<std::string> argv;   // arguments of this program (/proc/self/exe), argv[0] included
  std::string pid_file, log_file;  // the pid file's mode becomes 0644 when the daemon is ready
};
DaemonSpec server_daemon(const ClusterDir& dir);
DaemonSpec agent_daemon(const ClusterDir& dir);
DaemonSpec supervisor_daemon(const ClusterDir& dir);

// Starts the daemon in a session of its own, with standard output and error in the log file. The child gets the write
// end of a pipe as descriptor 3 and writes "READY\n" to it, or the reason why it cannot start; `ready_fd` is the read
// end.
struct StartedDaemon {
  int pid = 0;
  int ready_fd = -1;
};
Result<StartedDaemon> start_daemon(const DaemonSpec& spec);
// The same, but the child calls `run` instead of executing the program again, and exits with its result: the pages of
// the two processes are shared. For single-threaded processes. The child's arguments in /proc become `spec.argv` if
// save_arguments() was called and they fit.
Result<StartedDaemon> fork_daemon(const DaemonSpec& spec, const std::function<int()>& run);
void save_arguments(int argc, char** argv);

// Waits for the daemon's report: READY or the reason why it cannot start. Empty: the daemon exited without a report.
Result<std::string> await_report(const DaemonSpec& spec, const StartedDaemon& started, Duration limit);
// Fails with the child's reason, or with the end of its log if it exited.
Status await_ready(const DaemonSpec& spec, const StartedDaemon& started, Duration limit);
// The error for a daemon that exited while starting, from its report and its log.
Error failed_start(const DaemonSpec& spec, std::string_view text);

// The process of a pid file if it is still the same process (compared by start time). If it was killed but still holds
// files and locks, waits for its end and returns nothing.
std::optional<int> running_daemon(const std::string& pid_file);
// True if the process of the pid file runs and has reported that it is ready.
bool daemon_is_ready(const DaemonSpec& spec);
// Sends `first_signal`, then SIGKILL after `grace`; waits for the end; removes the pid file.
Status stop_daemon(const std::string& pid_file, Duration grace, int first_signal);

// Called by the daemon: reports to the process that started it. No effect without descriptor 3.
void report_ready();
void report_failure(const std::string& reason);

}  // namespace berth::host

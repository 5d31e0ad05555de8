#pragma once
// The long-running processes of a cluster on this machine: started detached, found again by pid file, ended in order.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/runtime.h"
#include "host/cluster_dir.h"

namespace berth::host {

struct DaemonSpec {
  std::string name;                // "server": for messages
  std::vector<std::string> argv;   // run as this program (/proc/self/exe), argv[0] included
  std::string pid_file, log_file;  // others may read the pid file once the daemon has reported that it is ready
};
DaemonSpec server_daemon(const ClusterDir& dir);
DaemonSpec agent_daemon(const ClusterDir& dir);
DaemonSpec supervisor_daemon(const ClusterDir& dir);

// Starts it in a session of its own, standard output and error to the log file. The child gets the write end of a pipe
// as descriptor 3 and writes "READY\n" to it, or the reason why it cannot start; `ready_fd` is our end.
struct Started {
  int pid = 0;
  int ready_fd = -1;
};
Result<Started> start_daemon(const DaemonSpec& spec);
// The same, but the child goes on in `run` instead of running the program afresh, and ends with its answer: what the
// two processes have loaded is in memory once. For a process with one thread. The child is named by `spec.argv` where
// remember_arguments() was called and there is room.
Result<Started> fork_daemon(const DaemonSpec& spec, const std::function<int()>& run);
void remember_arguments(int argc, char** argv);

// Waits for what the daemon has to say, READY or why it cannot start. Empty: it ended without a word.
Result<std::string> await_word(const DaemonSpec& spec, const Started& started, Duration limit);
// The error is the child's own, or says that it ended and where its log is.
Status await_ready(const DaemonSpec& spec, const Started& started, Duration limit);
// Why a daemon ended while it was starting, from the text it wrote to its pipe and from its log.
Error failed_start(const DaemonSpec& spec, std::string_view text);

// The process of a pid file, where it is still that process (compared by start time). One that was killed but still
// holds files and locks is waited for and then counts as gone.
std::optional<int> running_daemon(const std::string& pid_file);
// The process of the pid file runs and has reported that it is ready.
bool daemon_is_ready(const DaemonSpec& spec);
// SIGTERM, then SIGKILL after `grace`; waits until it is gone; removes the pid file.
Status stop_daemon(const std::string& pid_file, Duration grace, int first_signal);

// Called in the daemon: tells the starter. Does nothing where there is no descriptor 3 from one.
void report_ready();
void report_failure(const std::string& reason);

}  // namespace berth::host

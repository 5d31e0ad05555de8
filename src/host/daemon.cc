#include "host/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/files.h"
#include "base/text.h"

namespace berth::host {
namespace {

constexpr int kReadyFd = 3;
constexpr int kEndMs = 10'000;  // time for a killed process to release its files
constexpr const char* kReadyVariable = "BERTH_READY_FD";
constexpr const char* kPidFileVariable = "BERTH_PID_FILE";
constexpr mode_t kStarting = 0600, kReady = 0644;  // modes of the pid file: a mode change needs no disk space

constexpr unsigned long kExiting = 0x4;  // PF_EXITING of the kernel's task flags

// Facts about a process from /proc. Fields 3, 9 and 22 of stat, counted after the command name, which may contain any
// character.
struct ProcessFacts {
  std::string start_time;  // empty if there is no such process
  bool ending = false;     // killed or exiting, but some of its threads may still hold files and locks
};

ProcessFacts facts_of(int pid) {
  std::string proc = "/proc/" + std::to_string(pid);
  Result<std::string> stat = read_file(proc + "/stat");
  if (!stat.ok()) return {};
  std::size_t paren = stat->rfind(')');
  if (paren == std::string::npos || paren + 2 > stat->size()) return {};
  std::vector<std::string_view> fields = split(std::string_view(*stat).substr(paren + 2), ' ');
  if (fields.size() < 20 || fields[0] == "X") return {};
  ProcessFacts facts{std::string(fields[19])};
  facts.ending = fields[0] == "Z" || (std::strtoul(std::string(fields[6]).c_str(), nullptr, 10) & kExiting) != 0;
  Result<std::string> status = read_file(proc + "/status");
  if (!status.ok()) return {};
  for (std::string_view line : split(*status, '\n')) {
    if (!line.starts_with("SigPnd:") && !line.starts_with("ShdPnd:")) continue;
    unsigned long pending = std::strtoul(std::string(trim(line.substr(7))).c_str(), nullptr, 16);
    if (pending & (1UL << (SIGKILL - 1))) facts.ending = true;
  }
  return facts;
}

void wait_gone(int pid, int limit_ms) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  pollfd waiting{fd.get(), POLLIN, 0};
  if (fd) ::poll(&waiting, 1, limit_ms);
}

std::string last_lines(const std::string& path) {
  Result<std::string> text = read_file(path);
  if (!text.ok()) return "";
  std::string_view tail = trim(*text);
  if (tail.size() > 600) tail = tail.substr(tail.size() - 600);
  if (std::size_t line = tail.rfind('\n'); line != std::string_view::npos) tail = tail.substr(line + 1);
  return std::string(tail);
}

// Resets the working directory, umask and limits inherited from the shell. Failures are ignored.
void reset_inherited_limits() {
  (void)!::chdir("/");
  ::umask(022);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  // Out of memory, the kernel kills any container before a daemon of the cluster.
  Fd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (score) (void)!::write(score.get(), "-999", 4);
}

// The memory that /proc shows as this process's arguments, and its size.
struct ArgumentArea {
  char* begin = nullptr;
  std::size_t size = 0;
} arguments;

void set_process_arguments(const std::vector<std::string>& argv) {
  std::string text;
  for (const std::string& word : argv) text += word + '\0';
  if (text.size() > arguments.size) return;
  std::memset(arguments.begin, 0, arguments.size);
  std::memcpy(arguments.begin, text.data(), text.size());
}

std::string name_of_process(int pid) { return std::to_string(pid) + " " + facts_of(pid).start_time + "\n"; }

// In the child: resets everything inherited that the daemon does not use.
void become_daemon(const DaemonSpec& spec, int log, int ready) {
  ::setsid();
  reset_inherited_limits();
  ::signal(SIGPIPE, SIG_IGN);
  // Signals sent before the daemon handles them stay pending.
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGUSR1);
  ::sigprocmask(SIG_SETMASK, &signals, nullptr);
  const int null = ::open("/dev/null", O_RDWR);
  ::dup2(null, 0);
  ::dup2(log, 1);
  ::dup2(log, 2);
  ::dup2(ready, kReadyFd);
  ::syscall(SYS_close_range, kReadyFd + 1, ~0U, 0);
  ::setenv(kReadyVariable, "3", 1);
  ::setenv(kPidFileVariable, spec.pid_file.c_str(), 1);
}

// Forks; the child runs `in_child`, which does not return.
template <class F>
Result<StartedDaemon> start(const DaemonSpec& spec, F in_child) {
  // Descriptors above 3, which dup2 replaces in the child.
  Fd log(::open(spec.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (log) log.reset(::fcntl(log.get(), F_DUPFD_CLOEXEC, kReadyFd + 1));
  if (!log) return errno_error("opening " + spec.log_file);
  int pipes[2];
  if (::pipe2(pipes, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd reading(pipes[0]), writing(pipes[1]);
  writing.reset(::fcntl(writing.get(), F_DUPFD_CLOEXEC, kReadyFd + 1));
  if (!writing) return errno_error("pipe");
  int go[2];
  if (::pipe2(go, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd may_go(go[0]), let_go(go[1]);
  const pid_t child = ::fork();
  if (child < 0) return errno_error("fork");
  if (child == 0) {
    // The child waits until the pid file names it; if the parent is killed first, it exits.
    let_go.reset();
    char byte;
    if (::read(may_go.get(), &byte, 1) != 1) ::_exit(1);
    become_daemon(spec, log.get(), writing.get());
    in_child();
    ::_exit(127);
  }
  Status named = write_file(spec.pid_file, name_of_process(child), kStarting);
  if (named.ok() && ::write(let_go.get(), "", 1) != 1) named = errno_error("starting the " + spec.name);
  if (!named.ok()) {
    let_go.reset();
    ::waitpid(child, nullptr, 0);
    return named.error();
  }
  return StartedDaemon{child, reading.release()};
}

}  // namespace

DaemonSpec server_daemon(const ClusterDir& dir) {
  return {"server", {"berth", "server", "--data-dir", dir.root}, dir.server_pid(), dir.logs() + "/server.log"};
}
DaemonSpec agent_daemon(const ClusterDir& dir) {
  return {"agent", {"berth", "agent", "--data-dir", dir.root}, dir.agent_pid(), dir.logs() + "/agent.log"};
}
DaemonSpec supervisor_daemon(const ClusterDir& dir) {
  return {"supervisor",
          {"berth", "supervise", "--data-dir", dir.root},
          dir.supervisor_pid(),
          dir.logs() + "/supervisor.log"};
}

void save_arguments(int argc, char** argv) {
  if (argc > 0)
    arguments = {argv[0], static_cast<std::size_t>(argv[argc - 1] + std::strlen(argv[argc - 1]) + 1 - argv[0])};
}

Result<StartedDaemon> start_daemon(const DaemonSpec& spec) {
  std::vector<char*> argv;
  for (const std::string& arg : spec.argv) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  return start(spec, [&] {
    ::execv("/proc/self/exe", argv.data());
    dprintf(kReadyFd, "cannot run itself: %m");
  });
}

Result<StartedDaemon> fork_daemon(const DaemonSpec& spec, const std::function<int()>& run) {
  return start(spec, [&] {
    set_process_arguments(spec.argv);
    ::prctl(PR_SET_NAME, ("berth-" + spec.name).c_str());
    std::exit(run());
  });
}

Result<std::string> await_report(const DaemonSpec& spec, const StartedDaemon& started, Duration limit) {
  Fd fd(started.ready_fd);
  std::string text;
  auto milliseconds = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(limit).count());
  while (text.find('\n') == std::string::npos) {
    pollfd waiting{fd.get(), POLLIN, 0};
    int ready = ::poll(&waiting, 1, milliseconds);
    if (ready == 0)
      return error(Code::kTimeout, "the " + spec.name + " is not ready after " + std::to_string(milliseconds / 1000) +
                                       " s; see " + spec.log_file);
    char buffer[1024];
    ssize_t length = ::read(fd.get(), buffer, sizeof buffer);
    if (length <= 0) break;
    text.append(buffer, static_cast<std::size_t>(length));
  }
  return std::string(trim(text));
}

Status await_ready(const DaemonSpec& spec, const StartedDaemon& started, Duration limit) {
  BERTH_ASSIGN(const std::string word, await_report(spec, started, limit));
  if (word == "READY") return ok_status();
  return failed_start(spec, word);
}

Error failed_start(const DaemonSpec& spec, std::string_view text) {
  if (!trim(text).empty())
    return error(Code::kInternal, "the " + spec.name + " cannot start: " + std::string(trim(text)));
  return error(Code::kInternal,
               "the " + spec.name + " ended while starting: " + last_lines(spec.log_file) + " (" + spec.log_file + ")");
}

namespace {

// Parses "pid start-time"; empty unless that process exists.
std::optional<int> process_named_in(const std::string& file, bool& ending) {
  Result<std::string> text = read_file(file);
  if (!text.ok()) return std::nullopt;
  Cut parts = cut(trim(*text), " ");
  Result<long> pid = parse_int(parts.before);
  if (!pid.ok() || *pid <= 1 || parts.after.empty()) return std::nullopt;
  ProcessFacts facts = facts_of(static_cast<int>(*pid));
  if (facts.start_time != parts.after) return std::nullopt;
  ending = facts.ending;
  return static_cast<int>(*pid);
}

}  // namespace

bool daemon_is_ready(const DaemonSpec& spec) {
  struct stat at {};
  return running_daemon(spec.pid_file) && ::stat(spec.pid_file.c_str(), &at) == 0 && (at.st_mode & 0777) == kReady;
}

std::optional<int> running_daemon(const std::string& pid_file) {
  bool ending = false;
  const std::optional<int> pid = process_named_in(pid_file, ending);
  if (!pid || !ending) return pid;
  wait_gone(*pid, kEndMs);
  return std::nullopt;
}

Status stop_daemon(const std::string& pid_file, Duration grace, int first_signal) {
  std::optional<int> pid = running_daemon(pid_file);
  if (pid) {
    int fd = static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0));
    ::kill(*pid, first_signal);
    pollfd waiting{fd, POLLIN, 0};
    auto milliseconds = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(grace).count());
    if (fd >= 0 && ::poll(&waiting, 1, milliseconds) == 0) {
      ::kill(*pid, SIGKILL);
      ::poll(&waiting, 1, 5000);
    }
    if (fd >= 0) ::close(fd);
    // Reap a child of this process (up and down in one process); no effect for other processes.
    ::waitpid(*pid, nullptr, WNOHANG);
  }
  ::unlink(pid_file.c_str());
  return ok_status();
}

void report_ready() {
  if (::getenv(kReadyVariable) == nullptr) return;
  if (const char* file = ::getenv(kPidFileVariable)) ::chmod(file, kReady);
  (void)!::write(kReadyFd, "READY\n", 6);
  ::close(kReadyFd);
  ::unsetenv(kReadyVariable);
}

void report_failure(const std::string& reason) {
  dprintf(2, "%s\n", reason.c_str());
  if (::getenv(kReadyVariable) == nullptr) return;
  dprintf(kReadyFd, "%s\n", reason.c_str());
  ::close(kReadyFd);
  ::unsetenv(kReadyVariable);
}

}  // namespace berth::host

#include "lab/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/files.h"
#include "base/text.h"

namespace berth::lab {
namespace {

constexpr int kReadyFd = 3;
constexpr int kEndMs = 10'000;  // how long a killed process may take to let go of its files
constexpr const char* kReadyVariable = "BERTH_READY_FD";

constexpr unsigned long kExiting = 0x4;  // PF_EXITING of the kernel's task flags

// What /proc says of a process. Fields 3, 9 and 22 of its stat, counted behind the command name, which may hold anything.
struct ProcessFacts {
  std::string start_time;  // empty where there is no such process
  bool ending = false;     // killed or exiting, but its files and locks may still be held: by other threads of it too
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

}  // namespace

Result<Started> start_daemon(const DaemonSpec& spec) {
  Fd log(::open(spec.log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640));
  if (!log) return errno_error("opening " + spec.log_file);
  int pipes[2];
  if (::pipe2(pipes, O_CLOEXEC) != 0) return errno_error("pipe");
  std::vector<char*> argv;
  for (const std::string& arg : spec.argv) argv.push_back(const_cast<char*>(arg.c_str()));
  argv.push_back(nullptr);
  pid_t child = ::fork();
  if (child < 0) return errno_error("fork");
  if (child == 0) {
    ::setsid();
    int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 0);
    ::dup2(log.get(), 1);
    ::dup2(log.get(), 2);
    ::dup2(pipes[1], kReadyFd);
    ::syscall(SYS_close_range, kReadyFd + 1, ~0U, 0);
    ::setenv(kReadyVariable, "3", 1);
    ::execv("/proc/self/exe", argv.data());
    dprintf(kReadyFd, "cannot run itself: %m");
    _exit(127);
  }
  ::close(pipes[1]);
  BERTH_TRY(write_file(spec.pid_file, std::to_string(child) + " " + facts_of(child).start_time + "\n"));
  return Started{child, pipes[0]};
}

Status await_ready(const DaemonSpec& spec, const Started& started, Duration limit) {
  Fd fd(started.ready_fd);
  std::string text;
  auto milliseconds = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(limit).count());
  while (text.find('\n') == std::string::npos) {
    pollfd waiting{fd.get(), POLLIN, 0};
    int ready = ::poll(&waiting, 1, milliseconds);
    if (ready == 0) return error(Code::kTimeout, "the " + spec.name + " is not ready after " + std::to_string(milliseconds / 1000) +
                                                     " s; see " + spec.log_file);
    char buffer[1024];
    ssize_t length = ::read(fd.get(), buffer, sizeof buffer);
    if (length <= 0) break;
    text.append(buffer, static_cast<std::size_t>(length));
  }
  if (text.starts_with("READY")) return ok_status();
  if (!trim(text).empty()) return error(Code::kInternal, "the " + spec.name + " cannot start: " + std::string(trim(text)));
  return error(Code::kInternal, "the " + spec.name + " ended while starting: " + last_lines(spec.log_file) + " (" + spec.log_file + ")");
}

std::optional<int> running_daemon(const std::string& pid_file) {
  Result<std::string> text = read_file(pid_file);
  if (!text.ok()) return std::nullopt;
  Cut parts = cut(trim(*text), " ");
  Result<long> pid = parse_int(parts.before);
  if (!pid.ok() || *pid <= 1 || parts.after.empty()) return std::nullopt;
  ProcessFacts facts = facts_of(static_cast<int>(*pid));
  if (facts.start_time != parts.after) return std::nullopt;
  if (facts.ending) {
    wait_gone(static_cast<int>(*pid), kEndMs);
    return std::nullopt;
  }
  return static_cast<int>(*pid);
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
    // A child of our own (up, then down in one process) must be reaped; for all others this does nothing.
    ::waitpid(*pid, nullptr, WNOHANG);
  }
  ::unlink(pid_file.c_str());
  return ok_status();
}

void report_ready() {
  if (::getenv(kReadyVariable) == nullptr) return;
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

}  // namespace berth::lab

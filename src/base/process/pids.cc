#include "base/process/pids.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"

namespace berth {

Result<Fd> open_pidfd(pid_t pid) {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return errno_error("pidfd_open of " + std::to_string(pid));
  return fd;
}

void kill_descendants(pid_t pid, int signal) {
  std::string at = "/proc/" + std::to_string(pid) + "/task";
  if (auto threads = list_directory(at); threads.ok()) {
    for (const auto& thread : *threads) {
      auto children = read_file(at + "/" + thread + "/children");
      if (!children.ok()) continue;
      for (auto child : split(trim(*children), ' ')) {
        auto number = parse_int(child);
        if (!number.ok() || *number <= 1) continue;
        kill_descendants(static_cast<pid_t>(*number), signal);
        ::kill(static_cast<pid_t>(*number), signal);
      }
    }
  }
}

std::uint64_t process_start_time(pid_t pid) {
  auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat.ok()) return 0;
  auto end = stat->rfind(')');  // the name before it may hold anything
  if (end == std::string::npos) return 0;
  auto fields = split(std::string_view(*stat).substr(end + 2), ' ');
  if (fields.size() < 20 || fields[0] == "Z") return 0;
  auto ticks = parse_int(fields[19]);
  return ticks.ok() ? static_cast<std::uint64_t>(*ticks) : 0;
}

Result<Fd> open_pid_namespace(pid_t pid, std::uint64_t start_time) {
  Fd space(::open(("/proc/" + std::to_string(pid) + "/ns/pid").c_str(), O_RDONLY | O_CLOEXEC));
  const int why = errno;
  // Looked at once it is open: what was opened is of that process then.
  if (start_time == 0 || process_start_time(pid) != start_time)
    return error(Code::kNotFound, "process " + std::to_string(pid) + " has ended");
  if (!space) return errno_error("opening the process namespace of " + std::to_string(pid), why);
  return space;
}

}  // namespace berth

#include "agent/runtime/orphans.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "base/files.h"
#include "base/process/pids.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr int kGoneMs = 2000;

using Arguments = std::vector<std::string>;

bool has(const Arguments& arguments, const std::string& word) {
  return std::find(arguments.begin(), arguments.end(), word) != arguments.end();
}

// The word behind `option`.
std::string value_of(const Arguments& arguments, const std::string& option) {
  auto at = std::find(arguments.begin(), arguments.end(), option);
  return at == arguments.end() || at + 1 == arguments.end() ? "" : *(at + 1);
}

pid_t parent_of(pid_t pid) {
  auto stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!stat.ok()) return 0;
  auto fields = split(std::string_view(*stat).substr(std::min(stat->size(), stat->rfind(')') + 2)), ' ');
  auto parent = fields.size() > 1 ? parse_int(fields[1]) : Result<long>(0L);
  return parent.ok() ? static_cast<pid_t>(*parent) : 0;
}

// What runs as `program`. A pod's process may call itself so as well; it is killed then, which is the pod's own affair.
void for_each_process(const std::string& program, const std::function<void(pid_t, const Arguments&)>& found) {
  auto entries = list_directory("/proc");
  if (!entries.ok()) return;
  for (const std::string& entry : *entries) {
    auto pid = parse_int(entry);
    if (!pid.ok()) continue;
    auto line = read_file("/proc/" + entry + "/cmdline");
    if (!line.ok() || !line->starts_with(program) || (line->size() > program.size() && (*line)[program.size()] != '\0'))
      continue;
    Arguments arguments;
    for (auto word : split(*line, '\0')) arguments.emplace_back(word);
    found(static_cast<pid_t>(*pid), arguments);
  }
}

void end_process(pid_t pid) {
  auto fd = open_pidfd(pid);
  kill_descendants(pid, SIGKILL);
  ::kill(pid, SIGKILL);
  kill_descendants(pid, SIGKILL);
  if (!fd.ok()) return;
  pollfd waiting{fd->get(), POLLIN, 0};
  ::poll(&waiting, 1, kGoneMs);
}

}  // namespace

void end_orphaned_execs(const CrunConfig& config, const RuntimePaths& paths) {
  std::vector<pid_t> orphans;
  auto look = [&](pid_t pid, const Arguments& arguments) {
    const bool ours = has(arguments, "--root=" + paths.crun()) || has(arguments, "--root=" + paths.exec());
    if (ours && has(arguments, "exec") && parent_of(pid) != ::getpid()) orphans.push_back(pid);
  };
  for (const std::string& program : {config.crun, paths.crun_link(), std::string(kShell)})
    for_each_process(program, look);
  for (pid_t pid : orphans) end_process(pid);
}

void end_monitor(const CrunConfig& config, const RuntimePaths& paths, const std::string& id) {
  std::vector<pid_t> monitors;
  for_each_process(config.conmon, [&](pid_t pid, const Arguments& arguments) {
    if (value_of(arguments, "--exit-dir") == paths.exits() && value_of(arguments, "-c") == id) monitors.push_back(pid);
  });
  for (pid_t pid : monitors) end_process(pid);
}

}  // namespace berth::agent

#include "base/process/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/files.h"
#include "base/text.h"

namespace berth {
namespace {

// Assigns the child's descriptors. Sources are first copied above every number wanted, so that no step overwrites
// the source of a later one; the copies close themselves on exec.
class DescriptorPlan {
 public:
  DescriptorPlan() { ::posix_spawn_file_actions_init(&actions_); }
  ~DescriptorPlan() { ::posix_spawn_file_actions_destroy(&actions_); }
  DescriptorPlan(const DescriptorPlan&) = delete;
  DescriptorPlan& operator=(const DescriptorPlan&) = delete;

  Status prepare(const SpawnOptions& options) {
    int highest = 2;
    for (auto [ours, theirs] : options.descriptors) highest = std::max(highest, theirs);
    std::vector<bool> used(static_cast<std::size_t>(highest) + 1);
    for (auto [ours, theirs] : options.descriptors) {
      if (theirs < 0) return errno_error("descriptor " + std::to_string(theirs), EBADF);
      copies_.emplace_back(::fcntl(ours, F_DUPFD_CLOEXEC, highest + 1));
      if (!copies_.back()) return errno_error("duplicating descriptor " + std::to_string(ours));
      ::posix_spawn_file_actions_adddup2(&actions_, copies_.back().get(), theirs);
      used[static_cast<std::size_t>(theirs)] = true;
    }
    for (int fd = 0; fd <= highest; ++fd) {
      if (used[static_cast<std::size_t>(fd)]) continue;
      if (fd < 3) {
        ::posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0);
      } else {
        ::posix_spawn_file_actions_addclose(&actions_, fd);
      }
    }
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, highest + 1);
    if (!options.directory.empty()) ::posix_spawn_file_actions_addchdir_np(&actions_, options.directory.c_str());
    return {};
  }
  const posix_spawn_file_actions_t* actions() const { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_;
  std::vector<Fd> copies_;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  return out;
}

std::vector<char*> environment_with(const std::vector<std::string>& added) {
  std::vector<char*> out = pointers(added);
  for (char** at = environ; at && *at; ++at) {
    const std::string_view name = cut(*at, "=").before;
    const bool replaced =
        std::any_of(added.begin(), added.end(), [&](const std::string& one) { return cut(one, "=").before == name; });
    if (!replaced) out.push_back(*at);
  }
  out.push_back(nullptr);
  return out;
}

// A process inherits the score. The program has hardly begun by now; processes that it has started already are found
// below it.
void set_oom_score(pid_t pid, const std::string& score) {
  const std::string proc = "/proc/" + std::to_string(pid);
  Fd fd(::open((proc + "/oom_score_adj").c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), score.data(), score.size()) < 0) return;  // it has ended, or we may not lower it
  auto children = read_file(proc + "/task/" + std::to_string(pid) + "/children");
  if (!children.ok()) return;
  for (auto child : split(trim(*children), ' ')) {
    if (auto number = parse_int(child); number.ok() && *number > 1) set_oom_score(static_cast<pid_t>(*number), score);
  }
}

}  // namespace

Result<pid_t> spawn_child(const SpawnOptions& options) {
  const std::string action = "starting " + options.argv.at(0);
  DescriptorPlan plan;
  if (Status prepared = plan.prepare(options); !prepared.ok()) return prepared.error().in(action);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t all, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  auto argv = pointers(options.argv);
  argv.push_back(nullptr);
  auto environment = environment_with(options.environment);
  pid_t pid = -1;
  const int failed = ::posix_spawnp(&pid, argv[0], plan.actions(), &attributes, argv.data(), environment.data());
  ::posix_spawnattr_destroy(&attributes);
  if (failed) {
    Error why = errno_error(action, failed);
    if (failed == ENOENT) why.code = Code::kNotFound;
    return why;
  }
  if (options.oom_score_adj) set_oom_score(pid, std::to_string(*options.oom_score_adj));
  return pid;
}

int exit_code_of(int wait_status) {
  return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

}  // namespace berth

#include "agent/runtime/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "base/text.h"

namespace berth::agent {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  return out;
}

// A process gets the score from the one that forks it. The programs we start have hardly begun by now; what one of them
// has started already is met below it.
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
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawnattr_init(&attributes);
  int highest = 2;
  for (auto [ours, theirs] : options.descriptors) highest = std::max(highest, theirs);
  // Copied above every number wanted first, so that no step overwrites the source of a later one.
  std::vector<Fd> copies;
  std::array<bool, 3> given{};
  for (auto [ours, theirs] : options.descriptors) {
    copies.emplace_back(::fcntl(ours, F_DUPFD_CLOEXEC, highest + 1));
    if (!copies.back()) {
      Error why = errno_error("starting " + options.argv[0] + ": duplicating descriptor " + std::to_string(ours));
      ::posix_spawn_file_actions_destroy(&actions);
      ::posix_spawnattr_destroy(&attributes);
      return why;
    }
    ::posix_spawn_file_actions_adddup2(&actions, copies.back().get(), theirs);
    if (theirs < 3) given[static_cast<std::size_t>(theirs)] = true;
  }
  for (int fd = 0; fd < 3; ++fd) {
    if (!given[static_cast<std::size_t>(fd)]) ::posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
  }
  for (int fd = 3; fd <= highest; ++fd) {
    bool wanted = false;
    for (auto [ours, theirs] : options.descriptors) wanted = wanted || theirs == fd;
    if (!wanted) ::posix_spawn_file_actions_addclose(&actions, fd);
  }
  ::posix_spawn_file_actions_addclosefrom_np(&actions, highest + 1);
  if (!options.directory.empty()) ::posix_spawn_file_actions_addchdir_np(&actions, options.directory.c_str());
  sigset_t all, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  auto argv = pointers(options.argv);
  argv.push_back(nullptr);
  auto environment = pointers(options.environment);
  for (char** at = environ; at && *at; ++at) environment.push_back(*at);
  environment.push_back(nullptr);
  pid_t pid = -1;
  int failed = ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environment.data());
  ::posix_spawn_file_actions_destroy(&actions);
  ::posix_spawnattr_destroy(&attributes);
  if (failed) return errno_error("starting " + options.argv[0], failed);
  if (options.oom_score_adj) set_oom_score(pid, std::to_string(*options.oom_score_adj));
  return pid;
}

void reap(Loop& loop, pid_t pid) {
  if (pid <= 0 || ::waitpid(pid, nullptr, WNOHANG) != 0) return;
  auto pidfd = std::make_shared<Fd>(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int fd = pidfd->get();
  // Where it cannot be watched, it is left to whoever reaps for us when we end.
  (void)loop.watch_fd(fd, EPOLLIN, [&loop, pid, pidfd = std::move(pidfd)](std::uint32_t) {
    if (::waitpid(pid, nullptr, WNOHANG) == 0) return;  // its last thread is still ending: asked again at once
    loop.unwatch_fd(pidfd->get());
  });
}

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

struct ChildLaunch::Shared {
  enum Step { kWaiting, kStarted, kDropped };
  SpawnOptions options;
  std::vector<Fd> given;
  std::atomic<Step> step{kWaiting};  // who moves it from kWaiting last sees to the program's end
  Result<pid_t> pid = 0;             // from kStarted on
};

std::unique_ptr<ChildLaunch> ChildLaunch::start(Loop& loop, ThreadPool& spawner, SpawnOptions options,
                                                std::vector<Fd> given, Function<void(Result<pid_t>)> done) {
  std::unique_ptr<ChildLaunch> launch(new ChildLaunch(loop));
  launch->shared_ = std::make_shared<Shared>();
  launch->shared_->options = std::move(options);
  launch->shared_->given = std::move(given);
  launch->done_ = std::move(done);
  auto work = [shared = launch->shared_] {
    if (shared->step == Shared::kDropped) return;
    shared->pid = spawn_child(shared->options);
    shared->given.clear();
    Shared::Step waiting = Shared::kWaiting;
    if (shared->step.compare_exchange_strong(waiting, Shared::kStarted) || !shared->pid.ok()) return;
    kill_descendants(*shared->pid, SIGKILL);
    ::kill(*shared->pid, SIGKILL);
    ::waitpid(*shared->pid, nullptr, 0);
  };
  spawner.submit(std::move(work), [self = launch.get(), alive = launch->lifetime_.guard()] {
    if (alive) self->finish();
  });
  return launch;
}

ChildLaunch::~ChildLaunch() {
  lifetime_.end();
  if (!shared_) return;
  Shared::Step waiting = Shared::kWaiting;
  if (shared_->step.compare_exchange_strong(waiting, Shared::kDropped) || !shared_->pid.ok()) return;
  kill_descendants(*shared_->pid, SIGKILL);
  ::kill(*shared_->pid, SIGKILL);
  reap(loop_, *shared_->pid);
}

void ChildLaunch::finish() {
  auto shared = std::move(shared_);
  auto done = std::move(done_);
  done(std::move(shared->pid));  // may destroy this
}

Result<std::unique_ptr<ChildRun>> ChildRun::start(Loop& loop, ThreadPool& spawner, SpawnOptions options,
                                                  std::vector<Fd> given, Duration timeout, std::size_t limit,
                                                  Function<void(Result<Outcome>)> done) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd read_end(ends[0]), write_end(ends[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  options.descriptors.emplace_back(write_end.get(), 1);
  options.descriptors.emplace_back(write_end.get(), 2);
  given.push_back(std::move(write_end));
  std::unique_ptr<ChildRun> run(new ChildRun(loop));
  ChildRun* self = run.get();
  self->limit_ = limit;
  self->done_ = std::move(done);
  self->output_ = std::move(read_end);
  self->launch_ = ChildLaunch::start(loop, spawner, std::move(options), std::move(given),
                                     [self](Result<pid_t> pid) { self->launched(std::move(pid)); });
  if (timeout > Duration::zero()) {
    self->timer_ = loop.after(timeout, [self] { self->time_is_up(); });
  }
  return run;
}

void ChildRun::launched(Result<pid_t> pid) {
  launch_.reset();
  if (!pid.ok()) return finish(pid.error());
  pid_ = *pid;  // from here on the destructor kills and reaps
  auto pidfd = open_pidfd(pid_);
  if (!pidfd.ok()) return finish(pidfd.error());
  pidfd_ = std::move(pidfd).value();
  Status watched = loop_.watch_fd(pidfd_.get(), EPOLLIN, [this](std::uint32_t) { exited(); });
  if (watched.ok()) watched = loop_.watch_fd(output_.get(), EPOLLIN, [this](std::uint32_t) { read_output(); });
  if (!watched.ok()) finish(watched.error());
}

void ChildRun::finish(Result<Outcome> outcome) {
  if (timer_) loop_.cancel(std::exchange(timer_, 0));
  auto done = std::move(done_);
  done(std::move(outcome));  // may destroy this
}

ChildRun::~ChildRun() {
  if (timer_) loop_.cancel(timer_);
  if (pidfd_) loop_.unwatch_fd(pidfd_.get());
  if (output_) loop_.unwatch_fd(output_.get());
  if (pid_ > 0) {
    kill_descendants(pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    reap(loop_, pid_);
  }
}

// The program itself goes on for a moment: it is the one that must reap what it ran. A process that nobody reaps would
// keep its container's process namespace from ending.
void ChildRun::time_is_up() {
  outcome_.timed_out = true;
  if (launch_) {  // it has not even started
    timer_ = 0;
    launch_.reset();
    return finish(std::move(outcome_));
  }
  kill_descendants(pid_, SIGKILL);
  timer_ = loop_.after(500ms, [this] {
    timer_ = 0;
    kill_descendants(pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    // In a control group that has no CPU time left it cannot even end. The caller is told in time; the destructor
    // leaves it to reap().
    timer_ = loop_.after(500ms, [this] {
      timer_ = 0;
      loop_.unwatch_fd(pidfd_.get());
      if (output_) loop_.unwatch_fd(output_.get());
      finish(std::move(outcome_));
    });
  });
}

// A program may write faster than this reads: what is left waits for the next turn of the loop.
void ChildRun::read_output() {
  constexpr int kReadsATurn = 16;
  std::array<char, 8192> buffer;
  for (int reads = 0; output_ && reads < kReadsATurn; ++reads) {
    ssize_t n = ::read(output_.get(), buffer.data(), buffer.size());
    if (n > 0) {
      std::size_t room = limit_ - std::min(limit_, outcome_.output.size());
      outcome_.output.append(buffer.data(), std::min(room, static_cast<std::size_t>(n)));
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else {
      if (n == 0) {
        loop_.unwatch_fd(output_.get());
        output_.reset();
      }
      return;
    }
  }
}

void ChildRun::exited() {
  int status = 0;
  const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
  if (reaped == 0) return;  // its last thread is still ending: called again at once
  read_output();            // what it wrote; a grandchild that keeps the pipe open is not waited for
  loop_.unwatch_fd(pidfd_.get());
  if (reaped == pid_) outcome_.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  pid_ = 0;
  finish(std::move(outcome_));
}

}  // namespace berth::agent

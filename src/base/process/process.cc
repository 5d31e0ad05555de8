#include "base/process/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace berth {
namespace {

Duration monotonic_now() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// Writing to a child that reads no more must not end this process where SIGPIPE is not ignored (it is per thread
// that a signal can be held back, so other threads notice nothing).
class HoldSigpipe {
 public:
  HoldSigpipe() {
    ::sigemptyset(&pipe_);
    ::sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~HoldSigpipe() {
    timespec zero{};
    while (!was_pending_ && ::sigtimedwait(&pipe_, nullptr, &zero) < 0 && errno == EINTR) {}
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  HoldSigpipe(const HoldSigpipe&) = delete;
  HoldSigpipe& operator=(const HoldSigpipe&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Status set_nonblocking(const Fd& fd) {
  if (::fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return errno_error("fcntl");
  return {};
}

// What the child's descriptors will be. Sources are first copied above every number wanted, so that no step
// overwrites the source of a later one; the copies close themselves on exec.
class DescriptorPlan {
 public:
  explicit DescriptorPlan(const Command& command) {
    for (auto [ours, theirs] : command.descriptors) highest_ = std::max(highest_, theirs);
    used_.resize(static_cast<std::size_t>(highest_) + 1);
    ::posix_spawn_file_actions_init(&actions_);
  }
  ~DescriptorPlan() { ::posix_spawn_file_actions_destroy(&actions_); }
  DescriptorPlan(const DescriptorPlan&) = delete;
  DescriptorPlan& operator=(const DescriptorPlan&) = delete;

  // The first claim of a number wins.
  Status give(int ours, int theirs) {
    if (theirs < 0) return errno_error("descriptor " + std::to_string(theirs), EBADF);
    if (used_[static_cast<std::size_t>(theirs)]) return {};
    used_[static_cast<std::size_t>(theirs)] = true;
    Fd copy(::fcntl(ours, F_DUPFD_CLOEXEC, highest_ + 1));
    if (!copy) return errno_error("descriptor " + std::to_string(ours));
    ::posix_spawn_file_actions_adddup2(&actions_, copy.get(), theirs);
    copies_.push_back(std::move(copy));
    return {};
  }

  const posix_spawn_file_actions_t* finish(const std::string& working_directory) {
    for (std::size_t fd = 0; fd < used_.size(); ++fd) {
      if (!used_[fd]) ::posix_spawn_file_actions_addclose(&actions_, static_cast<int>(fd));
    }
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, highest_ + 1);
    if (!working_directory.empty()) ::posix_spawn_file_actions_addchdir_np(&actions_, working_directory.c_str());
    return &actions_;
  }

 private:
  posix_spawn_file_actions_t actions_;
  int highest_ = 2;
  std::vector<bool> used_;
  std::vector<Fd> copies_;
};

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const auto& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

Result<pid_t> spawn(const Command& command, DescriptorPlan& plan) {
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  // Its own process group; no ignored or blocked signals of ours.
  sigset_t all, none;
  ::sigfillset(&all);
  ::sigemptyset(&none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  auto argv = pointers(command.argv);
  auto environment = pointers(command.environment);
  pid_t pid = -1;
  int failed = ::posix_spawnp(&pid, argv[0], plan.finish(command.working_directory), &attributes, argv.data(),
                              command.environment.empty() ? environ : environment.data());
  ::posix_spawnattr_destroy(&attributes);
  if (failed) {
    Error e = errno_error("starting " + command.argv[0], failed);
    if (failed == ENOENT) e.code = Code::kNotFound;
    return e;
  }
  return pid;
}

// Reads what is there; closes at the end of the stream. Keeps the first `limit` bytes.
void drain(Fd& fd, std::string& out, std::size_t limit) {
  std::array<char, 16384> buffer;
  while (fd) {
    ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n > 0) {
      std::size_t room = limit - std::min(limit, out.size());
      out.append(buffer.data(), std::min(room, static_cast<std::size_t>(n)));
      // One turn of a fast writer at a time, so that the timeout is looked at.
      if (static_cast<std::size_t>(n) == buffer.size()) return;
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else {
      if (n == 0 || errno != EAGAIN) fd.reset();
      return;
    }
  }
}

void feed(Fd& fd, std::string_view& rest) {
  while (fd && !rest.empty()) {
    ssize_t n = ::write(fd.get(), rest.data(), rest.size());
    if (n >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(n));
    } else if (errno == EAGAIN) {
      return;
    } else if (errno != EINTR) {
      break;  // it reads no more
    }
  }
  fd.reset();
}

struct Streams {
  Fd input, output, errors;
};

// Until the child itself has ended; what it started and left behind may keep the streams open.
void converse(pid_t pid, const Fd& pidfd, Streams& streams, const Command& command, Finished& finished) {
  std::string_view rest = command.standard_input;
  Duration begin = monotonic_now();
  for (;;) {
    std::array<pollfd, 4> polls = {{{pidfd.get(), POLLIN, 0},
                                    {streams.output.get(), POLLIN, 0},
                                    {streams.errors.get(), POLLIN, 0},
                                    {streams.input.get(), POLLOUT, 0}}};
    timespec wait{};
    bool limited = command.timeout && !finished.timed_out;
    if (limited) {
      Duration left = std::max(*command.timeout - (monotonic_now() - begin), Duration::zero());
      wait = {left.count() / 1'000'000'000, left.count() % 1'000'000'000};
    }
    int n = ::ppoll(polls.data(), polls.size(), limited ? &wait : nullptr, nullptr);
    if (n < 0) {
      BERTH_CHECK(errno == EINTR, "ppoll failed");
      continue;
    }
    if (polls[1].revents) drain(streams.output, finished.standard_output, command.output_limit);
    if (polls[2].revents) drain(streams.errors, finished.standard_error, command.output_limit);
    if (polls[3].revents) feed(streams.input, rest);
    if (polls[0].revents) return;
    if (limited && monotonic_now() - begin >= *command.timeout) {
      finished.timed_out = true;
      ::kill(-pid, SIGKILL);  // not reaped yet, so the number is still the child's
    }
  }
}

// The bytes that were in the pipe when the child ended; a survivor that writes on without end is not waited for.
void drain_rest(Fd& fd, std::string& out, std::size_t limit) {
  constexpr int kPipeBuffers = (1 << 20) / 16384 + 1;
  for (int i = 0; fd && i < kPipeBuffers; ++i) {
    pollfd poll{fd.get(), POLLIN, 0};
    if (::poll(&poll, 1, 0) <= 0) return;
    drain(fd, out, limit);
  }
}

int reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

std::string last_words(const Finished& finished) {
  const std::string& text = finished.standard_error.empty() ? finished.standard_output : finished.standard_error;
  auto end = text.find_last_not_of(" \r\n\t");
  if (end == std::string::npos) return {};
  std::size_t begin = end + 1 > 1000 ? end + 1 - 1000 : 0;
  return text.substr(begin, end + 1 - begin);
}

}  // namespace

Result<Finished> run_command(const Command& command) {
  if (command.argv.empty() || command.argv[0].empty()) return error(Code::kInvalid, "a command needs a program");
  BERTH_ASSIGN(auto output, make_pipe());
  BERTH_ASSIGN(auto errors, make_pipe());
  Streams streams;
  Result<pid_t> pid(-1);
  {
    DescriptorPlan plan(command);
    for (auto [ours, theirs] : command.descriptors) BERTH_TRY(plan.give(ours, theirs));
    Fd input;
    if (command.standard_input.empty()) {
      input = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!input) return errno_error("opening /dev/null");
    } else {
      BERTH_ASSIGN(auto pipe, make_pipe());
      input = std::move(pipe.read);
      streams.input = std::move(pipe.write);
      BERTH_TRY(set_nonblocking(streams.input));
    }
    BERTH_TRY(plan.give(input.get(), 0));
    BERTH_TRY(plan.give(output.write.get(), 1));
    BERTH_TRY(plan.give(errors.write.get(), 2));
    BERTH_TRY(set_nonblocking(output.read));
    BERTH_TRY(set_nonblocking(errors.read));
    pid = spawn(command, plan);
  }
  if (!pid.ok()) return pid.error();
  output.write.reset();
  errors.write.reset();
  streams.output = std::move(output.read);
  streams.errors = std::move(errors.read);

  // Nobody else waits for this child, so the number cannot have been given to another process.
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, *pid, 0)));
  if (!pidfd) {
    Error e = errno_error("pidfd_open");
    ::kill(-*pid, SIGKILL);
    reap(*pid);
    return e;
  }
  Finished finished;
  {
    HoldSigpipe hold;
    converse(*pid, pidfd, streams, command, finished);
  }
  finished.exit_code = reap(*pid);
  drain_rest(streams.output, finished.standard_output, command.output_limit);
  drain_rest(streams.errors, finished.standard_error, command.output_limit);
  return finished;
}

Result<std::string> run_checked(const Command& command) {
  BERTH_ASSIGN(auto finished, run_command(command));
  if (finished.ok()) return std::move(finished.standard_output);
  std::string message = command.argv[0];
  if (finished.timed_out) {
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(*command.timeout).count();
    message += ": killed after " + std::to_string(ms) + "ms";
  } else {
    message += ": exit code " + std::to_string(finished.exit_code);
  }
  std::string words = last_words(finished);
  if (!words.empty()) message += ": " + words;
  return error(finished.timed_out ? Code::kTimeout : Code::kInternal, std::move(message));
}

}  // namespace berth

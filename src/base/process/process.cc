#include "base/process/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <tuple>

#include "base/process/pids.h"
#include "base/process/read_pipe.h"
#include "base/process/spawn.h"

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

// Closes the pipe at its end.
void drain(Fd& fd, std::string& out, std::size_t limit) {
  if (fd && read_pipe(fd.get(), out, limit) == PipeState::kEnded) fd.reset();
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

// The bytes that were in the pipe when the child ended (a pipe holds at most 1 MiB); a survivor that writes on without
// end is not waited for.
void drain_rest(Fd& fd, std::string& out, std::size_t limit) {
  for (int i = 0; fd && i < 5; ++i) {
    pollfd poll{fd.get(), POLLIN, 0};
    if (::poll(&poll, 1, 0) <= 0) return;
    drain(fd, out, limit);
  }
}

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return -1;
  }
  return exit_code_of(status);
}

// The child's ends of the pipes; one is used unless Command::descriptors has its number.
struct ChildEnds {
  Fd input, output, errors;
};

Result<pid_t> spawn_with_pipes(const Command& command, Streams& streams) {
  SpawnOptions options{command.argv, command.environment, command.directory, command.descriptors, {}};
  ChildEnds theirs;
  auto connect = [&](int number, Fd& end) {
    const bool given = std::any_of(command.descriptors.begin(), command.descriptors.end(),
                                   [&](const auto& one) { return one.second == number; });
    if (!given) options.descriptors.emplace_back(end.get(), number);
  };
  if (!command.standard_input.empty()) {
    BERTH_ASSIGN(auto pipe, make_pipe());
    theirs.input = std::move(pipe.read);
    streams.input = std::move(pipe.write);
    BERTH_TRY(set_nonblocking(streams.input));
    connect(0, theirs.input);
  }
  for (auto [number, end, ours] :
       {std::tuple(1, &theirs.output, &streams.output), std::tuple(2, &theirs.errors, &streams.errors)}) {
    BERTH_ASSIGN(auto pipe, make_pipe());
    *end = std::move(pipe.write);
    *ours = std::move(pipe.read);
    BERTH_TRY(set_nonblocking(*ours));
    connect(number, *end);
  }
  return spawn_child(options);
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
  Streams streams;
  BERTH_ASSIGN(const pid_t pid, spawn_with_pipes(command, streams));
  // Only this function waits for the child, so its pid cannot have been reused.
  auto pidfd = open_pidfd(pid);
  if (!pidfd.ok()) {
    ::kill(-pid, SIGKILL);
    wait_for(pid);
    return pidfd.error();
  }
  Finished finished;
  {
    HoldSigpipe hold;
    converse(pid, *pidfd, streams, command, finished);
  }
  finished.exit_code = wait_for(pid);
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

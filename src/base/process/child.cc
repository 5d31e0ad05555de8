#include "base/process/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "base/process/pids.h"
#include "base/process/read_pipe.h"

namespace berth {

void reap(Loop& loop, pid_t pid) {
  if (pid <= 0 || ::waitpid(pid, nullptr, WNOHANG) != 0) return;
  auto opened = open_pidfd(pid);
  if (!opened.ok()) return;
  auto pidfd = std::make_shared<Fd>(std::move(opened).value());
  const int fd = pidfd->get();
  // If it cannot be watched, it stays a zombie until this process ends and init reaps it.
  (void)loop.watch_fd(fd, EPOLLIN, [&loop, pid, pidfd = std::move(pidfd)](std::uint32_t) {
    if (::waitpid(pid, nullptr, WNOHANG) == 0) return;  // its last thread is still ending: called again at once
    loop.unwatch_fd(pidfd->get());
  });
}

struct ChildLaunch::Shared {
  enum Step { kWaiting, kStarted, kDropped };
  SpawnOptions options;
  std::vector<Fd> given;
  std::atomic<Step> step{kWaiting};  // the one that finds it moved from kWaiting ends the program
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

// Kills the descendants first: the program must reap them. An unreaped process would keep its container's process
// namespace from ending.
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
    // In a control group without CPU time left the program cannot end. The caller gets its answer in time; the
    // destructor leaves the program to reap().
    timer_ = loop_.after(500ms, [this] {
      timer_ = 0;
      loop_.unwatch_fd(pidfd_.get());
      if (output_) loop_.unwatch_fd(output_.get());
      finish(std::move(outcome_));
    });
  });
}

void ChildRun::read_output() {
  if (!output_ || read_pipe(output_.get(), outcome_.output, limit_) == PipeState::kOpen) return;
  loop_.unwatch_fd(output_.get());
  output_.reset();
}

void ChildRun::exited() {
  int status = 0;
  const pid_t reaped = ::waitpid(pid_, &status, WNOHANG);
  if (reaped == 0) return;  // its last thread is still ending: called again at once
  read_output();            // what it wrote; a grandchild that keeps the pipe open is not waited for
  loop_.unwatch_fd(pidfd_.get());
  if (reaped == pid_) outcome_.exit_code = exit_code_of(status);
  pid_ = 0;
  finish(std::move(outcome_));
}

}  // namespace berth

#include "agent/runtime/exec_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/process/child.h"
#include "base/process/pids.h"

namespace berth::agent {
namespace {

// The descriptor that came with a message, or none.
Fd receive_descriptor(int socket) {
  char byte[256];
  iovec part{byte, sizeof byte};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) return Fd();
  for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(head), sizeof fd);
    return Fd(fd);
  }
  return Fd();
}

}  // namespace

std::unique_ptr<ExecProcess> ExecProcess::start(Loop& loop, ThreadPool& spawner, SpawnOptions crun, Fd process,
                                                const std::string& id, const std::string& socket, int oom_score_adj,
                                                const ContainerRuntime::ExecOptions& options,
                                                Function<void(Result<ContainerRuntime::ExecStreams>)> started,
                                                Function<void(int)> exited) {
  std::unique_ptr<ExecProcess> self(new ExecProcess(loop));
  self->socket_path_ = socket;
  self->started_ = std::move(started);
  self->exited_ = std::move(exited);
  Status begun = self->launch(spawner, std::move(crun), std::move(process), id, oom_score_adj, options);
  if (!begun.ok()) {
    loop.post([at = self.get(), alive = self->lifetime_.guard(), e = begun.error()] {
      if (alive) at->failed(e);
    });
  }
  return self;
}

void ExecProcess::failed(const Error& why) {
  for (int* fd : {&streams_.standard_input, &streams_.standard_output, &streams_.standard_error}) {
    if (*fd >= 0) ::close(std::exchange(*fd, -1));
  }
  const auto alive = lifetime_.guard();
  report(why);
  if (!alive) return;
  auto exited = std::move(exited_);
  exited(-1);
}

Status ExecProcess::launch(ThreadPool& spawner, SpawnOptions crun, Fd process, const std::string& id, int oom_score_adj,
                           const ContainerRuntime::ExecOptions& options) {
  crun.oom_score_adj = oom_score_adj;
  std::vector<Fd> theirs;
  auto pipe_for = [&](int number, bool child_reads, int& ours) -> Status {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe");
    ours = ends[child_reads ? 1 : 0];
    theirs.emplace_back(ends[child_reads ? 0 : 1]);
    ::fcntl(ours, F_SETFL, O_NONBLOCK);
    crun.descriptors.emplace_back(theirs.back().get(), number);
    return {};
  };
  if (options.tty) {
    BERTH_TRY(listen());
    crun.argv.push_back("--tty");
    crun.argv.push_back("--console-socket=" + socket_path_);
  } else {
    if (options.standard_input) BERTH_TRY(pipe_for(0, true, streams_.standard_input));
    if (options.standard_output) BERTH_TRY(pipe_for(1, false, streams_.standard_output));
    if (options.standard_error) BERTH_TRY(pipe_for(2, false, streams_.standard_error));
  }
  crun.argv.push_back(id);
  crun.descriptors.emplace_back(process.get(), kProcessFd);
  theirs.push_back(std::move(process));
  launch_ = ChildLaunch::start(loop_, spawner, std::move(crun), std::move(theirs),
                               [this, tty = options.tty](Result<pid_t> pid) { launched(std::move(pid), tty); });
  return {};
}

void ExecProcess::launched(Result<pid_t> pid, bool tty) {
  launch_.reset();
  if (!pid.ok()) return failed(pid.error());
  Status followed = follow(*pid, tty);
  if (!followed.ok()) return failed(followed.error());
  if (!tty) report(streams_);
}

Status ExecProcess::follow(pid_t pid, bool tty) {
  streams_.pid = pid_ = pid;  // from here on the destructor kills and reaps
  BERTH_ASSIGN(pidfd_, open_pidfd(pid_));
  // Not sooner: `started` receives the pid together with the terminal.
  if (tty) BERTH_TRY(loop_.watch_fd(listener_.get(), EPOLLIN, [this](std::uint32_t) { accept_terminal(); }));
  return loop_.watch_fd(pidfd_.get(), EPOLLIN, [this](std::uint32_t) { process_ended(); });
}

Status ExecProcess::listen() {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path_.size() >= sizeof address.sun_path)
    return error(Code::kInternal, "socket path too long: " + socket_path_);
  std::memcpy(address.sun_path, socket_path_.data(), socket_path_.size());
  ::unlink(socket_path_.c_str());
  listener_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_ || ::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener_.get(), 1) != 0) {
    return errno_error("listening at " + socket_path_);
  }
  return {};
}

void ExecProcess::accept_terminal() {
  Fd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!peer) return;
  // crun sends the descriptor as soon as it has connected; a peer that does not is disconnected.
  timeval limit{1, 0};
  ::setsockopt(peer.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  Fd terminal = receive_descriptor(peer.get());
  loop_.unwatch_fd(listener_.get());
  listener_.reset();
  ::unlink(socket_path_.c_str());
  if (!terminal) return report(error(Code::kInternal, "no terminal was received"));
  ::fcntl(terminal.get(), F_SETFL, O_NONBLOCK);
  streams_.terminal = terminal.release();
  report(streams_);
}

void ExecProcess::report(Result<ContainerRuntime::ExecStreams> streams) {
  if (auto started = std::exchange(started_, nullptr)) started(std::move(streams));
}

void ExecProcess::process_ended() {
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == 0) return;  // a thread of it is still ending: epoll reports it again
  if (listener_) accept_terminal();                    // it may have connected just before it ended
  loop_.unwatch_fd(pidfd_.get());
  pid_ = 0;
  const auto alive = lifetime_.guard();
  // Without a terminal (crun failed before it made one) the exit code is all there is to report.
  if (started_) report(streams_);
  if (!alive) return;
  auto exited = std::move(exited_);
  exited(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

ExecProcess::~ExecProcess() {
  lifetime_.end();
  if (listener_) {
    loop_.unwatch_fd(listener_.get());
    ::unlink(socket_path_.c_str());
  }
  if (pidfd_) loop_.unwatch_fd(pidfd_.get());
  if (pid_ > 0) {
    kill_descendants(pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    reap(loop_, pid_);
  }
}

}  // namespace berth::agent

#include "main/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time/time.h"
#include "controllers/handling.h"
#include "host/node_space.h"
#include "host/restarts.h"
#include "host/settings.h"
#include "main/roles.h"
#include "main/signals.h"

namespace berth {
namespace {

constexpr Duration kReadyPoll = 50ms;  // poll interval for a daemon started by another process

std::string describe_end(int status) {
  if (WIFEXITED(status)) return "ended with exit code " + std::to_string(WEXITSTATUS(status));
  const char* name = ::strsignal(WTERMSIG(status));
  return "killed by signal " + std::to_string(WTERMSIG(status)) + (name ? " (" + std::string(name) + ")" : "");
}

}  // namespace

struct Supervisor::Role {
  SupervisedRole config;
  int pid = 0;
  bool child = false, ready = false, started_here = false;
  Fd pidfd, ready_fd;
  std::string report;  // report in its pipe
  Duration began{};
  int consecutive_ends = 0;  // consecutive ends without a long run in between
  Time first_end{};          // the first of them
  std::string last_end;      // how the last process ended
  TimerId timer = 0;
  host::RestartHistory restarts;
};

Supervisor::Supervisor(Loop& loop, std::vector<SupervisedRole> roles, std::string restarts_file,
                       std::function<Status()> before_start, Function<void(Status)> brought_up,
                       SupervisorOptions options)
    : loop_(loop),
      restarts_file_(std::move(restarts_file)),
      before_start_(std::move(before_start)),
      brought_up_(std::move(brought_up)),
      options_(options) {
  bool stale = false;
  for (SupervisedRole& one : roles) {
    roles_.push_back(std::make_unique<Role>());
    roles_.back()->restarts = host::read_restarts(restarts_file_, one.spec.name);
    roles_.back()->config = std::move(one);
    if (std::exchange(roles_.back()->restarts.next, std::nullopt)) stale = true;  // left by another supervisor
  }
  if (stale) write_restarts();
}

Supervisor::~Supervisor() {
  if (bring_up_timer_) loop_.cancel(bring_up_timer_);
  for (auto& role : roles_) {
    if (role->timer) loop_.cancel(role->timer);
    if (role->pidfd) loop_.unwatch_fd(role->pidfd.get());
    if (role->ready_fd) loop_.unwatch_fd(role->ready_fd.get());
  }
}

void Supervisor::start_all() {
  bring_up_timer_ = loop_.after(options_.bring_up, [this] {
    bring_up_timer_ = 0;
    for (auto& role : roles_) {
      if (role->ready) continue;
      return give_up(
          error(Code::kTimeout,
                "the " + role->config.spec.name + " is not ready after " +
                    std::to_string(std::chrono::duration_cast<std::chrono::seconds>(options_.bring_up).count()) +
                    " s; see " + role->config.spec.log_file));
    }
  });
  for (auto& role : roles_) {
    if (brought_up_) adopt_or_start(*role);
  }
}

void Supervisor::adopt_or_start(Role& role) {
  if (std::optional<int> pid = host::running_daemon(role.config.spec.pid_file)) {
    follow(role, *pid, false, -1);
    if (host::daemon_is_ready(role.config.spec)) return on_ready(role);
    return poll_ready(role);
  }
  if (Status started = start(role); !started.ok()) give_up(started.error());
}

Status Supervisor::start(Role& role) {
  BERTH_TRY(before_start_());
  BERTH_ASSIGN(host::StartedDaemon started, host::fork_daemon(role.config.spec, role.config.run));
  role.started_here = true;
  follow(role, started.pid, true, started.ready_fd);
  return ok_status();
}

void Supervisor::follow(Role& role, int pid, bool child, int ready_fd) {
  role.pid = pid;
  role.child = child;
  role.ready = false;
  role.report.clear();
  role.began = loop_.monotonic();
  role.pidfd = Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!role.pidfd) {  // it has exited already
    role.child = false;
    ::waitpid(pid, nullptr, WNOHANG);
    return loop_.post([this, &role] { on_end(role); });
  }
  (void)loop_.watch_fd(role.pidfd.get(), EPOLLIN, [this, &role](std::uint32_t) { on_end(role); });
  if (ready_fd < 0) return;
  role.ready_fd = Fd(ready_fd);
  ::fcntl(ready_fd, F_SETFL, O_NONBLOCK);
  (void)loop_.watch_fd(ready_fd, EPOLLIN, [this, &role](std::uint32_t) { read_ready(role); });
}

void Supervisor::read_ready(Role& role) {
  char buffer[1024];
  ssize_t n;
  while ((n = ::read(role.ready_fd.get(), buffer, sizeof buffer)) > 0) {
    if (role.report.size() < 4096) role.report.append(buffer, static_cast<std::size_t>(n));
  }
  if (n != 0) return;
  loop_.unwatch_fd(role.ready_fd.get());
  role.ready_fd.reset();
  if (role.report.starts_with("READY")) on_ready(role);
  // Otherwise the process exits now, and its pidfd reports that.
}

void Supervisor::poll_ready(Role& role) {
  role.timer = loop_.after(kReadyPoll, [this, &role] {
    role.timer = 0;
    if (role.pid == 0) return;
    if (host::daemon_is_ready(role.config.spec)) return on_ready(role);
    poll_ready(role);
  });
}

void Supervisor::on_ready(Role& role) {
  role.ready = true;
  if (!std::all_of(roles_.begin(), roles_.end(), [](const auto& one) { return one->ready; })) return;
  if (bring_up_timer_) loop_.cancel(std::exchange(bring_up_timer_, 0));
  if (auto done = std::exchange(brought_up_, nullptr)) done(ok_status());
}

void Supervisor::on_end(Role& role) {
  int status = 0;
  const pid_t reaped = role.child ? ::waitpid(role.pid, &status, WNOHANG) : -1;
  if (reaped == 0) return;  // its last thread is still exiting: the pidfd fires again
  if (role.ready_fd) read_ready(role);
  if (role.ready_fd) {
    loop_.unwatch_fd(role.ready_fd.get());
    role.ready_fd.reset();
  }
  if (role.pidfd) loop_.unwatch_fd(role.pidfd.get());
  role.pidfd.reset();
  std::string how = reaped == role.pid ? describe_end(status) : "ended";
  const bool was_ready = role.ready;
  const int pid = std::exchange(role.pid, 0);
  role.ready = false;
  if (brought_up_)
    return role.started_here ? give_up(host::failed_start(role.config.spec, was_ready ? "" : role.report))
                             : adopt_or_start(role);
  if (!was_ready && !trim(role.report).empty()) how += ": " + std::string(trim(role.report));
  if (loop_.monotonic() - role.began >= options_.long_run) role.consecutive_ends = 0;
  if (role.consecutive_ends == 0) role.first_end = loop_.now();
  Duration delay = Duration::zero();
  if (role.consecutive_ends > 0)
    delay = std::min<Duration>(options_.first_delay * (1 << std::min(role.consecutive_ends - 1, 16)),
                               options_.longest_delay);
  ++role.consecutive_ends;
  role.last_end = how;
  const std::string next = restart_after(role, delay, how);
  log_error("supervisor", "the " + role.config.spec.name + " has ended; it " + next,
            {{"pid", std::to_string(pid)}, {"how", how}});
}

// Returns a text about the planned start, for the log.
std::string Supervisor::restart_after(Role& role, Duration delay, std::string why) {
  if (role.timer) loop_.cancel(role.timer);
  role.timer = loop_.after(delay, [this, &role] {
    role.timer = 0;
    restart(role);
  });
  const Time now = loop_.now();
  role.restarts.next = host::PlannedStart{now + delay, role.consecutive_ends, role.first_end, std::move(why)};
  if (delay > Duration::zero()) write_restarts();
  return host::describe(*role.restarts.next, now);
}

void Supervisor::restart(Role& role) {
  // `berth up` of another version may have started the daemon.
  if (std::optional<int> pid = host::running_daemon(role.config.spec.pid_file)) {
    follow(role, *pid, false, -1);
    role.ready = true;
    role.restarts.next.reset();
    return write_restarts();
  }
  if (Status started = start(role); !started.ok()) {
    const std::string& reason = started.error().message;
    const std::string next = restart_after(role, options_.longest_delay / 10, "the last start failed: " + reason);
    log_error("supervisor", "the start of the " + role.config.spec.name + " failed; it " + next, {{"error", reason}});
    return;
  }
  role.restarts.next.reset();
  ++role.restarts.count;
  role.restarts.last = loop_.now();
  role.restarts.why = role.last_end;
  log_info("supervisor", "the " + role.config.spec.name + " is started again",
           {{"pid", std::to_string(role.pid)}, {"restarts", std::to_string(role.restarts.count)}});
  write_restarts();
}

// Bringing the cluster up failed: stops all roles started here.
void Supervisor::give_up(const Error& why) {
  auto done = std::exchange(brought_up_, nullptr);
  if (!done) return;
  if (bring_up_timer_) loop_.cancel(std::exchange(bring_up_timer_, 0));
  for (auto role = roles_.rbegin(); role != roles_.rend(); ++role) {
    if ((*role)->pidfd) loop_.unwatch_fd((*role)->pidfd.get());
    if ((*role)->timer) loop_.cancel(std::exchange((*role)->timer, 0));
    if ((*role)->started_here) (void)host::stop_daemon((*role)->config.spec.pid_file, 5s, SIGTERM);
  }
  done(why);
}

void Supervisor::write_restarts() {
  std::vector<host::RestartHistory> all;
  for (const auto& role : roles_) {
    host::RestartHistory one = role->restarts;
    one.role = role->config.spec.name;
    if (one.count > 0 || one.next) all.push_back(std::move(one));
  }
  if (Status written = host::write_restarts(restarts_file_, all); !written.ok()) {
    log_warning("supervisor", "the restarts are not kept", {{"error", written.error().message}});
  }
}

int run_supervisor(const std::string& data_dir) {
  auto give_up = [](const Error& error) {
    host::report_failure(error.message);
    return 1;
  };
  Result<host::ClusterDir> dir = host::open_cluster_dir(data_dir);
  if (!dir.ok()) return give_up(dir.error());
  Result<host::ClusterSettings> settings = host::load_settings(*dir);
  if (!settings.ok()) return give_up(settings.error());
  ::prctl(PR_SET_NAME, "berth-supervisor");
  Loop loop;
  int code = 0;
  Signals signals(loop, {SIGTERM, SIGINT}, [&loop](int) { loop.stop(); });
  std::vector<SupervisedRole> roles;
  roles.push_back({host::server_daemon(*dir), [&] { return run_server(dir->root); }});
  roles.push_back({host::agent_daemon(*dir), [&] { return run_agent(dir->root); }});
  auto before_start = [&]() -> Status {
    if (!path_exists(dir->run())) return error(Code::kNotFound, dir->run() + " is gone");
    if (host::node_space_exists(*dir)) return ok_status();
    return host::make_node_space(*dir, {settings->api_service_ip, settings->dns_service_ip});
  };
  if (Status shared = controllers::HandlingRecord::share_with_children(); !shared.ok())
    log_warning("supervisor", "what the server handles is noted on disk", {{"error", shared.error().message}});
  Supervisor supervisor(loop, std::move(roles), dir->restarts(), before_start, [&](Status up) {
    if (up.ok()) return host::report_ready();
    host::report_failure(up.error().message);
    code = 1;
    loop.stop();
  });
  supervisor.start_all();
  loop.run();
  return code;
}

}  // namespace berth

#include "agent/runtime/crun_runtime.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <set>
#include <unordered_map>

#include "agent/runtime/container_files.h"
#include "agent/runtime/exec_process.h"
#include "agent/runtime/find_program.h"
#include "agent/runtime/orphans.h"
#include "base/fault.h"
#include "base/json/json.h"
#include "base/lifetime.h"
#include "base/log.h"
#include "base/process/child.h"
#include "base/process/pids.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr int kDeleteTries = 80, kDeletePauseMs = 25;
constexpr Duration kUnthrottleAgain = 1s;
constexpr std::size_t kExecOutput = 16 * 1024;
constexpr int kProcessFd = ExecProcess::kProcessFd;
constexpr int kSpawners = 4;  // programs that are being started in containers at once
constexpr const char* kProcessPath = "/proc/self/fd/3";

struct Container {
  StoredContainer stored;
  Fd conmon, init;  // pidfds
  Fd sync;          // while it is being created
  Fd processes;     // while it is being created: the process namespace that it joins
  Limits limits;    // as it is to be started with
  bool privileged = false;
  bool unthrottling = false;  // killed; unthrottle() repeats until it has ended
  std::string sync_text;
  bool starting = false;  // a pool thread is in start_container()
  bool removing = false;
  Function<void(Result<ContainerStatus>)> run_done;
  std::vector<Task> when_exited;
  Value process;  // of config.json; read when first needed
  ContainerStatus& status() { return stored.status; }
};
using ContainerPtr = std::shared_ptr<Container>;

// The error message of crun, as conmon passes it on.
std::string error_text(std::string text) {
  text = std::string(trim(text));
  if (text.empty()) return "the container could not be created";
  return text;
}

// An id as the agent makes them: conmon writes its files under temporary names first, which are not.
bool is_container_id(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

int oom_score_of(const ContainerPtr& c) { return static_cast<int>(c->process["oomScoreAdj"].as_int()); }

std::string path_of(const Value& process) {
  for (const Value& variable : process["env"]) {
    if (variable.as_string().starts_with("PATH=")) return std::string(variable.as_string().substr(5));
  }
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

class CrunRuntime final : public ContainerRuntime {
 public:
  CrunRuntime(Loop& loop, CrunConfig config)
      : loop_(loop), config_(std::move(config)), paths_(config_.root, config_.root) {}
  ~CrunRuntime() override;
  Status prepare();

  void recover(Function<void(Result<std::vector<ContainerStatus>>)> done) override;
  void on_change(std::function<void(const ContainerStatus&)> changed) override { changed_ = std::move(changed); }
  void create_sandbox(const SandboxSpec& spec, Done done) override;
  void remove_sandbox(const std::string& pod_uid, Done done) override;
  void run_container(const ContainerSpec& spec, Function<void(Result<ContainerStatus>)> done) override;
  void signal_container(const std::string& id, int signal, Done done) override;
  void kill_container(const std::string& id, Done done) override;
  void remove_container(const std::string& id, Done done) override;
  std::optional<ContainerStatus> status(const std::string& id) const override;
  void resize(const std::string& pod_uid, PodResize order, Function<void(std::size_t, Status)> done) override;
  void exec(const std::string& id, std::vector<std::string> argv, Duration timeout,
            Function<void(Result<ExecResult>)> done) override;
  void exec_interactive(const std::string& id, const ExecOptions& options, Function<void(Result<ExecStreams>)> started,
                        Function<void(int)> exited) override;
  std::string writable_layer(const std::string& id) const override { return paths_.writable_layer(id); }
  std::string attach_socket(const std::string& id) const override { return paths_.attach(id); }
  void resize_terminal(const std::string& id, int columns, int rows, Done done) override {
    control(id, "1 " + std::to_string(rows) + " " + std::to_string(columns) + "\n", std::move(done));
  }
  void reopen_log(const std::string& id, Done done) override { control(id, "2 0 0\n", std::move(done)); }
  std::optional<ContainerUsage> usage(const std::string& id) const override;
  void expect_container() override;
  std::set<std::string> found_sandboxes() const override { return found_sandboxes_; }

 private:
  ContainerPtr find(const std::string& id) const {
    auto found = containers_.find(id);
    return found == containers_.end() ? nullptr : found->second;
  }
  struct Recovered;
  Result<Recovered> read_stored();
  void remove_incomplete(const std::string& id);
  // Follows the recovered containers, and returns their status.
  std::vector<ContainerStatus> adopt(Recovered recovered);
  // Runs `work` on the pool and answers on the loop.
  void blocking(std::function<Status()> work, Done done);
  void created(const ContainerPtr& c, Result<Created> result);
  void read_sync(const ContainerPtr& c);
  void start(const ContainerPtr& c, pid_t pid);
  void started(const ContainerPtr& c, Status result);
  void create_failed(const ContainerPtr& c, std::string why);
  void follow(const ContainerPtr& c);
  void conmon_gone(const std::string& id);
  void read_exits();
  void check_exit(const ContainerPtr& c);
  void exited(const ContainerPtr& c);
  void unthrottle(const ContainerPtr& c);
  void delete_files(const ContainerPtr& c, int tries, Done done);
  void control(const std::string& id, const std::string& line, Done done);
  Result<Fd> process_file(const ContainerPtr& c, const std::vector<std::string>& argv, bool tty);
  void start_exec_process(const std::string& id, const ExecOptions& options, Fd process, int oom_score,
                          Function<void(Result<ExecStreams>)> started, Function<void(int)> exited);
  Error start_error(const Error& why);

  Loop& loop_;
  CrunConfig config_;
  CrunProgram crun_{config_.crun};
  RuntimePaths paths_;
  Cgroups cgroups_;
  Fd inotify_;
  std::function<void(const ContainerStatus&)> changed_;
  std::unordered_map<std::string, ContainerPtr> containers_;
  std::unordered_map<std::string, SandboxSpec> sandboxes_;
  std::set<std::string> found_sandboxes_;  // by recover()
  // A pool for exec alone: it does not wait behind containers that are being created or removed on the loop's pool.
  ThreadPool spawner_{loop_, kSpawners};
  std::unordered_map<std::uint64_t, std::unique_ptr<ChildRun>> execs_;
  std::unordered_map<std::uint64_t, std::unique_ptr<ExecProcess>> exec_processes_;
  std::uint64_t next_ = 0;
  bool expecting_ = false;
  Lifetime lifetime_;
};

CrunRuntime::~CrunRuntime() {
  lifetime_.end();
  if (inotify_) loop_.unwatch_fd(inotify_.get());
  for (auto& [id, c] : containers_) {
    if (c->conmon) loop_.unwatch_fd(c->conmon.get());
    if (c->sync) loop_.unwatch_fd(c->sync.get());
  }
}

Status CrunRuntime::prepare() {
  for (const auto& program : {config_.crun, config_.conmon}) {
    if (::access(program.c_str(), X_OK) != 0) return errno_error("the program " + program);
  }
  BERTH_ASSIGN(paths_, prepare_runtime_paths(config_.root));
  crun_ = CrunProgram::load(config_.crun, paths_.crun_link());
  spawner_.start();
  inotify_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify_) return errno_error("inotify");
  if (::inotify_add_watch(inotify_.get(), paths_.exits().c_str(), IN_MOVED_TO | IN_CLOSE_WRITE) < 0) {
    return errno_error("watching " + paths_.exits());
  }
  return loop_.watch_fd(inotify_.get(), EPOLLIN, [this](std::uint32_t) { read_exits(); });
}

void CrunRuntime::blocking(std::function<Status()> work, Done done) {
  auto result = std::make_shared<Status>();
  loop_.offload([work = std::move(work), result] { *result = work(); },
                [done = std::move(done), result, alive = lifetime_.guard()] {
                  if (alive) done(std::move(*result));
                });
}

struct CrunRuntime::Recovered {
  std::vector<StoredContainer> containers;
  std::vector<SandboxSpec> sandboxes;
};

// On the pool.
Result<CrunRuntime::Recovered> CrunRuntime::read_stored() {
  Recovered out;
  end_orphaned_execs(config_, paths_);
  BERTH_ASSIGN(auto ids, list_directory(paths_.containers()));
  std::vector<std::string> loaded;
  for (const auto& id : ids) {
    auto stored = load_container(paths_, cgroups_, id);
    if (!stored.ok()) {
      remove_incomplete(id);
      continue;
    }
    cgroups_.thaw(stored->cgroup);
    if (stored->status.state == ContainerState::kRunning) finish_start(paths_, id);
    out.containers.push_back(std::move(stored).value());
    loaded.push_back(id);
  }
  remove_strays(paths_, loaded);
  BERTH_ASSIGN(auto uids, list_directory(paths_.sandboxes()));
  for (const auto& uid : uids) {
    auto spec = read_sandbox(paths_.sandboxes(), uid);
    // After a restart of the machine the files are there and the namespaces are not: create_sandbox() makes them again.
    // A sandbox without a description was hardly begun.
    out.sandboxes.push_back(spec.ok() ? std::move(spec).value() : SandboxSpec{.pod_uid = uid});
  }
  return out;
}

// Removes a container that was being created or removed when the agent ended: it never ran its program, or has ended.
// On the pool.
void CrunRuntime::remove_incomplete(const std::string& id) {
  end_monitor(config_, paths_, id);
  std::string cgroup;
  if (auto text = read_file(paths_.running(id) + "/config.json"); text.ok()) {
    if (auto config = json::parse(*text); config.ok()) cgroup = (*config)["linux"]["cgroupsPath"].str().substr(1);
  }
  Status removed = delete_container(paths_, cgroups_, id, cgroup, config_.trash);
  // A process that has been killed may take a moment to leave its control group.
  for (int tries = 0; !removed.ok() && tries < kDeleteTries; ++tries) {
    ::poll(nullptr, 0, kDeletePauseMs);
    removed = delete_container(paths_, cgroups_, id, cgroup, config_.trash);
  }
  if (!removed.ok()) {
    log_warning("agent", "cannot remove what is left of a container", {{"id", id}, {"error", removed.error().message}});
  }
}

std::vector<ContainerStatus> CrunRuntime::adopt(Recovered recovered) {
  for (auto& spec : recovered.sandboxes) {
    found_sandboxes_.insert(spec.pod_uid);  // usable after create_sandbox()
    if (!spec.cgroup_parent.empty()) sandboxes_[spec.pod_uid] = spec;
  }
  std::vector<ContainerStatus> out;
  for (auto& stored : recovered.containers) {
    auto c = std::make_shared<Container>();
    c->stored = std::move(stored);
    ContainerStatus& s = c->status();
    if (s.state == ContainerState::kUnknown) {
      // Without its monitor its processes cannot be followed.
      cgroups_.kill(c->stored.cgroup);
      s.state = ContainerState::kExited;
      s.exit_code = 255;
      s.finished = loop_.now();
    }
    containers_[s.id] = c;
    if (s.state != ContainerState::kExited) follow(c);
    out.push_back(s);
  }
  return out;
}

void CrunRuntime::recover(Function<void(Result<std::vector<ContainerStatus>>)> done) {
  auto recovered = std::make_shared<Recovered>();
  auto work = [this, recovered]() -> Status {
    BERTH_ASSIGN(*recovered, read_stored());
    return {};
  };
  blocking(work, [this, recovered, done = std::move(done)](Status result) {
    if (!result.ok()) return done(result.error());
    done(adopt(std::move(*recovered)));
    for (auto& [id, c] : std::unordered_map(containers_)) check_exit(c);  // those that ended since they were read
  });
}

void CrunRuntime::create_sandbox(const SandboxSpec& spec, Done done) {
  blocking([this, spec] { return make_sandbox(paths_.sandboxes(), cgroups_, spec); },
           [this, spec, done = std::move(done)](Status result) {
             if (result.ok()) sandboxes_[spec.pod_uid] = spec;
             done(std::move(result));
           });
}

// Runs beside the preparations of a container, before crun moves its first process into a control group
// (Cgroups::expect_move).
void CrunRuntime::expect_container() {
  if (!cgroups_.unified() || std::exchange(expecting_, true)) return;
  blocking(
      [this]() -> Status {
        cgroups_.expect_move();
        return {};
      },
      [this](Status) { expecting_ = false; });
}

void CrunRuntime::remove_sandbox(const std::string& pod_uid, Done done) {
  sandboxes_.erase(pod_uid);
  found_sandboxes_.erase(pod_uid);
  blocking([this, pod_uid] { return destroy_sandbox(paths_.sandboxes(), cgroups_, pod_uid); }, std::move(done));
}

void CrunRuntime::run_container(const ContainerSpec& spec, Function<void(Result<ContainerStatus>)> done) {
  if (auto c = find(spec.id)) {
    loop_.post([c, done = std::move(done)] { done(c->status()); });
    return;
  }
  auto sandbox = sandboxes_.find(spec.pod_uid);
  if (sandbox == sandboxes_.end()) {
    loop_.post([done = std::move(done), uid = spec.pod_uid] {
      done(error(Code::kNotFound, "pod " + uid + " has no sandbox"));
    });
    return;
  }
  const bool own_processes = !sandbox->second.share_pid && !sandbox->second.host_pid;
  Fd processes;  // the process namespace of the target container
  if (own_processes && !spec.processes_of.empty()) {
    auto target = find(spec.processes_of);
    Result<Fd> opened = error(Code::kNotFound, "");
    if (target && target->status().state == ContainerState::kRunning)
      opened = open_pid_namespace(target->status().pid, target->stored.init_start);
    if (!opened.ok()) {
      loop_.post([done = std::move(done)] { done(error(Code::kNotFound, "the target container does not run")); });
      return;
    }
    processes = std::move(*opened);
  }
  expect_container();  // again: the effect of the earlier call may have expired while the image was pulled
  auto c = std::make_shared<Container>();
  ContainerStatus& s = c->status();
  s.id = spec.id;
  s.pod_uid = spec.pod_uid;
  s.name = spec.name;
  s.attempt = spec.attempt;
  s.state = ContainerState::kCreated;
  s.created = loop_.now();
  c->stored.cgroup = sandbox->second.cgroup_parent + "/" + spec.id;
  c->stored.own_pid_namespace = own_processes && !processes;
  c->limits = spec.limits;
  c->privileged = spec.privileged;
  // crun opens it by its path, later: by then the target's pid may be another process, while the descriptor's number
  // stays ours.
  std::string namespace_path =
      processes ? "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(processes.get()) : "";
  c->processes = std::move(processes);
  c->run_done = std::move(done);
  containers_[spec.id] = c;
  auto result = std::make_shared<Result<Created>>(error(Code::kInternal, "not run"));
  loop_.offload(
      [this, result, spec, sandbox = sandbox->second, namespace_path] {
        *result = create_container(config_, crun_, paths_, cgroups_, spec, sandbox, namespace_path);
      },
      [this, result, c, alive = lifetime_.guard()] {
        if (alive) created(c, std::move(*result));
      });
}

void CrunRuntime::created(const ContainerPtr& c, Result<Created> result) {
  if (!result.ok()) return create_failed(c, result.error().message);
  c->stored.conmon_pid = result->conmon_pid;
  c->stored.conmon_start = process_start_time(result->conmon_pid);
  c->sync = std::move(result->sync);
  if (auto watched = loop_.watch_fd(c->sync.get(), EPOLLIN, [this, c](std::uint32_t) { read_sync(c); });
      !watched.ok()) {
    create_failed(c, watched.error().message);
  }
}

void CrunRuntime::read_sync(const ContainerPtr& c) {
  std::array<char, 4096> buffer;
  ssize_t n = ::read(c->sync.get(), buffer.data(), buffer.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n > 0) c->sync_text.append(buffer.data(), static_cast<std::size_t>(n));
  if (n > 0 && c->sync_text.find('\n') == std::string::npos) return;
  loop_.unwatch_fd(c->sync.get());
  c->sync.reset();
  auto answer = json::parse(trim(c->sync_text));
  if (!answer.ok()) return create_failed(c, "conmon ended without an answer");
  std::int64_t pid = (*answer)["data"].as_int(-1);
  if (pid <= 0) return create_failed(c, error_text((*answer)["message"].str()));
  start(c, static_cast<pid_t>(pid));
}

void CrunRuntime::create_failed(const ContainerPtr& c, std::string why) {
  std::string id = c->status().id;
  if (pid_t conmon = c->stored.conmon_pid; conmon > 0) {
    kill_descendants(conmon, SIGKILL);  // a crun that continues would create the container that is deleted here
    ::kill(conmon, SIGKILL);
    reap(loop_, conmon);
  }
  delete_files(c, 20, [this, id, c, why = std::move(why)](Status) {
    containers_.erase(id);
    if (c->run_done) c->run_done(error(Code::kInternal, why));
  });
}

void CrunRuntime::start(const ContainerPtr& c, pid_t pid) {
  c->status().pid = pid;
  c->processes.reset();
  if (!c->conmon) {
    c->stored.init_start = process_start_time(pid);
    follow(c);
  }
  c->starting = true;
  blocking(
      [this, stored = c->stored, limits = c->limits, privileged = c->privileged]() -> Status {
        fault::step("container.created");
        BERTH_TRY(store_container(paths_, stored));
        fault::step("container.stored");
        if (!cgroups_.unified()) BERTH_TRY(cgroups_.confine(stored.cgroup, limits, privileged));
        fault::step("container.confined");
        return start_container(paths_, stored);
      },
      [this, c](Status result) { started(c, std::move(result)); });
}

void CrunRuntime::started(const ContainerPtr& c, Status result) {
  c->starting = false;
  ContainerStatus& s = c->status();
  if (s.state == ContainerState::kCreated) {
    if (!result.ok()) return create_failed(c, result.error().message);
    s.state = ContainerState::kRunning;
  }
  s.started = loop_.now();
  if (s.state == ContainerState::kExited && s.finished < s.started) s.started = s.finished;
  if (auto done = std::exchange(c->run_done, nullptr)) done(s);
  if (changed_) changed_(s);
}

// Watches the conmon of a created or running container, and holds on to its first process.
void CrunRuntime::follow(const ContainerPtr& c) {
  if (auto fd = open_pidfd(c->status().pid); fd.ok()) c->init = std::move(fd).value();
  auto fd = open_pidfd(c->stored.conmon_pid);
  std::string id = c->status().id;
  if (!fd.ok()) {
    loop_.post([this, id, alive = lifetime_.guard()] {
      if (alive) conmon_gone(id);
    });
    return;
  }
  c->conmon = std::move(fd).value();
  (void)loop_.watch_fd(c->conmon.get(), EPOLLIN, [this, id](std::uint32_t) { conmon_gone(id); });
}

void CrunRuntime::conmon_gone(const std::string& id) {
  auto c = find(id);
  if (!c) return;
  if (c->conmon) {
    loop_.unwatch_fd(c->conmon.get());
    c->conmon.reset();
    ::waitpid(c->stored.conmon_pid, nullptr, WNOHANG);
  }
  check_exit(c);
  ContainerStatus& s = c->status();
  if (s.state == ContainerState::kExited) return;
  // conmon was killed. Without it the container's output and its exit code are lost: end the container.
  log_warning("agent", "the monitor of a container has gone; ending the container", {{"id", id}});
  cgroups_.kill(c->stored.cgroup);
  if (c->init) ::syscall(SYS_pidfd_send_signal, c->init.get(), SIGKILL, nullptr, 0);
  s.state = ContainerState::kExited;
  s.exit_code = 137;
  s.finished = loop_.now();
  exited(c);
}

void CrunRuntime::read_exits() {
  alignas(inotify_event) std::array<char, 8192> buffer;
  for (;;) {
    ssize_t n = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (n <= 0) break;
    for (ssize_t at = 0; at < n;) {
      auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if (event->mask & IN_Q_OVERFLOW) {
        for (auto& [id, c] : std::unordered_map(containers_)) check_exit(c);
      } else if (event->len > 0) {
        if (auto c = find(event->name)) {
          check_exit(c);
        } else if (is_container_id(event->name)) {
          // A monitor that was slower than the removal of its container.
          ::unlink(paths_.exit_file(event->name).c_str());
        }
      }
    }
  }
}

void CrunRuntime::check_exit(const ContainerPtr& c) {
  if (c->status().state == ContainerState::kExited || !read_exit(paths_, cgroups_, c->stored.cgroup, c->status()))
    return;
  exited(c);
}

void CrunRuntime::exited(const ContainerPtr& c) {
  ContainerStatus& s = c->status();
  if (s.finished < s.started) s.finished = s.started;  // file times are coarser than ours
  c->init.reset();
  if (!c->stored.own_pid_namespace) {
    // Its descendants do not end with it.
    blocking(
        [this, cgroup = c->stored.cgroup]() -> Status {
          cgroups_.kill(cgroup);
          return {};
        },
        [](Status) {});
  }
  for (auto& task : std::exchange(c->when_exited, {})) task();
  if (!c->starting && changed_) changed_(c->status());
}

void CrunRuntime::signal_container(const std::string& id, int signal, Done done) {
  Status result;
  if (auto c = find(id); c && c->init) {
    if (::syscall(SYS_pidfd_send_signal, c->init.get(), signal, nullptr, 0) != 0 && errno != ESRCH) {
      result = errno_error("signal " + std::to_string(signal) + " to container " + id);
    }
  }
  loop_.post([done = std::move(done), result] { done(result); });
}

// Lifts CPU throttling, so that a killed container can end; repeated until it has, since its pod's group may be
// throttled again.
void CrunRuntime::unthrottle(const ContainerPtr& c) {
  if (c->status().state == ContainerState::kExited || std::exchange(c->unthrottling, true)) return;
  blocking(
      [this, cgroup = c->stored.cgroup]() -> Status {
        cgroups_.unthrottle(cgroup);
        return {};
      },
      [this, c](Status) {
        loop_.after(kUnthrottleAgain, [this, c, alive = lifetime_.guard()] {
          if (!alive) return;
          c->unthrottling = false;
          unthrottle(c);
        });
      });
}

void CrunRuntime::kill_container(const std::string& id, Done done) {
  auto c = find(id);
  if (c) unthrottle(c);
  if (!c || c->status().state == ContainerState::kExited || (c->stored.own_pid_namespace && c->init)) {
    return signal_container(id, SIGKILL, std::move(done));  // with the first process its whole namespace ends
  }
  blocking(
      [this, cgroup = c->stored.cgroup]() -> Status {
        cgroups_.kill(cgroup);
        return {};
      },
      std::move(done));
}

void CrunRuntime::remove_container(const std::string& id, Done done) {
  auto c = find(id);
  if (!c) {
    loop_.post([done = std::move(done)] { done({}); });
    return;
  }
  auto remove_files = [this, id, c, done = std::make_shared<Done>(std::move(done))] {
    delete_files(c, 40, [this, id, c, done](Status result) {
      if (c->conmon) loop_.unwatch_fd(c->conmon.get());
      if (c->conmon) {
        reap(loop_, c->stored.conmon_pid);  // it ends by itself once it has written the exit code
      }
      containers_.erase(id);
      (*done)(std::move(result));
    });
  };
  if (c->status().state == ContainerState::kExited) return remove_files();
  c->when_exited.emplace_back(remove_files);
  kill_container(id, [](Status) {});
}

void CrunRuntime::delete_files(const ContainerPtr& c, int tries, Done done) {
  c->removing = true;
  blocking([this, id = c->status().id,
            cgroup = c->stored.cgroup] { return delete_container(paths_, cgroups_, id, cgroup, config_.trash); },
           [this, c, tries, done = std::move(done)](Status result) mutable {
             if (result.ok() || tries <= 0) {
               if (!result.ok())
                 log_warning("agent", "cannot remove a container",
                             {{"id", c->status().id}, {"error", result.error().message}});
               return done(std::move(result));
             }
             // A process that has been killed may take a moment to leave its control group.
             loop_.after(25ms, [this, c, tries, done = std::move(done), alive = lifetime_.guard()]() mutable {
               if (alive) delete_files(c, tries - 1, std::move(done));
             });
           });
}

std::optional<ContainerStatus> CrunRuntime::status(const std::string& id) const {
  auto c = find(id);
  if (!c) return std::nullopt;
  return c->status();
}

void CrunRuntime::resize(const std::string& pod_uid, PodResize order, Function<void(std::size_t, Status)> done) {
  auto group_of = [this](const std::string& id) {
    auto c = find(id);
    return c ? c->stored.cgroup : std::string();
  };
  auto sandbox = sandboxes_.find(pod_uid);
  std::string pod = sandbox == sandboxes_.end() ? "" : sandbox->second.cgroup_parent;
  std::vector<std::pair<std::string, Limits>> containers;
  for (auto& [id, limits] : order.containers) containers.emplace_back(group_of(id), limits);
  auto changed = std::make_shared<std::size_t>(0);
  auto work = [this, pod, before = order.before, after = order.after, containers = std::move(containers),
               changed]() -> Status {
    if (pod.empty()) return error(Code::kNotFound, "the pod has no sandbox");
    auto write = [this](const std::string& group, const Limits& limits) -> Status {
      BERTH_TRY(cgroups_.lift_limits(group, limits));
      return cgroups_.set_limits(group, limits);
    };
    if (before) BERTH_TRY(write(pod, *before));
    for (const auto& [group, limits] : containers) {
      if (group.empty()) return error(Code::kNotFound, "no such container");
      BERTH_TRY(write(group, limits));
      ++*changed;
    }
    if (!after) return {};
    // Memory volumes and shared memory are in no container's own use. The kernel would end processes for them.
    BERTH_TRY(cgroups_.check_pod_use(pod, *after));
    return write(pod, *after);
  };
  blocking(std::move(work), [changed, done = std::move(done)](Status result) { done(*changed, std::move(result)); });
}

std::optional<ContainerUsage> CrunRuntime::usage(const std::string& id) const {
  auto c = find(id);
  if (!c || c->status().state != ContainerState::kRunning) return std::nullopt;
  return cgroups_.usage(c->stored.cgroup);
}

// A command in a container has the container's user, groups, capabilities and environment. crun reads them from
// a description of the whole process only; it is passed in memory.
Result<Fd> CrunRuntime::process_file(const ContainerPtr& c, const std::vector<std::string>& argv, bool tty) {
  if (c->process.is_null()) {
    BERTH_ASSIGN(std::string text, read_file(paths_.running(c->status().id) + "/config.json"));
    BERTH_ASSIGN(Value config, json::parse(text));
    c->process = config["process"];
  }
  Value process = c->process;
  Value args = Value::array();
  for (const auto& arg : argv) args.push(arg);
  process.set("args", std::move(args));
  process.set("terminal", tty);
  if (tty && !c->process["terminal"].as_bool()) process.mut("env").push("TERM=xterm");
  Fd file(::memfd_create("process", MFD_CLOEXEC));
  if (!file) return errno_error("memfd_create");
  std::string text = json::encode(process);
  if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return errno_error("writing a process description");
  return file;
}

void CrunRuntime::exec(const std::string& id, std::vector<std::string> argv, Duration timeout,
                       Function<void(Result<ExecResult>)> done) {
  auto c = find(id);
  if (!c || c->status().state != ContainerState::kRunning) {
    loop_.post([done = std::move(done), id] { done(error(Code::kNotFound, "container " + id + " is not running")); });
    return;
  }
  std::vector<std::string> command = exec_command(crun_, paths_, cgroups_, c->stored);
  command.insert(command.end(), {"-p", kProcessPath, id});
  SpawnOptions options{std::move(command), {}, {}};
  auto process = process_file(c, argv, false);
  if (!process.ok()) {
    loop_.post([done = std::move(done), e = process.error()] { done(e); });
    return;
  }
  options.descriptors = crun_.descriptors();
  options.descriptors.emplace_back(process->get(), kProcessFd);
  std::vector<Fd> given;
  given.push_back(std::move(*process));
  options.oom_score_adj = oom_score_of(c);
  std::uint64_t key = ++next_;
  auto shared = std::make_shared<Function<void(Result<ExecResult>)>>(std::move(done));
  auto finished = [this, key, shared, cgroup = c->stored.cgroup](Result<ChildRun::Outcome> outcome) {
    auto self = std::move(execs_[key]);  // destroyed at the end of this callback
    execs_.erase(key);
    if (!outcome.ok()) return (*shared)(outcome.error());
    if (outcome->timed_out) {
      // The control group may have been throttled all the time: see Cgroups::unthrottle().
      blocking(
          [this, cgroup]() -> Status {
            cgroups_.restart_cpu_period(cgroup);
            return {};
          },
          [](Status) {});
      return (*shared)(error(Code::kTimeout, "command timed out"));
    }
    (*shared)(ExecResult{outcome->exit_code, std::move(outcome->output)});
  };
  auto run =
      ChildRun::start(loop_, spawner_, std::move(options), std::move(given), timeout, kExecOutput, std::move(finished));
  if (!run.ok()) {
    loop_.post([shared, e = run.error()] { (*shared)(e); });
    return;
  }
  execs_[key] = std::move(run).value();
}

void CrunRuntime::exec_interactive(const std::string& id, const ExecOptions& options,
                                   Function<void(Result<ExecStreams>)> started, Function<void(int)> exited) {
  auto c = find(id);
  if (!c || c->status().state != ContainerState::kRunning) {
    loop_.post(
        [started = std::move(started), id] { started(error(Code::kNotFound, "container " + id + " is not running")); });
    return;
  }
  auto process = process_file(c, options.argv, options.tty);
  if (!process.ok()) {
    loop_.post([started = std::move(started), e = process.error()] { started(e); });
    return;
  }
  // Look for the program first: crun's error for a missing one would look like output of the program.
  const std::string root = "/proc/" + std::to_string(c->status().pid) + "/root";
  auto find_in_root = [root, program = options.argv.at(0), path = path_of(c->process),
                       directory = c->process["cwd"].str("/")] { return find_program(root, program, path, directory); };
  blocking(find_in_root,
           [this, id, options, oom_score = oom_score_of(c), file = std::make_shared<Fd>(std::move(*process)),
            started = std::move(started), exited = std::move(exited)](Status program) mutable {
             if (!program.ok()) return started(start_error(program.error()));
             start_exec_process(id, options, std::move(*file), oom_score, std::move(started), std::move(exited));
           });
}

void CrunRuntime::start_exec_process(const std::string& id, const ExecOptions& options, Fd process, int oom_score,
                                     Function<void(Result<ExecStreams>)> started, Function<void(int)> exited) {
  std::uint64_t key = ++next_;
  auto c = find(id);
  if (!c) return started(error(Code::kNotFound, "container " + id + " is not running"));
  std::vector<std::string> command = exec_command(crun_, paths_, cgroups_, c->stored);
  command.insert(command.end(), {"-p", kProcessPath});
  exec_processes_[key] =
      ExecProcess::start(loop_, spawner_, SpawnOptions{std::move(command), {}, {}, crun_.descriptors(), {}},
                         std::move(process), id, paths_.sockets() + "/t" + std::to_string(key), oom_score, options,
                         std::move(started), [this, key, exited = std::move(exited)](int code) {
                           auto self = std::move(exec_processes_[key]);
                           exec_processes_.erase(key);
                           exited(code);
                         });
}

// In containerd's words, which name the attempt by a random id.
Error CrunRuntime::start_error(const Error& why) {
  std::string number;
  for (int part = 0; part < 4; ++part) {
    const std::uint64_t random = loop_.random();
    number.append(reinterpret_cast<const char*>(&random), sizeof random);
  }
  return error(Code::kInternal, "failed to exec in container: failed to start exec " + quoted(hex_encode(number)) +
                                    ": OCI runtime exec failed: exec failed: unable to start container process: " +
                                    why.message + ": unknown");
}

void CrunRuntime::control(const std::string& id, const std::string& line, Done done) {
  Status result;
  Fd fd(::open((paths_.running(id) + "/ctl").c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd || ::write(fd.get(), line.data(), line.size()) < 0)
    result = errno_error("telling the monitor of container " + id);
  loop_.post([done = std::move(done), result] { done(result); });
}

}  // namespace

Result<std::unique_ptr<ContainerRuntime>> make_crun_runtime(Loop& loop, CrunConfig config) {
  auto runtime = std::make_unique<CrunRuntime>(loop, std::move(config));
  BERTH_TRY(runtime->prepare());
  return std::unique_ptr<ContainerRuntime>(std::move(runtime));
}

}  // namespace berth::agent

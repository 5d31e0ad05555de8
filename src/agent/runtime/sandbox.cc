#include "agent/runtime/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "agent/mounts/mounts.h"
#include "agent/runtime/pause_program.h"
#include "agent/runtime/sysctls.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/json/json.h"
#include "base/process/owned_namespaces.h"
#include "base/process/pids.h"
#include "base/text.h"

namespace berth::agent {
namespace {

Status pin(const std::string& kind, const std::string& path) {
  BERTH_TRY(write_file(path, "", 0444));
  return bind_mount("/proc/thread-self/ns/" + kind, path);
}

Status write_sysctl(const std::string& name, const std::string& value) {
  BERTH_ASSIGN(std::string path, sysctl_path(name));
  Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || ::write(fd.get(), value.data(), value.size()) < 0)
    return errno_error("setting sysctl " + name + " to " + quoted(value));
  return {};
}

// Those of one kind of namespace, which the calling thread is in. Admission refuses all others; here none is ever
// written.
Status write_sysctls(const SandboxSpec& spec, SysctlNamespace kind) {
  for (const auto& [given, value] : spec.sysctls) {
    std::string name = sysctl_with_dots(given);
    if (sysctl_namespace(name) == kind) BERTH_TRY(write_sysctl(name, value));
  }
  return {};
}

Status check_sysctls(const SandboxSpec& spec) {
  for (const auto& [given, value] : spec.sysctls) {
    std::string name = sysctl_with_dots(given);
    SysctlNamespace kind = sysctl_namespace(name);
    bool shared = kind == SysctlNamespace::kIpc ? spec.host_ipc : spec.network_namespace.empty();
    if (kind == SysctlNamespace::kNone || shared)
      return error(Code::kForbidden, "sysctl " + quoted(name) + " is not in a namespace of the pod");
  }
  return {};
}

// The first process of a pid namespace that the pod's containers share: reaps, and ends when killed. Made by fork, and
// touches nothing but system calls, since this process has other threads. A container that may trace sees its memory,
// files and root, so it has none of the agent's: it becomes another program, in an empty file system (mounted at
// `root`) that nothing leads out of. It ends at once unless the agent has recorded it (a byte on `noted`).
[[noreturn]] void hold_pid_namespace(const char* root, int noted, int program) {
  const int first = noted < program ? noted : program, second = noted < program ? program : noted;
  if (first > 0) ::syscall(SYS_close_range, 0, first - 1, 0);
  if (second > first + 1) ::syscall(SYS_close_range, first + 1, second - 1, 0);
  ::syscall(SYS_close_range, second + 1, ~0U, 0);
  char byte;
  if (::read(noted, &byte, 1) != 1) ::_exit(1);
  ::close(noted);
  const bool alone =
      ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
      ::mount("none", root, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=1,mode=0555") == 0 &&
      ::chdir(root) == 0 && ::syscall(SYS_pivot_root, ".", ".") == 0 && ::umount2(".", MNT_DETACH) == 0 &&
      ::chdir("/") == 0;
  if (!alone) ::_exit(1);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGCHLD, &ignore, nullptr);
  sigset_t set;
  ::sigfillset(&set);
  ::sigprocmask(SIG_BLOCK, &set, nullptr);
  char name[] = "/pause";
  char* argv[] = {name, nullptr};
  char* environment[] = {nullptr};
  ::syscall(SYS_execveat, program, "", argv, environment, AT_EMPTY_PATH);
  ::_exit(1);
}

// `users`: the user namespace that is to own it, where not empty. `root`: an empty directory. `note` records its pid.
Status start_pid_holder(const std::string& users, const std::string& root, const std::function<Status(pid_t)>& note) {
  BERTH_TRY(make_directories(root, 0555));
  BERTH_ASSIGN(const Fd program, pause_program());
  Fd owner(users.empty() ? -1 : ::open(users.c_str(), O_RDONLY | O_CLOEXEC));
  if (!users.empty() && !owner) return errno_error("opening " + users);
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd reading(ends[0]), writing(ends[1]);
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error("pipe");
  Fd noted(ends[0]), noting(ends[1]);
  pid_t middle = ::fork();
  if (middle < 0) return errno_error("fork");
  if (middle == 0) {  // a child with one thread, which may make a pid namespace for its own child
    ::setsid();
    bool owned = !owner || ::setns(owner.get(), CLONE_NEWUSER) == 0;
    pid_t holder = owned && ::unshare(CLONE_NEWPID) == 0 ? ::fork() : -1;
    if (holder == 0) hold_pid_namespace(root.c_str(), noted.get(), program.get());
    [[maybe_unused]] auto n = ::write(writing.get(), &holder, sizeof holder);
    ::_exit(0);
  }
  writing.reset();
  pid_t holder = -1;
  ssize_t n = ::read(reading.get(), &holder, sizeof holder);
  ::waitpid(middle, nullptr, 0);
  if (n != sizeof holder || holder <= 0) return error(Code::kInternal, "the pod's pid namespace could not be made");
  fault::step("sandbox.holder");
  BERTH_TRY(note(holder));
  fault::step("sandbox.holder_noted");
  if (::write(noting.get(), "", 1) != 1) return errno_error("starting the pod's first process");
  return {};
}

Value to_json(const SandboxSpec& spec) {
  Value sysctls = Value::object();
  for (const auto& [name, value] : spec.sysctls) sysctls.set(name, value);
  return Value::object({{"uid", spec.pod_uid},
                        {"namespace", spec.ns},
                        {"name", spec.name},
                        {"hostname", spec.hostname},
                        {"network", spec.network_namespace},
                        {"users", spec.user_namespace},
                        {"firstUser", spec.first_user},
                        {"hostPID", spec.host_pid},
                        {"hostIPC", spec.host_ipc},
                        {"sharePID", spec.share_pid},
                        {"cgroup", spec.cgroup_parent},
                        {"sysctls", std::move(sysctls)}});
}

std::string pid_file(const std::string& root, const std::string& uid) { return root + "/" + uid + "/pid"; }

// {pid, start time} of the holder, if it runs.
pid_t living_holder(const std::string& root, const std::string& uid) {
  auto text = read_file(pid_file(root, uid));
  if (!text.ok()) return 0;
  auto parts = cut(trim(*text), " ");
  auto pid = parse_int(parts.before);
  if (!pid.ok() || *pid <= 1) return 0;
  auto start = process_start_time(static_cast<pid_t>(*pid));
  return start != 0 && std::to_string(start) == parts.after ? static_cast<pid_t>(*pid) : 0;
}

// Those of a pod with users of its own belong to them.
Status make_owned_namespaces(const SandboxSpec& spec, const SandboxPaths& paths) {
  TextPairs settings;
  for (const auto& [given, value] : spec.sysctls) {
    std::string name = sysctl_with_dots(given);
    if (sysctl_namespace(name) != SysctlNamespace::kIpc) continue;
    BERTH_ASSIGN(std::string path, sysctl_path(name));
    settings.emplace_back(std::move(path), value);
  }
  return pin_owned_namespaces(spec.user_namespace, CLONE_NEWIPC | CLONE_NEWUTS, spec.hostname,
                              {{"ipc", paths.ipc_namespace}, {"uts", paths.uts_namespace}}, settings);
}

// By name: a search among all mounts of the node would take longer the more pods there are.
void unmount_all(const SandboxPaths& paths) {
  for (const std::string& path : {paths.ipc_namespace, paths.uts_namespace}) {
    if (!path.empty()) unmount(path);
  }
  if (!paths.shm.empty() && paths.shm != "/dev/shm") unmount(paths.shm);
}

Status make_namespaces(const SandboxSpec& spec, const SandboxPaths& paths) {
  if (!spec.user_namespace.empty()) return make_owned_namespaces(spec, paths);
  int flags = (paths.ipc_namespace.empty() ? 0 : CLONE_NEWIPC) | (paths.uts_namespace.empty() ? 0 : CLONE_NEWUTS);
  return in_new_namespaces(flags, [&]() -> Status {
    if (!paths.uts_namespace.empty()) {
      if (::sethostname(spec.hostname.data(), spec.hostname.size()) != 0)
        return errno_error("setting the host name " + quoted(spec.hostname));
      BERTH_TRY(pin("uts", paths.uts_namespace));
    }
    if (!paths.ipc_namespace.empty()) BERTH_TRY(pin("ipc", paths.ipc_namespace));
    return write_sysctls(spec, SysctlNamespace::kIpc);
  });
}

}  // namespace

SandboxPaths sandbox_paths(const std::string& root, const SandboxSpec& spec) {
  std::string at = root + "/" + spec.pod_uid;
  SandboxPaths out;
  if (!spec.host_ipc) out.ipc_namespace = at + "/ipc";
  if (!spec.network_namespace.empty()) out.uts_namespace = at + "/uts";
  out.shm = spec.host_ipc ? "/dev/shm" : at + "/shm";
  if (spec.share_pid && !spec.host_pid) {
    if (pid_t holder = living_holder(root, spec.pod_uid))
      out.pid_namespace = "/proc/" + std::to_string(holder) + "/ns/pid";
  }
  return out;
}

Status make_sandbox(const std::string& root, const Cgroups& cgroups, const SandboxSpec& spec) {
  std::string at = root + "/" + spec.pod_uid;
  BERTH_TRY(check_sysctls(spec));
  BERTH_TRY(make_directories(at, 0711));
  fault::step("sandbox.directory");
  // First: remove_sandbox() reads from it what there may be to remove.
  BERTH_TRY(write_file(at + "/sandbox.json", json::encode(to_json(spec))));
  fault::step("sandbox.described");
  SandboxPaths paths = sandbox_paths(root, spec);
  bool whole = (paths.ipc_namespace.empty() || is_mount_point(paths.ipc_namespace)) &&
               (paths.uts_namespace.empty() || is_mount_point(paths.uts_namespace)) &&
               (spec.host_ipc || is_mount_point(paths.shm));
  if (!whole) {
    unmount_all(paths);
    BERTH_TRY(make_namespaces(spec, paths));
    fault::step("sandbox.namespaces");
    if (!spec.host_ipc) {
      BERTH_TRY(make_directories(paths.shm, 01777));
      BERTH_TRY(mount_tmpfs(paths.shm, "mode=1777,size=65536k"));
    }
  }
  BERTH_TRY(in_namespaces({spec.network_namespace},
                          [&]() -> Status { return write_sysctls(spec, SysctlNamespace::kNetwork); }));
  if (spec.share_pid && !spec.host_pid && living_holder(root, spec.pod_uid) == 0) {
    BERTH_TRY(start_pid_holder(spec.user_namespace, at + "/root", [&](pid_t holder) {
      return write_file(pid_file(root, spec.pod_uid),
                        std::to_string(holder) + " " + std::to_string(process_start_time(holder)));
    }));
  }
  const Limits& l = spec.limits;
  if (l.cpu_milli_limit || l.cpu_milli_request || l.memory_bytes || l.pids) {
    if (auto made = cgroups.create(spec.cgroup_parent, spec.limits); !made.ok())
      return made.error().in("control group of the pod");
  }
  fault::step("sandbox.made");
  return {};
}

Result<SandboxSpec> read_sandbox(const std::string& root, const std::string& pod_uid) {
  BERTH_ASSIGN(std::string text, read_file(root + "/" + pod_uid + "/sandbox.json"));
  BERTH_ASSIGN(Value value, json::parse(text));
  SandboxSpec spec;
  spec.pod_uid = value["uid"].str();
  spec.ns = value["namespace"].str();
  spec.name = value["name"].str();
  spec.hostname = value["hostname"].str();
  spec.network_namespace = value["network"].str();
  spec.user_namespace = value["users"].str();
  spec.first_user = value["firstUser"].as_int();
  spec.host_pid = value["hostPID"].as_bool();
  spec.host_ipc = value["hostIPC"].as_bool();
  spec.share_pid = value["sharePID"].as_bool();
  spec.cgroup_parent = value["cgroup"].str();
  for (auto [name, sysctl] : value["sysctls"].entries()) spec.sysctls[std::string(name)] = sysctl.str();
  return spec;
}

Status destroy_sandbox(const std::string& root, const Cgroups& cgroups, const std::string& pod_uid) {
  std::string at = root + "/" + pod_uid;
  if (!path_exists(at)) return {};
  if (pid_t holder = living_holder(root, pod_uid)) {
    ::kill(holder, SIGKILL);
    // It may be ours to reap (a subreaper's child) or init's.
    ::waitpid(holder, nullptr, WNOHANG);
  }
  auto spec = read_sandbox(root, pod_uid);
  fault::step("sandbox.holder_ended");
  unmount_all({.ipc_namespace = at + "/ipc", .uts_namespace = at + "/uts", .shm = at + "/shm"});
  fault::step("sandbox.unmounted");
  if (spec.ok() && !spec->cgroup_parent.empty()) BERTH_TRY(cgroups.remove(spec->cgroup_parent));
  fault::step("sandbox.cgroup_removed");
  return remove_all(at);
}

}  // namespace berth::agent

#include "host/node_space.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <thread>

#include "base/files.h"
#include "base/process/process.h"
#include "base/text.h"

namespace berth::host {
namespace {

constexpr long kNsfsMagic = 0x6e736673;
constexpr long kCgroup2Magic = 0x63677270;

bool is_pinned(const std::string& path) {
  struct statfs fs {};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == kNsfsMagic;
}

bool is_cgroup2(const std::string& path) {
  struct statfs fs {};
  return ::statfs(path.c_str(), &fs) == 0 && fs.f_type == kCgroup2Magic;
}

constexpr int kAnyCpu = -1;

// In the child, single-threaded: creates the namespaces, then waits until the parent has pinned them.
[[noreturn]] void namespace_child(int cpu, int ready_fd, int go_fd) {
  auto fail = [&](const char* what) {
    dprintf(ready_fd, "%s: %s", what, strerror(errno));
    _exit(1);
  };
  if (cpu != kAnyCpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (::sched_setaffinity(0, sizeof set, &set) != 0) fail("sched_setaffinity");
  }
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0) fail("unshare(network, mount namespaces)");
  // Mounts of the host still propagate into the namespace; none propagate out.
  if (::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) fail("making / a slave mount");
  // On a hybrid machine the version 2 tree is unmounted and covered by a tmpfs: crun creates directories below that
  // path, which would otherwise be the host's: a page of memory per container.
  if (is_cgroup2("/sys/fs/cgroup/unified")) {
    if (::umount2("/sys/fs/cgroup/unified", MNT_DETACH) != 0) fail("hiding /sys/fs/cgroup/unified");
    if (::mount("berth", "/sys/fs/cgroup/unified", "tmpfs", 0, "size=64m,mode=755") != 0)
      fail("covering /sys/fs/cgroup/unified");
  }
  if (::write(ready_fd, "ok", 2) != 2) _exit(1);
  char byte;
  (void)!::read(go_fd, &byte, 1);
  _exit(0);
}

// kInvalid: the kernel refuses to pin this namespace here.
Status pin(const std::string& from, const std::string& to) {
  BERTH_TRY(write_file(to, "", 0600));
  if (::mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) == 0) return ok_status();
  const bool never = errno == EINVAL;
  Error why = errno_error("pinning " + from + " at " + to);
  if (never) why.code = Code::kInvalid;
  return why;
}

// The directory of the pins must be a private mount: a mount namespace cannot be pinned in a shared one.
Status prepare_pin_directory(const std::string& path) {
  BERTH_TRY(make_directories(path, 0700));
  if (::mount(path.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) return errno_error("bind-mounting " + path);
  if (::mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) != 0)
    return errno_error("making " + path + " private");
  return ok_status();
}

Status configure_loopback(const ClusterDir& dir, const NodeAddresses& addresses) {
  Command command;
  command.argv = {"nsenter", "--net=" + dir.network_namespace(), "ip", "-batch", "-"};
  command.standard_input = "link set lo up\naddress replace " + addresses.api_service + "/32 dev lo\naddress replace " +
                           addresses.dns_service + "/32 dev lo\n";
  Result<std::string> done = run_checked(command);
  if (!done.ok()) return done.error().in("setting up the node's loopback interface");
  return ok_status();
}

std::vector<std::string> cgroup_directories(const ClusterDir& dir) {
  std::vector<std::string> found;
  const std::string base = "/sys/fs/cgroup";
  if (is_cgroup2(base)) return {base + "/" + dir.cgroup()};
  Result<std::vector<std::string>> hierarchies = list_directory(base);
  if (!hierarchies.ok()) return found;
  for (const std::string& name : *hierarchies) {
    std::string path = base + "/" + name + "/" + dir.cgroup();
    if (path_exists(path)) found.push_back(path);
  }
  return found;
}

void collect_processes(const std::string& cgroup, std::vector<int>& pids) {
  if (Result<std::string> procs = read_file(cgroup + "/cgroup.procs"); procs.ok()) {
    for (std::string_view line : split(*procs, '\n')) {
      if (Result<long> pid = parse_int(line); pid.ok() && *pid > 0) pids.push_back(static_cast<int>(*pid));
    }
  }
  Result<std::vector<std::string>> children = list_directory(cgroup);
  if (!children.ok()) return;
  for (const std::string& child : *children) {
    struct stat info {};
    std::string path = cgroup + "/" + child;
    if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) collect_processes(path, pids);
  }
}

void remove_cgroup(const std::string& cgroup) {
  Result<std::vector<std::string>> children = list_directory(cgroup);
  if (children.ok()) {
    for (const std::string& child : *children) {
      struct stat info {};
      std::string path = cgroup + "/" + child;
      if (::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) remove_cgroup(path);
    }
  }
  ::rmdir(cgroup.c_str());
}

// Version 1: a frozen process does not exit when it is killed.
void thaw(const std::string& cgroup) {
  if (Fd state(::open((cgroup + "/freezer.state").c_str(), O_WRONLY | O_CLOEXEC)); state)
    (void)!::write(state.get(), "THAWED", 6);
  Result<std::vector<std::string>> children = list_directory(cgroup);
  if (!children.ok()) return;
  for (const std::string& child : *children) {
    if (path_exists(cgroup + "/" + child + "/freezer.state")) thaw(cgroup + "/" + child);
  }
}

// Waits until none of the processes exists, at most `limit_ms` for those that do not exit.
void wait_gone(const std::vector<int>& pids, int limit_ms) {
  constexpr int kPollMs = 50;
  for (int pid : pids) {
    Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process) continue;
    pollfd waiting{process.get(), POLLIN, 0};
    while (limit_ms > 0 && ::poll(&waiting, 1, kPollMs) == 0) limit_ms -= kPollMs;
  }
}

std::vector<int> own_cpus() {
  std::vector<int> out;
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return out;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) out.push_back(cpu);
  }
  return out;
}

// Creates both namespaces on that CPU and pins them; errors as of pin().
Status make_and_pin(const ClusterDir& dir, int cpu) {
  int ready[2], go[2];
  if (::pipe2(ready, O_CLOEXEC) != 0 || ::pipe2(go, O_CLOEXEC) != 0) return errno_error("pipe");
  pid_t child = ::fork();
  if (child < 0) return errno_error("fork");
  if (child == 0) {
    ::close(go[1]);
    namespace_child(cpu, ready[1], go[0]);
  }
  ::close(ready[1]);
  ::close(go[0]);
  char answer[256] = {};
  ssize_t length = ::read(ready[0], answer, sizeof answer - 1);
  Status status = ok_status();
  if (length <= 0 || std::string_view(answer) != "ok") {
    status = error(Code::kInternal, std::string("making the node's namespaces: ") + answer + " (root is needed)");
  } else {
    std::string proc = "/proc/" + std::to_string(child) + "/ns/";
    status = pin(proc + "net", dir.network_namespace());
    if (status.ok()) status = pin(proc + "mnt", dir.mount_namespace());
  }
  ::close(go[1]);
  ::close(ready[0]);
  ::waitpid(child, nullptr, 0);
  return status;
}

}  // namespace

bool node_space_exists(const ClusterDir& dir) {
  return is_pinned(dir.network_namespace()) && is_pinned(dir.mount_namespace());
}

Status make_node_space(const ClusterDir& dir, const NodeAddresses& addresses) {
  if (node_space_exists(dir)) return ok_status();
  BERTH_TRY(destroy_node_space(dir));
  BERTH_TRY(prepare_pin_directory(dir.namespaces()));
  // A mount namespace can only be pinned in an older one. Linux 6.18 compares ids of which each CPU allocates from its
  // own block; a namespace created on the CPU on which this process's own was created is certain to have a larger id.
  Status status = make_and_pin(dir, kAnyCpu);
  for (int cpu : own_cpus()) {
    if (!status.failed_with(Code::kInvalid)) break;
    BERTH_TRY(destroy_node_space(dir));
    BERTH_TRY(prepare_pin_directory(dir.namespaces()));
    status = make_and_pin(dir, cpu);
  }
  if (status.failed_with(Code::kInvalid)) {
    return status.error().in(
        "a mount namespace can be pinned only in an older one; run this from the machine's own, or from one that was made on a CPU "
        "that this process may use");
  }
  BERTH_TRY(status);
  return configure_loopback(dir, addresses);
}

Status enter_node_space(const ClusterDir& dir) {
  Fd net(::open(dir.network_namespace().c_str(), O_RDONLY | O_CLOEXEC));
  Fd mnt(::open(dir.mount_namespace().c_str(), O_RDONLY | O_CLOEXEC));
  if (!net || !mnt) return errno_error("opening the node's namespaces in " + dir.namespaces());
  if (::setns(net.get(), CLONE_NEWNET) != 0) return errno_error("entering the node's network namespace");
  if (::setns(mnt.get(), CLONE_NEWNS) != 0) return errno_error("entering the node's mount namespace");
  return ok_status();
}

Result<int> listen_in_node(const ClusterDir& dir, const std::string& ip, int port) {
  Result<int> result = error(Code::kInternal, "not run");
  std::thread worker([&] {
    Fd net(::open(dir.network_namespace().c_str(), O_RDONLY | O_CLOEXEC));
    if (!net || ::setns(net.get(), CLONE_NEWNET) != 0) {
      result = errno_error("entering the node's network namespace");
      return;
    }
    Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    int one = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    ::setsockopt(socket.get(), IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    ::inet_pton(AF_INET, ip.c_str(), &address.sin_addr);
    if (!socket || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(socket.get(), 512) != 0) {
      result = errno_error("listening on " + ip + ":" + std::to_string(port) + " in the node");
      return;
    }
    result = socket.release();
  });
  worker.join();
  return result;
}

std::vector<int> node_processes(const ClusterDir& dir) {
  std::vector<int> pids;
  for (const std::string& cgroup : cgroup_directories(dir)) collect_processes(cgroup, pids);
  // The first processes of shared process namespaces have their own mount namespace.
  for (const auto& [kind, path] :
       {std::pair("mnt", dir.mount_namespace()), std::pair("net", dir.network_namespace())}) {
    struct stat pinned {};
    if (!is_pinned(path) || ::stat(path.c_str(), &pinned) != 0) continue;
    Result<std::vector<std::string>> entries = list_directory("/proc");
    if (!entries.ok()) continue;
    for (const std::string& entry : *entries) {
      Result<long> pid = parse_int(entry);
      struct stat theirs {};
      if (pid.ok() && *pid != ::getpid() && ::stat(("/proc/" + entry + "/ns/" + kind).c_str(), &theirs) == 0 &&
          theirs.st_ino == pinned.st_ino && theirs.st_dev == pinned.st_dev) {
        pids.push_back(static_cast<int>(*pid));
      }
    }
  }
  std::sort(pids.begin(), pids.end());
  pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
  return pids;
}

Status destroy_node_space(const ClusterDir& dir) {
  for (int round = 0; round < 10; ++round) {  // conmon and containers can start further processes meanwhile
    std::vector<int> pids = node_processes(dir);
    if (pids.empty()) break;
    for (int pid : pids) ::kill(pid, SIGKILL);
    for (const std::string& cgroup : cgroup_directories(dir)) thaw(cgroup);
    wait_gone(pids, 2000);
  }
  for (const std::string& cgroup : cgroup_directories(dir)) remove_cgroup(cgroup);
  for (const std::string& path : {dir.network_namespace(), dir.mount_namespace()}) {
    while (is_pinned(path)) {
      if (::umount2(path.c_str(), MNT_DETACH) != 0) return errno_error("unpinning " + path);
    }
  }
  while (::umount2(dir.namespaces().c_str(), MNT_DETACH) == 0) {}
  BERTH_TRY(remove_all(dir.namespaces()));
  if (std::vector<int> left = node_processes(dir); !left.empty()) {
    return error(Code::kInternal, "process " + std::to_string(left[0]) + " of the node does not end; see /proc/" +
                                      std::to_string(left[0]) + "/stack");
  }
  return ok_status();
}

}  // namespace berth::host

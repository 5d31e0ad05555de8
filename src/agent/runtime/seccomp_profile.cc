#include "agent/runtime/seccomp_profile.h"

#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <mutex>

#include "base/files.h"
#include "base/json/json.h"
#include "base/text.h"

namespace berth::agent {
namespace {

// System calls that need no capability, by what they are for.
constexpr const char* kFiles[] = {"access",
                                  "chdir",
                                  "chmod",
                                  "chown",
                                  "chown32",
                                  "close",
                                  "close_range",
                                  "copy_file_range",
                                  "creat",
                                  "dup",
                                  "dup2",
                                  "dup3",
                                  "faccessat",
                                  "faccessat2",
                                  "fadvise64",
                                  "fadvise64_64",
                                  "fallocate",
                                  "fanotify_mark",
                                  "fchdir",
                                  "fchmod",
                                  "fchmodat",
                                  "fchmodat2",
                                  "fchown",
                                  "fchown32",
                                  "fchownat",
                                  "fcntl",
                                  "fcntl64",
                                  "fdatasync",
                                  "fgetxattr",
                                  "flistxattr",
                                  "flock",
                                  "fremovexattr",
                                  "fsetxattr",
                                  "fstat",
                                  "fstat64",
                                  "fstatat64",
                                  "fstatfs",
                                  "fstatfs64",
                                  "fsync",
                                  "ftruncate",
                                  "ftruncate64",
                                  "futimesat",
                                  "getcwd",
                                  "getdents",
                                  "getdents64",
                                  "getxattr",
                                  "inotify_add_watch",
                                  "inotify_init",
                                  "inotify_init1",
                                  "inotify_rm_watch",
                                  "ioctl",
                                  "lchown",
                                  "lchown32",
                                  "lgetxattr",
                                  "link",
                                  "linkat",
                                  "listxattr",
                                  "llistxattr",
                                  "_llseek",
                                  "lremovexattr",
                                  "lseek",
                                  "lsetxattr",
                                  "lstat",
                                  "lstat64",
                                  "mkdir",
                                  "mkdirat",
                                  "mknod",
                                  "mknodat",
                                  "name_to_handle_at",
                                  "newfstatat",
                                  "open",
                                  "openat",
                                  "openat2",
                                  "pipe",
                                  "pipe2",
                                  "pread64",
                                  "preadv",
                                  "preadv2",
                                  "pwrite64",
                                  "pwritev",
                                  "pwritev2",
                                  "read",
                                  "readahead",
                                  "readlink",
                                  "readlinkat",
                                  "readv",
                                  "removexattr",
                                  "rename",
                                  "renameat",
                                  "renameat2",
                                  "rmdir",
                                  "sendfile",
                                  "sendfile64",
                                  "setxattr",
                                  "splice",
                                  "stat",
                                  "stat64",
                                  "statfs",
                                  "statfs64",
                                  "statx",
                                  "symlink",
                                  "symlinkat",
                                  "sync",
                                  "sync_file_range",
                                  "syncfs",
                                  "tee",
                                  "truncate",
                                  "truncate64",
                                  "umask",
                                  "unlink",
                                  "unlinkat",
                                  "utime",
                                  "utimensat",
                                  "utimensat_time64",
                                  "utimes",
                                  "vmsplice",
                                  "write",
                                  "writev"};
constexpr const char* kMemory[] = {"brk",
                                   "madvise",
                                   "membarrier",
                                   "memfd_create",
                                   "memfd_secret",
                                   "mincore",
                                   "mlock",
                                   "mlock2",
                                   "mlockall",
                                   "mmap",
                                   "mmap2",
                                   "mprotect",
                                   "mremap",
                                   "msync",
                                   "munlock",
                                   "munlockall",
                                   "munmap",
                                   "pkey_alloc",
                                   "pkey_free",
                                   "pkey_mprotect",
                                   "process_mrelease",
                                   "remap_file_pages",
                                   "shmat",
                                   "shmctl",
                                   "shmdt",
                                   "shmget"};
constexpr const char* kProcesses[] = {"alarm",
                                      "arch_prctl",
                                      "capget",
                                      "capset",
                                      "execve",
                                      "execveat",
                                      "exit",
                                      "exit_group",
                                      "fork",
                                      "futex",
                                      "futex_time64",
                                      "futex_waitv",
                                      "get_robust_list",
                                      "get_thread_area",
                                      "getcpu",
                                      "getegid",
                                      "getegid32",
                                      "geteuid",
                                      "geteuid32",
                                      "getgid",
                                      "getgid32",
                                      "getgroups",
                                      "getgroups32",
                                      "getpgid",
                                      "getpgrp",
                                      "getpid",
                                      "getppid",
                                      "getpriority",
                                      "getresgid",
                                      "getresgid32",
                                      "getresuid",
                                      "getresuid32",
                                      "getrlimit",
                                      "getrusage",
                                      "getsid",
                                      "gettid",
                                      "getuid",
                                      "getuid32",
                                      "ioprio_get",
                                      "ioprio_set",
                                      "kill",
                                      "landlock_add_rule",
                                      "landlock_create_ruleset",
                                      "landlock_restrict_self",
                                      "modify_ldt",
                                      "pause",
                                      "pidfd_open",
                                      "pidfd_send_signal",
                                      "prctl",
                                      "prlimit64",
                                      "restart_syscall",
                                      "rseq",
                                      "rt_sigaction",
                                      "rt_sigpending",
                                      "rt_sigprocmask",
                                      "rt_sigqueueinfo",
                                      "rt_sigreturn",
                                      "rt_sigsuspend",
                                      "rt_sigtimedwait",
                                      "rt_sigtimedwait_time64",
                                      "rt_tgsigqueueinfo",
                                      "sched_getaffinity",
                                      "sched_getattr",
                                      "sched_getparam",
                                      "sched_get_priority_max",
                                      "sched_get_priority_min",
                                      "sched_getscheduler",
                                      "sched_rr_get_interval",
                                      "sched_rr_get_interval_time64",
                                      "sched_setaffinity",
                                      "sched_setattr",
                                      "sched_setparam",
                                      "sched_setscheduler",
                                      "sched_yield",
                                      "seccomp",
                                      "setfsgid",
                                      "setfsgid32",
                                      "setfsuid",
                                      "setfsuid32",
                                      "setgid",
                                      "setgid32",
                                      "setgroups",
                                      "setgroups32",
                                      "setpgid",
                                      "setpriority",
                                      "setregid",
                                      "setregid32",
                                      "setresgid",
                                      "setresgid32",
                                      "setresuid",
                                      "setresuid32",
                                      "setreuid",
                                      "setreuid32",
                                      "setrlimit",
                                      "set_robust_list",
                                      "setsid",
                                      "set_thread_area",
                                      "set_tid_address",
                                      "setuid",
                                      "setuid32",
                                      "sigaltstack",
                                      "signalfd",
                                      "signalfd4",
                                      "sigprocmask",
                                      "sigreturn",
                                      "sysinfo",
                                      "tgkill",
                                      "tkill",
                                      "ugetrlimit",
                                      "uname",
                                      "vfork",
                                      "wait4",
                                      "waitid",
                                      "waitpid"};
constexpr const char* kSocketsAndQueues[] = {"accept",
                                             "accept4",
                                             "bind",
                                             "connect",
                                             "epoll_create",
                                             "epoll_create1",
                                             "epoll_ctl",
                                             "epoll_ctl_old",
                                             "epoll_pwait",
                                             "epoll_pwait2",
                                             "epoll_wait",
                                             "epoll_wait_old",
                                             "eventfd",
                                             "eventfd2",
                                             "getpeername",
                                             "getsockname",
                                             "getsockopt",
                                             "io_cancel",
                                             "io_destroy",
                                             "io_getevents",
                                             "io_pgetevents",
                                             "io_pgetevents_time64",
                                             "io_setup",
                                             "io_submit",
                                             "ipc",
                                             "listen",
                                             "mq_getsetattr",
                                             "mq_notify",
                                             "mq_open",
                                             "mq_timedreceive",
                                             "mq_timedreceive_time64",
                                             "mq_timedsend",
                                             "mq_timedsend_time64",
                                             "mq_unlink",
                                             "msgctl",
                                             "msgget",
                                             "msgrcv",
                                             "msgsnd",
                                             "poll",
                                             "ppoll",
                                             "ppoll_time64",
                                             "pselect6",
                                             "pselect6_time64",
                                             "recv",
                                             "recvfrom",
                                             "recvmmsg",
                                             "recvmmsg_time64",
                                             "recvmsg",
                                             "select",
                                             "_newselect",
                                             "semctl",
                                             "semget",
                                             "semop",
                                             "semtimedop",
                                             "semtimedop_time64",
                                             "send",
                                             "sendmmsg",
                                             "sendmsg",
                                             "sendto",
                                             "setsockopt",
                                             "shutdown",
                                             "socketcall",
                                             "socketpair"};
constexpr const char* kTime[] = {"clock_getres",
                                 "clock_getres_time64",
                                 "clock_gettime",
                                 "clock_gettime64",
                                 "clock_nanosleep",
                                 "clock_nanosleep_time64",
                                 "getitimer",
                                 "getrandom",
                                 "gettimeofday",
                                 "nanosleep",
                                 "setitimer",
                                 "time",
                                 "timer_create",
                                 "timer_delete",
                                 "timer_getoverrun",
                                 "timer_gettime",
                                 "timer_gettime64",
                                 "timer_settime",
                                 "timer_settime64",
                                 "timerfd_create",
                                 "timerfd_gettime",
                                 "timerfd_gettime64",
                                 "timerfd_settime",
                                 "timerfd_settime64",
                                 "times"};

struct ByCapability {
  const char* capability;
  std::vector<const char*> calls;
};
const std::vector<ByCapability>& by_capability() {
  static const std::vector<ByCapability> table = {
      {"CAP_DAC_READ_SEARCH", {"open_by_handle_at"}},
      {"CAP_SYS_ADMIN",
       {"bpf",       "clone",           "clone3",         "fanotify_init", "fsconfig",      "fsmount",
        "fsopen",    "fspick",          "lookup_dcookie", "mount",         "mount_setattr", "move_mount",
        "open_tree", "perf_event_open", "quotactl",       "quotactl_fd",   "setdomainname", "sethostname",
        "setns",     "umount",          "umount2",        "unshare"}},
      {"CAP_SYS_BOOT", {"reboot"}},
      {"CAP_SYS_CHROOT", {"chroot"}},
      {"CAP_SYS_MODULE", {"delete_module", "init_module", "finit_module"}},
      {"CAP_SYS_PACCT", {"acct"}},
      {"CAP_SYS_PTRACE", {"kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace"}},
      {"CAP_SYS_RAWIO", {"iopl", "ioperm"}},
      {"CAP_SYS_TIME",
       {"settimeofday", "stime", "adjtimex", "clock_adjtime", "clock_adjtime64", "clock_settime", "clock_settime64"}},
      {"CAP_SYS_TTY_CONFIG", {"vhangup"}},
      {"CAP_SYS_NICE", {"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"}},
      {"CAP_SYSLOG", {"syslog"}},
      {"CAP_BPF", {"bpf"}},
      {"CAP_PERFMON", {"perf_event_open"}},
  };
  return table;
}

struct Release {
  void operator()(void* filter) const { ::seccomp_release(filter); }
};
using Filter = std::unique_ptr<void, Release>;

// Names that this architecture, or this version of the library, does not know are left out.
void allow(void* filter, const char* name) {
  int number = ::seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return;
  (void)::seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
}

template <std::size_t N>
void allow_all(void* filter, const char* const (&names)[N]) {
  for (const char* name : names) allow(filter, name);
}

void add_architectures(void* filter) {
#if defined(__x86_64__)
  (void)::seccomp_arch_add(filter, SCMP_ARCH_X86);
  (void)::seccomp_arch_add(filter, SCMP_ARCH_X32);
#elif defined(__aarch64__)
  (void)::seccomp_arch_add(filter, SCMP_ARCH_ARM);
#endif
}

Result<std::string> program_of(void* filter) {
  // A search tree instead of one comparison after the other: every system call of the container passes through it.
  (void)::seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  Fd file(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!file) return errno_error("memfd_create");
  if (int failed = ::seccomp_export_bpf(filter, file.get()); failed != 0)
    return errno_error("compiling a seccomp profile", -failed);
  BERTH_ASSIGN(std::string bytes, read_file("/proc/self/fd/" + std::to_string(file.get())));
  return base64_encode(bytes);
}

Result<std::string> compile(const std::vector<std::string>& capabilities) {
  Filter filter(::seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) return error(Code::kInternal, "seccomp_init failed");
  add_architectures(filter.get());
  allow_all(filter.get(), kFiles);
  allow_all(filter.get(), kMemory);
  allow_all(filter.get(), kProcesses);
  allow_all(filter.get(), kSocketsAndQueues);
  allow_all(filter.get(), kTime);
  // Any family but AF_VSOCK, which leads past the network namespace.
  (void)::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, 40));
  for (std::uint64_t persona : {0x0ull, 0x8ull, 0x20000ull, 0x20008ull, 0xffffffffull}) {
    (void)::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(personality), 1, SCMP_A0(SCMP_CMP_EQ, persona));
  }
  bool admin = false;
  for (const auto& row : by_capability()) {
    if (std::find(capabilities.begin(), capabilities.end(), row.capability) == capabilities.end()) continue;
    admin = admin || std::string_view(row.capability) == "CAP_SYS_ADMIN";
    for (const char* name : row.calls) allow(filter.get(), name);
  }
  if (!admin) {
    constexpr std::uint64_t kNamespaces =
        CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;
    (void)::seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, kNamespaces, 0));
    // Its flags are in memory, where a filter cannot look: libc falls back to clone.
    (void)::seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
  }
  return program_of(filter.get());
}

Result<std::uint32_t> action_of(std::string_view name, const Value& errno_value) {
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(static_cast<std::uint32_t>(errno_value.as_int(EPERM)));
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  return error(Code::kInvalid, "seccomp action " + quoted(name) + " is not supported");
}

Result<scmp_compare> comparison_of(std::string_view name) {
  static const std::map<std::string_view, scmp_compare> table = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                                                                 {"SCMP_CMP_LT", SCMP_CMP_LT},
                                                                 {"SCMP_CMP_LE", SCMP_CMP_LE},
                                                                 {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                                                 {"SCMP_CMP_GE", SCMP_CMP_GE},
                                                                 {"SCMP_CMP_GT", SCMP_CMP_GT},
                                                                 {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  auto found = table.find(name);
  if (found == table.end()) return error(Code::kInvalid, "seccomp comparison " + quoted(name) + " is not supported");
  return found->second;
}

Status add_rule(void* filter, std::uint32_t default_action, const Value& rule) {
  BERTH_ASSIGN(std::uint32_t action, action_of(rule["action"].as_string(), rule["errnoRet"]));
  if (action == default_action) return {};
  std::vector<scmp_arg_cmp> arguments;
  for (const Value& argument : rule["args"]) {
    BERTH_ASSIGN(scmp_compare op, comparison_of(argument["op"].as_string()));
    auto value = static_cast<std::uint64_t>(argument["value"].as_int());
    auto value_two = static_cast<std::uint64_t>(argument["valueTwo"].as_int());
    arguments.push_back({static_cast<unsigned>(argument["index"].as_int()), op, value, value_two});
  }
  for (const Value& name : rule["names"]) {
    int number = ::seccomp_syscall_resolve_name(name.str().c_str());
    if (number == __NR_SCMP_ERROR) continue;
    int failed =
        ::seccomp_rule_add_array(filter, action, number, static_cast<unsigned>(arguments.size()), arguments.data());
    if (failed != 0 && failed != -EEXIST) return errno_error("seccomp rule for " + name.str(), -failed);
  }
  return {};
}

}  // namespace

Result<std::string> default_seccomp_filter(const std::vector<std::string>& capabilities) {
  static std::mutex mutex;
  static std::map<std::string, std::string> known;
  std::string key;
  for (const auto& row : by_capability()) {
    if (std::find(capabilities.begin(), capabilities.end(), row.capability) != capabilities.end())
      key += std::string(row.capability) + " ";
  }
  std::lock_guard lock(mutex);
  if (auto found = known.find(key); found != known.end()) return found->second;
  BERTH_ASSIGN(std::string program, compile(capabilities));
  known.emplace(key, program);
  return program;
}

Result<std::string> seccomp_filter_from_file(const std::string& path) {
  BERTH_ASSIGN(std::string text, read_file(path));
  auto profile = json::parse(text);
  if (!profile.ok()) return profile.error().in("seccomp profile " + path);
  BERTH_ASSIGN(std::uint32_t action, action_of((*profile)["defaultAction"].as_string(), (*profile)["defaultErrnoRet"]));
  Filter filter(::seccomp_init(action));
  if (!filter) return error(Code::kInternal, "seccomp_init failed");
  add_architectures(filter.get());
  for (const Value& rule : (*profile)["syscalls"]) {
    if (auto added = add_rule(filter.get(), action, rule); !added.ok())
      return added.error().in("seccomp profile " + path);
  }
  return program_of(filter.get());
}

}  // namespace berth::agent

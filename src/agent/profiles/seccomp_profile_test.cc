#include "agent/profiles/seccomp_profile.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "agent/runtime/oci_spec.h"
#include "base/files.h"
#include "base/fs/test_directory.h"
#include "base/text.h"

namespace berth::agent {
namespace {

constexpr std::uint32_t kRefused = SECCOMP_RET_ERRNO | EPERM, kMissing = SECCOMP_RET_ERRNO | ENOSYS;

// What the kernel would make of a call: the instructions that libseccomp emits, interpreted.
class FilterProgram {
 public:
  explicit FilterProgram(const Result<std::string>& encoded) {
    const std::string bytes = base64_decode(encoded.value()).value();
    code_.resize(bytes.size() / sizeof(sock_filter));
    std::memcpy(code_.data(), bytes.data(), bytes.size());
  }
  std::uint32_t operator()(const char* call, std::uint64_t first_argument = 0) const {
    const int number = ::seccomp_syscall_resolve_name(call);
    EXPECT_GE(number, 0) << call;
    return run(number, first_argument);
  }
  int allowed_calls() const {
    int count = 0;
    for (int number = 0; number < 500; ++number) count += run(number, 0) == SECCOMP_RET_ALLOW;
    return count;
  }

 private:
  std::uint32_t run(int number, std::uint64_t first_argument) const {
    seccomp_data data{};
    data.nr = number;
    data.arch = ::seccomp_arch_native();
    data.args[0] = first_argument;
    std::uint32_t a = 0;
    for (std::size_t at = 0; at < code_.size();) {
      const sock_filter& one = code_[at++];
      bool taken = false;
      switch (one.code) {
        case BPF_LD | BPF_W | BPF_ABS:
          std::memcpy(&a, reinterpret_cast<const char*>(&data) + one.k, sizeof a);
          continue;
        case BPF_ALU | BPF_AND | BPF_K: a &= one.k; continue;
        case BPF_RET | BPF_K: return one.k;
        case BPF_JMP | BPF_JA: at += one.k; continue;
        case BPF_JMP | BPF_JEQ | BPF_K: taken = a == one.k; break;
        case BPF_JMP | BPF_JGT | BPF_K: taken = a > one.k; break;
        case BPF_JMP | BPF_JGE | BPF_K: taken = a >= one.k; break;
        default: ADD_FAILURE() << "instruction " << one.code; return 0;
      }
      at += taken ? one.jt : one.jf;
    }
    ADD_FAILURE() << "the program does not return";
    return 0;
  }
  std::vector<sock_filter> code_;
};

TEST(SeccompProfile, TheDefaultAllowsWhatNeedsNoCapability) {
  const FilterProgram filter(default_seccomp_filter({}));
  for (const char* call :
       {"openat", "mmap", "execve", "futex", "rt_sigreturn", "epoll_wait", "clock_gettime", "landlock_restrict_self"})
    EXPECT_EQ(filter(call), SECCOMP_RET_ALLOW) << call;
  for (const char* call : {"mount", "unshare", "setns", "bpf", "ptrace", "reboot", "chroot", "keyctl", "add_key",
                           "kexec_load", "open_by_handle_at", "userfaultfd", "init_module", "io_uring_setup"})
    EXPECT_EQ(filter(call), kRefused) << call;
}

TEST(SeccompProfile, TheDefaultLooksAtArguments) {
  const FilterProgram filter(default_seccomp_filter({}));
  EXPECT_EQ(filter("socket", AF_INET), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter("socket", AF_NETLINK), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter("socket", AF_VSOCK), kRefused);
  EXPECT_EQ(filter("personality", 0x20008), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter("personality", 0xffffffff), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter("personality", 0x40000), kRefused);
  EXPECT_EQ(filter("clone", CLONE_VM | CLONE_THREAD), SECCOMP_RET_ALLOW);
  for (std::uint64_t space :
       {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET})
    EXPECT_EQ(filter("clone", space | CLONE_VM), kRefused) << space;
  EXPECT_EQ(filter("clone3"), kMissing);
}

TEST(SeccompProfile, ACapabilityBringsItsCalls) {
  const struct {
    const char *capability, *call;
  } rows[] = {{"CAP_DAC_READ_SEARCH", "open_by_handle_at"},
              {"CAP_SYS_ADMIN", "mount"},
              {"CAP_SYS_ADMIN", "clone3"},
              {"CAP_SYS_BOOT", "reboot"},
              {"CAP_SYS_CHROOT", "chroot"},
              {"CAP_SYS_MODULE", "init_module"},
              {"CAP_SYS_PACCT", "acct"},
              {"CAP_SYS_PTRACE", "ptrace"},
              {"CAP_SYS_RAWIO", "iopl"},
              {"CAP_SYS_TIME", "settimeofday"},
              {"CAP_SYS_NICE", "mbind"},
              {"CAP_SYS_TTY_CONFIG", "vhangup"},
              {"CAP_SYSLOG", "syslog"},
              {"CAP_BPF", "bpf"},
              {"CAP_PERFMON", "perf_event_open"}};
  const FilterProgram none(default_seccomp_filter({"CAP_CHOWN"}));
  for (const auto& row : rows) {
    EXPECT_NE(none(row.call), SECCOMP_RET_ALLOW) << row.call;
    EXPECT_EQ(FilterProgram(default_seccomp_filter({row.capability}))(row.call), SECCOMP_RET_ALLOW) << row.capability;
  }
  EXPECT_EQ(FilterProgram(default_seccomp_filter({"CAP_SYS_ADMIN"}))("clone", CLONE_NEWUSER), SECCOMP_RET_ALLOW);
}

#if defined(__x86_64__)
// How many system calls are open, with a first argument of 0; those that only other architectures have are not counted.
TEST(SeccompProfile, NoCallIsAddedOrLostUnnoticed) {
  EXPECT_EQ(FilterProgram(default_seccomp_filter({})).allowed_calls(), 290);
  EXPECT_EQ(FilterProgram(default_seccomp_filter(default_capabilities())).allowed_calls(), 291);
  EXPECT_EQ(FilterProgram(default_seccomp_filter({"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"})).allowed_calls(), 316);
}
#endif

TEST(SeccompProfile, AFileIsReadAsTheOciSpecificationHasIt) {
  const berth::testing::TestDirectory directory;
  const std::string path = directory / "profile.json";
  ASSERT_TRUE(write_file(path, R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
      {"names":["mkdir","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
      {"names":["chroot"],"action":"SCMP_ACT_KILL_PROCESS","includes":{"caps":["CAP_SYS_CHROOT"]}}]})")
                  .ok());
  const FilterProgram filter(seccomp_filter_from_file(path));
  EXPECT_EQ(filter("mkdir"), kMissing);
  EXPECT_EQ(filter("rmdir"), SECCOMP_RET_ALLOW);
  EXPECT_EQ(filter("chroot"), SECCOMP_RET_KILL_PROCESS) << "the specification knows no conditions";
  ASSERT_TRUE(write_file(path, R"({"defaultAction":"SCMP_ACT_NOTIFY"})").ok());
  auto refused = seccomp_filter_from_file(path);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().message,
            "seccomp profile " + path + ": seccomp action \"SCMP_ACT_NOTIFY\" is not supported");
}

}  // namespace
}  // namespace berth::agent

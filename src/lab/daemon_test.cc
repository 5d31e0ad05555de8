#include "lab/daemon.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "base/files.h"
#include "base/text.h"

namespace berth::lab {
namespace {

// A child that holds 64 MB, so that its end takes the kernel some time, and a pid file as start_daemon writes it.
int start_sleeper(const std::string& pid_file) {
  int child = ::fork();
  if (child == 0) {
    void* memory = ::mmap(nullptr, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memset(memory, 1, 64 << 20);
    for (;;) ::pause();
  }
  std::string stat = read_file("/proc/" + std::to_string(child) + "/stat").value();
  std::vector<std::string_view> fields = split(std::string_view(stat).substr(stat.rfind(')') + 2), ' ');
  EXPECT_TRUE(write_file(pid_file, std::to_string(child) + " " + std::string(fields[19]) + "\n").ok());
  return child;
}

bool has_ended(int child) {
  siginfo_t info{};
  return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == child;
}

TEST(Daemon, KilledOneCountsAsGoneOnlyWhenItIs) {
  std::string pid_file = ::testing::TempDir() + "berth-daemon-test.pid";
  for (int round = 0; round < 30; ++round) {
    int child = start_sleeper(pid_file);
    EXPECT_EQ(running_daemon(pid_file), child);
    ::kill(child, SIGKILL);
    for (int pause = 0; pause < 50 * (round % 4); ++pause) ::sched_yield();  // at several points of its end
    EXPECT_EQ(running_daemon(pid_file), std::nullopt);
    EXPECT_TRUE(has_ended(child));
    ::waitpid(child, nullptr, 0);
  }
  ::unlink(pid_file.c_str());
}

}  // namespace
}  // namespace berth::lab

#include "host/daemon.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "base/files.h"
#include "base/text.h"

namespace berth::host {
namespace {

// The fields of the process's /proc stat, from the third (state) on.
std::vector<std::string> stat_of(int pid) {
  std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat").value();
  std::vector<std::string_view> fields = split(std::string_view(stat).substr(stat.rfind(')') + 2), ' ');
  return {fields.begin(), fields.end()};
}

// As start_daemon() does.
void write_pid_file(const std::string& pid_file, int pid) {
  EXPECT_TRUE(write_file(pid_file, std::to_string(pid) + " " + stat_of(pid)[19] + "\n").ok());
}

// A child that holds 64 MB, so that its exit takes the kernel some time, and its pid file.
int start_sleeper(const std::string& pid_file) {
  int child = ::fork();
  if (child == 0) {
    void* memory = ::mmap(nullptr, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    std::memset(memory, 1, 64 << 20);
    for (;;) ::pause();
  }
  write_pid_file(pid_file, child);
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
    for (int pause = 0; pause < 50 * (round % 4); ++pause) ::sched_yield();  // at several points of its exit
    EXPECT_EQ(running_daemon(pid_file), std::nullopt);
    EXPECT_TRUE(has_ended(child));
    ::waitpid(child, nullptr, 0);
  }
  ::unlink(pid_file.c_str());
}

// The first thread may exit long before the last one, which still holds the process's files.
TEST(Daemon, OneThatEndsIsGoneWithItsLastThread) {
  std::string pid_file = ::testing::TempDir() + "berth-daemon-test.pid";
  int release[2];
  ASSERT_EQ(::pipe2(release, O_CLOEXEC), 0);
  int child = ::fork();
  if (child == 0) {
    ::close(release[1]);
    pthread_t last;
    ::pthread_create(
        &last, nullptr,
        [](void* end) -> void* {
          char byte;
          (void)!::read(*static_cast<int*>(end), &byte, 1);
          ::_exit(0);
        },
        &release[0]);
    ::syscall(SYS_exit, 0);  // of this thread only
  }
  ASSERT_GT(child, 0);
  write_pid_file(pid_file, child);
  while (stat_of(child).front() != "Z") ::sched_yield();
  std::thread releaser([&] { ::close(release[1]); });
  EXPECT_EQ(running_daemon(pid_file), std::nullopt);
  EXPECT_TRUE(has_ended(child));
  releaser.join();
  ::close(release[0]);
  ::waitpid(child, nullptr, 0);
  ::unlink(pid_file.c_str());
}

}  // namespace
}  // namespace berth::host

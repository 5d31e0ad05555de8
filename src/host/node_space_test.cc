#include "host/node_space.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/files.h"

namespace berth::host {
namespace {

void stay_on(int cpu, cpu_set_t& before) {
  ::sched_getaffinity(0, sizeof before, &before);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (::sched_setaffinity(0, sizeof one, &one) != 0) ::_exit(2);
}

// In a process with a mount namespace created on that CPU, like a service with private mounts.
[[noreturn]] void make_some(int cpu, const std::string& root) {
  cpu_set_t all;
  stay_on(cpu, all);
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0) ::_exit(3);
  ::sched_setaffinity(0, sizeof all, &all);
  for (int from = 0; from < CPU_SETSIZE; ++from) {
    if (!CPU_ISSET(from, &all)) continue;
    cpu_set_t unused;
    stay_on(from, unused);  // most likely the CPU of the first attempt
    ::sched_setaffinity(0, sizeof all, &all);
    const ClusterDir dir{root};
    if (Status made = make_node_space(dir, {}); !made.ok()) {
      std::fprintf(stderr, "%s\n", made.error().message.c_str());
      ::_exit(4);
    }
    if (!node_space_exists(dir) || !destroy_node_space(dir).ok()) ::_exit(5);
  }
  ::_exit(0);
}

TEST(NodeSpace, IsMadeFromAnyMountNamespace) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make namespaces";
  cpu_set_t all;
  ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
  const std::string root = ::testing::TempDir() + "berth-node-space-" + std::to_string(::getpid());
  ASSERT_TRUE(make_directories(root, 0700).ok());
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &all)) continue;
    const pid_t child = ::fork();
    if (child == 0) make_some(cpu, root);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0)
        << "from a namespace made on CPU " << cpu << ": status " << status;
  }
  EXPECT_TRUE(remove_all(root).ok());
}

}  // namespace
}  // namespace berth::host

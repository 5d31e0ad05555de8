#include "base/process/owned_namespaces.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"

namespace berth {
namespace {

ino_t number_of(int fd) {
  struct stat at {};
  EXPECT_EQ(::fstat(fd, &at), 0);
  return at.st_ino;
}

TEST(OwnedNamespaces, ArePinnedAndBelongToTheirUsers) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  char name[] = "/tmp/berth-namespaces-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  std::string directory = name;
  const std::int64_t first = std::int64_t{1} << 30;
  if (Status made = pin_user_namespace(directory + "/user", first, 65536); !made.ok()) {
    (void)remove_all(directory);
    GTEST_SKIP() << made.error().message;
  }
  TextPairs pins = {{"net", directory + "/net"}, {"ipc", directory + "/ipc"}, {"uts", directory + "/uts"}};
  Status made = pin_owned_namespaces(
      directory + "/user", CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, "inside", pins,
      {{"/proc/sys/kernel/shm_rmid_forced", "1"}, {"/proc/sys/net/ipv4/ip_unprivileged_port_start", "500"}});
  EXPECT_TRUE(made.ok()) << made.error().message;
  Fd users(::open((directory + "/user").c_str(), O_RDONLY | O_CLOEXEC));
  for (const auto& [kind, path] : pins) {
    Fd pinned(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    Fd owner(::ioctl(pinned.get(), NS_GET_USERNS));
    ASSERT_TRUE(owner) << kind;
    EXPECT_EQ(number_of(owner.get()), number_of(users.get())) << kind;
  }
  Status refused = pin_owned_namespaces(directory + "/user", CLONE_NEWIPC, "", {{"ipc", directory + "/other"}},
                                        {{"/proc/sys/vm/max_map_count", "1"}});
  EXPECT_FALSE(refused.ok()) << "the machine's settings are not theirs";
  EXPECT_FALSE(path_exists(directory + "/other"));
  for (const char* kind : {"net", "ipc", "uts", "user"}) ::umount2((directory + "/" + kind).c_str(), MNT_DETACH);
  (void)remove_all(directory);
}

}  // namespace
}  // namespace berth

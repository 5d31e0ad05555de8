#include "agent/mounts/mapped_root.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/mounts/mounts.h"
#include "agent/testing/test_node.h"
#include "base/files.h"
#include "base/process/owned_namespaces.h"

namespace berth::agent {
namespace {

constexpr std::int64_t kFirst = (std::int64_t{1} << 30) + 65536;

std::int64_t owner_of(const std::string& path) {
  struct stat at {};
  EXPECT_EQ(::stat(path.c_str(), &at), 0) << path;
  return at.st_uid;
}

class MappedRoot : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0 || !testing::enter_private_mounts()) GTEST_SKIP() << "needs root";
    Status made = pin_user_namespace(directory_ / "users", kFirst, 65536);
    if (!made.ok()) GTEST_SKIP() << made.error().message;
  }
  testing::TemporaryDirectory directory_;
};

TEST_F(MappedRoot, TheImagesFilesAreTheContainersUsers) {
  for (const char* path : {"low/etc", "high/etc", "upper", "work", "root"})
    ASSERT_TRUE(make_directories(directory_ / path).ok());
  ASSERT_TRUE(write_file(directory_ / "low/etc/a", "a").ok());
  ASSERT_TRUE(write_file(directory_ / "high/etc/b", "b").ok());
  ASSERT_EQ(::chown((directory_ / "high/etc/b").c_str(), 7, 7), 0);
  Status made = mount_mapped_overlay((directory_ / "high") + ":" + (directory_ / "low"), directory_ / "upper",
                                     directory_ / "work", directory_ / "root", directory_ / "lower",
                                     directory_ / "users", kFirst);
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(owner_of(directory_ / "root"), kFirst);
  EXPECT_EQ(owner_of(directory_ / "root/etc/a"), kFirst);
  EXPECT_EQ(owner_of(directory_ / "root/etc/b"), kFirst + 7);
  EXPECT_EQ(owner_of(directory_ / "high/etc/b"), 7) << "the image itself stays as it is";
  EXPECT_FALSE(is_mount_point(directory_ / "lower/0"));
}

TEST_F(MappedRoot, VolumesKeepThePodsOwnNumbers) {
  ASSERT_TRUE(make_directories(directory_ / "volume").ok());
  ASSERT_TRUE(write_file(directory_ / "volume/f", "kept").ok());
  std::string id = "mapped-root-test-" + std::to_string(::getpid()), place = mapped_place(id);
  ASSERT_TRUE(make_mapped_place(id).ok());
  ASSERT_TRUE(mount_mapped_source(directory_ / "volume", place + "/0", directory_ / "users").ok());
  ASSERT_TRUE(mount_mapped_source(directory_ / "volume/f", place + "/1", directory_ / "users").ok());
  EXPECT_EQ(owner_of(place + "/0/f"), kFirst);
  EXPECT_EQ(read_file(place + "/1").value(), "kept");
  ASSERT_TRUE(remove_mapped_place(id).ok());
  EXPECT_FALSE(path_exists(place));
  EXPECT_EQ(read_file(directory_ / "volume/f").value(), "kept") << "what was mounted is not removed with its place";
  EXPECT_TRUE(remove_mapped_place(id).ok());
}

TEST_F(MappedRoot, SaysWhichFileSystemCannotMapUsers) {
  Status made = mount_mapped_source("/proc/sys", directory_ / "target", directory_ / "users");
  ASSERT_FALSE(made.ok());
  EXPECT_EQ(made.error().message, "the file system of /proc/sys cannot map users, which `spec.hostUsers: false` needs");
}

}  // namespace
}  // namespace berth::agent

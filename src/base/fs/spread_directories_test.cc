#include "base/fs/spread_directories.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "base/files.h"
#include "base/fs/test_directory.h"

namespace berth {
namespace {

std::optional<int> flags_of(const std::string& directory) {
  Fd opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  int flags = 0;
  if (!opened || ::ioctl(opened.get(), FS_IOC_GETFLAGS, &flags) != 0) return std::nullopt;
  return flags;
}

class SpreadDirectories : public ::testing::Test {
 protected:
  testing::TestDirectory made_;
  const std::string& directory_ = made_.path();
};

TEST_F(SpreadDirectories, MarksTheDirectoryAndNotThoseBelow) {
  const std::string other = directory_ + "/other";
  ASSERT_EQ(::mkdir(other.c_str(), 0700), 0);
  const std::optional<int> before = flags_of(directory_);
  int wanted = before.value_or(0) | FS_TOPDIR_FL;
  Fd marked(::open(other.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!before || ::ioctl(marked.get(), FS_IOC_SETFLAGS, &wanted) != 0)
    GTEST_SKIP() << "the file system of " << directory_ << " has no such mark";
  spread_directories(directory_);
  EXPECT_EQ(flags_of(directory_), *before | FS_TOPDIR_FL);
  const std::string below = directory_ + "/below";
  ASSERT_EQ(::mkdir(below.c_str(), 0700), 0);
  EXPECT_EQ(*flags_of(below) & FS_TOPDIR_FL, 0);
  spread_directories(directory_);
  EXPECT_EQ(flags_of(directory_), *before | FS_TOPDIR_FL);
}

TEST_F(SpreadDirectories, FollowsNoLinkAndLeavesWhatIsNotThere) {
  const std::optional<int> before = flags_of(directory_);
  const std::string link = directory_ + "-link";
  ASSERT_EQ(::symlink(directory_.c_str(), link.c_str()), 0);
  spread_directories(link);
  spread_directories(directory_ + "/none");
  std::filesystem::remove(link);
  EXPECT_EQ(flags_of(directory_), before);
  EXPECT_FALSE(path_exists(directory_ + "/none"));
}

}  // namespace
}  // namespace berth

#include "base/fs/reserve_file.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "base/fs/test_directory.h"

namespace berth {
namespace {

constexpr std::int64_t kBytes = 1 << 20;

class ReserveFile : public ::testing::Test {
 protected:
  testing::TestDirectory made_;
  const std::string& directory_ = made_.path();
  const std::string path_ = made_ / "reserve";
};

TEST_F(ReserveFile, IsMadeWhole) {
  keep_reserve_file(path_, kBytes);
  EXPECT_EQ(std::filesystem::file_size(path_), static_cast<std::uintmax_t>(kBytes));
  ASSERT_EQ(::truncate(path_.c_str(), 5), 0) << "as one that was not finished";
  keep_reserve_file(path_, kBytes);
  EXPECT_EQ(std::filesystem::file_size(path_), static_cast<std::uintmax_t>(kBytes));
}

TEST_F(ReserveFile, FollowsNoLink) {
  ASSERT_TRUE(write_file(directory_ + "/other", "x").ok());
  ASSERT_EQ(::symlink("other", path_.c_str()), 0);
  keep_reserve_file(path_, kBytes);
  EXPECT_EQ(*read_file(directory_ + "/other"), "x");
}

TEST_F(ReserveFile, TakesNothingOfADiskThatHasLittle) {
  if (::geteuid() != 0 || ::mount("none", directory_.c_str(), "tmpfs", 0, "size=7m") != 0)
    GTEST_SKIP() << "cannot mount here";
  EXPECT_EQ(disk_space_at(path_).total, 7 * kBytes);
  keep_reserve_file(path_, kBytes);
  const bool made = path_exists(path_);
  ASSERT_EQ(::mount("none", directory_.c_str(), "tmpfs", MS_REMOUNT, "size=9m"), 0);
  keep_reserve_file(path_, kBytes);
  const bool made_later = path_exists(path_);
  ASSERT_EQ(::umount2(directory_.c_str(), MNT_DETACH), 0);
  EXPECT_FALSE(made);
  EXPECT_TRUE(made_later);
}

}  // namespace
}  // namespace berth

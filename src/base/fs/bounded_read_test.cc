#include "base/fs/bounded_read.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/files.h"
#include "base/fs/test_directory.h"

namespace berth {
namespace {

class BoundedRead : public ::testing::Test {
 protected:
  testing::TestDirectory made_;
  const std::string& directory_ = made_.path();
  const std::string path_ = made_ / "file";
};

TEST_F(BoundedRead, GivesNoMoreThanItsLimit) {
  ASSERT_TRUE(write_file(path_, "0123456789").ok());
  EXPECT_EQ(*read_start(path_, 4), "0123");
  EXPECT_EQ(*read_end(path_, 4), "6789");
  EXPECT_EQ(*read_part(path_, 8, 100), "89");
  EXPECT_EQ(*read_part(path_, 20, 100), "");
  EXPECT_EQ(*read_end(path_, 100), "0123456789");
  EXPECT_EQ(*file_length(path_), 10);
}

TEST_F(BoundedRead, TakesNoMemoryForAHugeFile) {
  ASSERT_TRUE(write_file(path_, "").ok());
  ASSERT_EQ(::truncate(path_.c_str(), std::int64_t{1} << 40), 0);
  EXPECT_EQ(read_start(path_, 4096)->size(), 4096u);
  EXPECT_EQ(read_end(path_, 4096)->size(), 4096u);
}

TEST_F(BoundedRead, RefusesWhatIsNoRegularFile) {
  EXPECT_TRUE(read_start(path_, 1).failed_with(Code::kNotFound));
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_FALSE(read_start(path_, 1).ok());  // and does not wait for a writer
  ASSERT_EQ(::symlink("/etc/passwd", (directory_ + "/link").c_str()), 0);
  EXPECT_FALSE(read_start(directory_ + "/link", 1).ok());
  EXPECT_FALSE(read_end(directory_, 1).ok());
}

}  // namespace
}  // namespace berth

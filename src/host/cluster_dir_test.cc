#include "host/cluster_dir.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"

namespace berth::host {
namespace {

class ClusterDirTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/berth-dir-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    top_ = name;
  }
  void TearDown() override { EXPECT_TRUE(remove_all(top_).ok()); }
  std::string why(const std::string& path) {
    auto dir = open_cluster_dir(path);
    return dir.ok() ? "it is " + dir->root : dir.error().message;
  }
  std::string top_;
};

TEST_F(ClusterDirTest, TheCommandThatBringsItUpNamesItWhereItIsNotTheDefault) {
  EXPECT_EQ(ClusterDir{kDefaultRoot}.up(), "berth up");
  EXPECT_EQ(ClusterDir{"/srv/a-1"}.up(), "berth up --data-dir /srv/a-1");
  EXPECT_EQ(ClusterDir{"/srv/a b's"}.up(), R"(berth up --data-dir '/srv/a b'\''s')");
}

TEST_F(ClusterDirTest, ADirectoryIsTheSameWhateverItIsCalled) {
  ASSERT_TRUE(make_directories(top_ + "/a b").ok());
  ASSERT_EQ(::symlink("a b", (top_ + "/link").c_str()), 0);
  for (const char* name : {"/a b", "/a b/", "/link", "/link/", "/./link/../a b//"}) {
    auto dir = open_cluster_dir(top_ + name);
    ASSERT_TRUE(dir.ok()) << dir.error().message;
    EXPECT_EQ(dir->root, top_ + "/a b");
  }
  EXPECT_EQ(open_cluster_dir(top_ + "/link")->id(), open_cluster_dir(top_ + "/a b")->id());
  // Below a link, and not existing yet.
  EXPECT_EQ(open_cluster_dir(top_ + "/link/new/one")->root, top_ + "/a b/new/one");
}

TEST_F(ClusterDirTest, ARelativePathStartsHere) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(top_);
  EXPECT_EQ(open_cluster_dir("data/x")->root, top_ + "/data/x");
  EXPECT_EQ(open_cluster_dir(".")->root, top_);
  std::filesystem::current_path(before);
}

TEST_F(ClusterDirTest, SaysWhyADirectoryCannotBeOne) {
  EXPECT_EQ(why(""), "--data-dir \"\" is empty; name a directory");
  EXPECT_NE(why("/tmp/a\nb").find("has a control character in it"), std::string::npos);
  ASSERT_EQ(::symlink("nowhere", (top_ + "/link").c_str()), 0);
  EXPECT_NE(why(top_ + "/link").find("is a symbolic link to a directory that does not exist"), std::string::npos)
      << why(top_ + "/link");
  ASSERT_TRUE(write_file(top_ + "/file", "").ok());
  EXPECT_NE(why(top_ + "/file").find("is not a directory"), std::string::npos) << why(top_ + "/file");
  EXPECT_NE(why(top_ + "/" + std::string(100, 'x')).find("is too long: the sockets below it may have 107 characters"),
            std::string::npos);
}

}  // namespace
}  // namespace berth::host

#include "base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <thread>

#include "base/fault.h"
#include "base/fs/remove_unfinished.h"

namespace berth {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "berth-files-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override {
    fault::disarm_all();
    EXPECT_TRUE(remove_all(root_).ok());
    EXPECT_FALSE(path_exists(root_));
  }
  std::string at(const std::string& name) const { return root_ + "/" + name; }
  std::string root_;
};

TEST_F(Files, WhatIsWrittenIsRead) {
  std::string content(100'000, 'x');
  content[500] = '\0';
  ASSERT_TRUE(write_file_durably(at("a"), content).ok());
  EXPECT_EQ(read_file(at("a")).value(), content);
  ASSERT_TRUE(write_file(at("a"), "", 0640).ok());
  EXPECT_EQ(read_file(at("a")).value(), "");
  struct stat found {};
  ASSERT_EQ(::stat(at("a").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0640u);
  EXPECT_EQ(list_directory(root_).value(), std::vector<std::string>{"a"});  // nothing left beside it
}

TEST_F(Files, ReadsFilesWhoseSizeIsNotKnown) {
  EXPECT_NE(read_file("/proc/self/status").value().find("Pid:"), std::string::npos);
}

TEST_F(Files, MissingIsNotFoundAndNamesThePath) {
  auto missing = read_file(at("none"));
  EXPECT_TRUE(missing.failed_with(Code::kNotFound));
  EXPECT_NE(missing.error().message.find(at("none")), std::string::npos);
  EXPECT_TRUE(list_directory(at("none")).failed_with(Code::kNotFound));
  EXPECT_FALSE(read_file(root_).ok());
  EXPECT_FALSE(write_file(at("none/a"), "x").ok());
}

TEST_F(Files, AFailedWriteLeavesTheOldContentAndNoRest) {
  ASSERT_TRUE(write_file_durably(at("a"), "old").ok());
  for (const char* place : {"files.write", "files.fsync", "files.rename"}) {
    fault::arm(place, 1);
    EXPECT_FALSE(write_file_durably(at("a"), "new").ok()) << place;
    EXPECT_EQ(read_file(at("a")).value(), "old") << place;
    EXPECT_EQ(list_directory(root_).value().size(), 1u) << place;
  }
  ASSERT_TRUE(write_file_durably(at("a"), "new").ok());
  EXPECT_EQ(read_file(at("a")).value(), "new");
}

TEST_F(Files, DirectoriesAreMadeOnceAndNotOverFiles) {
  ASSERT_TRUE(make_directories(at("x/y//z/")).ok());
  ASSERT_TRUE(make_directories(at("x/y/z")).ok());
  EXPECT_TRUE(path_exists(at("x/y/z")));
  ASSERT_TRUE(write_file(at("f"), "").ok());
  EXPECT_FALSE(make_directories(at("f")).ok());
  EXPECT_FALSE(make_directories(at("f/g")).ok());
  EXPECT_FALSE(make_directories("").ok());
}

TEST_F(Files, RemoveAllTakesTreesAndNotWhatLinksPointAt) {
  ASSERT_TRUE(make_directories(at("keep")).ok());
  ASSERT_TRUE(write_file(at("keep/file"), "x").ok());
  ASSERT_TRUE(make_directories(at("tree/a/b")).ok());
  ASSERT_TRUE(write_file(at("tree/a/b/c"), "x").ok());
  ASSERT_EQ(::symlink(at("keep").c_str(), at("tree/a/link").c_str()), 0);
  ASSERT_EQ(::symlink(at("keep").c_str(), at("link").c_str()), 0);
  ASSERT_TRUE(remove_all(at("tree")).ok());
  ASSERT_TRUE(remove_all(at("link")).ok());
  ASSERT_TRUE(remove_all(at("none")).ok());
  ASSERT_TRUE(remove_all(at("none/deeper")).ok());
  EXPECT_EQ(list_directory(root_).value(), std::vector<std::string>{"keep"});
  EXPECT_TRUE(path_exists(at("keep/file")));
  EXPECT_TRUE(remove_all("/").failed_with(Code::kInvalid));
  EXPECT_TRUE(remove_all(at("..")).failed_with(Code::kInvalid));
  EXPECT_TRUE(remove_all("").failed_with(Code::kInvalid));
}

TEST_F(Files, RemoveAllTakesTreesDeeperThanPathsAndDescriptorsAllow) {
  Fd here(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; i < 3000; ++i) {
    ASSERT_EQ(::mkdirat(here.get(), "directory", 0755), 0);
    here = Fd(::openat(here.get(), "directory", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(here);
  }
  here.reset();
  ASSERT_TRUE(remove_all(at("directory")).ok());
  EXPECT_TRUE(list_directory(root_).value().empty());
}

// In a mount namespace of one thread, so that nothing is left behind.
TEST_F(Files, RemoveAllLeavesMountsAlone) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  ASSERT_TRUE(make_directories(at("data")).ok());
  ASSERT_TRUE(write_file(at("data/precious"), "x").ok());
  ASSERT_TRUE(make_directories(at("tree/mounted")).ok());
  ASSERT_TRUE(write_file(at("tree/other"), "x").ok());
  std::thread([&] {
    ASSERT_EQ(::unshare(CLONE_FS | CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(::mount(at("data").c_str(), at("tree/mounted").c_str(), nullptr, MS_BIND, nullptr), 0);
    EXPECT_FALSE(remove_all(at("tree")).ok());
    EXPECT_FALSE(remove_all(at("tree/mounted")).ok());
    EXPECT_TRUE(path_exists(at("data/precious")));
    EXPECT_FALSE(path_exists(at("tree/other")));
    ASSERT_EQ(::umount2(at("tree/mounted").c_str(), MNT_DETACH), 0);
    EXPECT_TRUE(remove_all(at("tree")).ok());
  }).join();
  EXPECT_TRUE(path_exists(at("data/precious")));
}

TEST(FdTest, ClosesWhatItOwnsOnce) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Fd read(ends[0]);
  {
    Fd write(ends[1]);
    Fd moved(std::move(write));
    EXPECT_FALSE(write);
    EXPECT_EQ(moved.get(), ends[1]);
  }
  char c;
  EXPECT_EQ(::read(read.get(), &c, 1), 0);  // the write end is closed
}

TEST_F(Files, WhatAWriterLeftWhenItWasKilledGoes) {
  for (const char* name : {".pod-1.json.dydQF4", "pod-1.json", ".hidden", ".a.b"})
    ASSERT_TRUE(write_file(at(name), "x").ok());
  remove_unfinished(root_);
  EXPECT_FALSE(path_exists(at(".pod-1.json.dydQF4")));
  for (const char* name : {"pod-1.json", ".hidden", ".a.b"}) EXPECT_TRUE(path_exists(at(name))) << name;
}

}  // namespace
}  // namespace berth
